"""What an appraisal policy may say, and that it has one encoding."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from syft_ext.attestation.policy import (
    AttestationPolicy,
    decode_policy,
    encode_policy,
    policy_from_json,
    policy_to_json,
)
from syft_ext.attestation.references import InvalidPolicy
from syft_ext.attestation.simulator.policy import SimulatorReferences
from tests.attestation.policies import full_policy


def test_a_policy_has_one_encoding_and_one_text() -> None:
    policy = full_policy()
    assert decode_policy(encode_policy(policy)) == policy
    assert policy_from_json(json.dumps(policy_to_json(policy)).encode()) == policy
    wide = bytearray(encode_policy(policy))
    assert wide[1] == 1  # the version, in its shortest form
    wide[1:2] = b"\xcc\x01"  # and in a longer one
    with pytest.raises(InvalidPolicy, match="canonical"):
        decode_policy(bytes(wide))


def test_defaults_may_be_left_out_of_the_text() -> None:
    simulator = {"keys": ["0x" + "11" * 32], "workloads": ["22" * 32]}
    said: dict[str, Any] = {"production": False, "allow_simulator": True, "simulator": simulator}
    assert policy_from_json(json.dumps(said).encode()) == AttestationPolicy(
        production=False,
        allow_simulator=True,
        simulator=SimulatorReferences(keys=(b"\x11" * 32,), workloads=(b"\x22" * 32,)),
    )


def test_a_production_policy_never_allows_the_simulator() -> None:
    simulator = SimulatorReferences(keys=(b"k" * 32,), workloads=(b"w" * 32,))
    with pytest.raises(InvalidPolicy, match="simulator"):
        AttestationPolicy(production=True, allow_simulator=True, simulator=simulator)
    encoded = msgspec.msgpack.encode([1, True, True, 300, *[None] * 6, simulator])
    with pytest.raises(InvalidPolicy, match="simulator"):
        decode_policy(encoded)
    with pytest.raises(InvalidPolicy, match="simulator"):
        policy_from_json(b'{"production": true, "allow_simulator": true}')


@dataclass(frozen=True)
class Change:
    """A value in a policy's text that makes it no policy."""

    path: tuple[str | int, ...]
    value: Any


@pytest.mark.parametrize(
    "change",
    [
        Change(("version",), 2),
        Change(("production",), 1),
        Change(("max_age",), 0),
        Change(("max_age",), 1.5),
        Change(("surplus",), 1),
        Change(("snp", "measurements"), []),
        Change(("snp", "measurements"), ["00"]),
        Change(("snp", "measurements"), "00"),
        Change(("snp", "minima"), []),
        Change(("snp", "minima", 0, "product"), "Rome"),
        Change(("snp", "minima", 0, "snp"), 256),
        Change(("snp", "minima", 0, "snp"), 24.0),
        Change(("snp", "signing_keys"), ["VLEK"]),
        Change(("snp", "vmpls"), [4]),
        Change(("snp", "platform_required"), 1 << 64),
        Change(("tdx", "statuses"), ["OutOfDate"]),
        Change(("tdx", "statuses"), ["Revoked"]),
        Change(("tdx", "statuses"), ["uptodate"]),
        Change(("tdx", "workloads", 0, "rtmr1"), ""),
        Change(("tdx", "workloads", 0, "rtmr2"), ""),
        Change(("tdx", "attributes_allowed"), 1 | 1 << 28),
        Change(("tdx", "attributes_allowed"), 0),
        Change(("azure_vtpm", "pcrs"), []),
        Change(("azure_vtpm", "pcrs", 0, "index"), 24),
        Change(("allow_simulator",), True),
        Change(("simulator",), {"keys": ["00" * 32], "workloads": ["00" * 32]}),
        Change(("nitro", "images"), []),
        Change(("nitro", "images", 0, "pcr1"), "00" * 48),
        Change(("nitro", "signers"), ["00" * 48]),
        Change(("confidential_space", "images", 0, "digest"), "sha256:00"),
        Change(("confidential_space", "images", 0, "environment", 0, "value"), 1),
        Change(("confidential_space", "images", 0, "overridden"), ["OTHER"]),
        Change(("confidential_space", "audience"), ""),
        Change(("confidential_space", "hardware"), []),
        Change(("confidential_space", "support"), ["BEST"]),
        Change(("confidential_space", "tcb_max_age"), 0),
        Change(("confidential_space", "keys", 0, "thumbprint"), "00"),
        Change(("confidential_space", "keys", 0, "not_after"), 1),
        Change(("azure_maa", "keys"), []),
        Change(("azure_maa", "issuer"), "http://tenant"),
        Change(("azure_maa", "types"), ["sgx"]),
    ],
    ids=lambda change: "-".join(map(str, change.path)),
)
def test_what_no_policy_may_say(change: Change) -> None:
    said: Any = policy_to_json(full_policy())
    place = said
    for step in change.path[:-1]:
        place = place[step]
    place[change.path[-1]] = change.value
    with pytest.raises(InvalidPolicy):
        policy_from_json(json.dumps(said).encode())


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b"{}", b"0" * 300_000]
)
def test_what_is_no_policy(document: bytes) -> None:
    with pytest.raises(InvalidPolicy):
        policy_from_json(document)
    with pytest.raises(InvalidPolicy):
        decode_policy(document)
