"""Simulated evidence for a worker that has no platform: for development and demonstrations, and no more.

It is signed with the Domain's own key, and says that it is insecure. Whoever runs the Domain can make it for any
program; no production policy takes it.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

from syft_ext.attestation.simulator.evidence import make_simulated
from syft_ext.clock import Clock
from syft_ext.confidential.canonical import key_of
from syft_ext.identity import Identity
from syft_ext.source_roots import SOURCE_ROOT

__all__ = ["Simulator", "simulated_workload"]

_ROOMS = ("grid/confidential_worker", "syft_ext/confidential", "syft_ext/attestation", "syft_ext/privacy")


@cache
def simulated_workload() -> bytes:
    """What stands for the measurement of the worker here: SHA-256 (32 bytes) over its own source files, each with
    its path. Policies that allow the simulator name it."""
    digest = hashlib.sha256(b"grid confidential worker, simulated v1\0")
    for path in _sources(SOURCE_ROOT):
        content = path.read_bytes()
        name = path.relative_to(SOURCE_ROOT).as_posix().encode()
        digest.update(len(name).to_bytes(4, "big") + name + len(content).to_bytes(8, "big") + content)
    return digest.digest()


def _sources(root: Path) -> Iterator[Path]:
    for room in _ROOMS:
        yield from sorted((root / room).rglob("*.py"))


class Simulator:
    """Makes evidence in the Domain's name."""

    def __init__(self, identity: Identity, clock: Clock) -> None:
        self._identity, self._clock = identity, clock

    def quote(self, binding: bytes) -> bytes:
        """Evidence over ``binding`` (64 bytes): an encoded :class:`~syft_ext.attestation.evidence.Evidence`."""
        evidence = make_simulated(
            key_of(self._identity),
            self._identity.sign,
            workload=simulated_workload(),
            binding=binding,
            at=datetime.fromtimestamp(self._clock.now(), UTC),
            host=socket.gethostname(),
        )
        return msgspec.msgpack.encode(evidence)
