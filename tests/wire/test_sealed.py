"""Sealed pipes as they were opened once: the same bytes are read by packages/grid_js (test/wire.test.ts)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nacl.signing import SigningKey

from syft_ext.errors import InvalidEnvelope
from syft_ext.identity import Identity
from syft_ext.transport.relayed import sealed
from tests.wire.sealed_vectors import FILE, Carrier


def recorded() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def test_the_node_opens_what_was_sealed_to_it() -> None:
    vector = recorded()
    node = Identity(SigningKey(bytes.fromhex(vector["seed"])))
    assert node.verify_key == vector["verify_key"]
    hello = bytes.fromhex(vector["hello"])
    opened = sealed._SUITE.decrypt(hello, sealed._private(node), sealed._hello_info(node.verify_key))
    assert opened[:32].hex() == vector["asked"]
    with pytest.raises(InvalidEnvelope):
        sealed.answer_sealed(Carrier(hello), Identity.generate())


def test_both_ends_have_the_keys_of_what_was_said() -> None:
    vector = recorded()
    secrets = bytes.fromhex(vector["asked"] + vector["answered"])
    asks, answers = sealed._keys(secrets, bytes.fromhex(vector["hello"]), bytes.fromhex(vector["welcome"]))
    for side, receives in (("asks", asks), ("answers", answers)):
        pipe = sealed.SealedPipe(Carrier(*map(bytes.fromhex, vector[side])), bytes(32), receives)
        assert [pipe.receive() for _ in vector["messages"]] == [
            bytes.fromhex(message) for message in vector["messages"]
        ]
