"""One hash binds everything that a session agreed on."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from syft_ext.attestation.binding import Binding

BINDING = Binding(
    session_key=b"k" * 32,
    policy=b"p" * 32,
    runtime=b"r" * 32,
    domain="domain",
    process="process",
    challenge=b"c" * 32,
)


def test_the_hash_is_over_a_label_and_parts_with_their_lengths() -> None:
    parts = [b"k" * 32, b"p" * 32, b"r" * 32, b"domain", b"process", b"c" * 32]
    said = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    assert BINDING.digest == hashlib.sha512(b"grid attested session v1" + said).digest()
    assert BINDING.matches(BINDING.digest)


@pytest.mark.parametrize("field", BINDING.__struct_fields__)
def test_each_part_changes_it(field: str) -> None:
    value = getattr(BINDING, field)
    other = msgspec.structs.replace(BINDING, **{field: value[:-1]})
    assert not BINDING.matches(other.digest)


def test_bytes_that_move_between_parts_change_it() -> None:
    moved = msgspec.structs.replace(BINDING, domain="domai", process="nprocess")
    assert not BINDING.matches(moved.digest)


def test_no_part_of_it_is_enough() -> None:
    assert not BINDING.matches(b"")
    assert not BINDING.matches(BINDING.digest[:32])
    assert not BINDING.matches(BINDING.digest[:32] + bytes(32))
