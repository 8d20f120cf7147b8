"""How fast this worker's line is: measured only where a training asks for it.

Units as in the training's ``minimum_*_speed``: KB/s, 1 KB = 1,000 bytes; ping in milliseconds.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from syft_ext.messages import GetMetadata
from syft_ext.messages.federated import SpeedSample, SpeedUpload
from syft_ext.transport import Connection

__all__ = ["Speeds", "measure"]

FIRST = 1 << 18
LARGEST = 1 << 24
LONG_ENOUGH = 0.25  # seconds: a transfer that takes so long says enough


@dataclass(frozen=True, slots=True)
class Speeds:
    """``ping`` in milliseconds, ``download`` and ``upload`` in KB/s."""

    ping: float
    download: float
    upload: float


def measure(connection: Connection) -> Speeds:
    """Three round trips, then growing transfers each way until one takes long enough (16 MiB at most)."""
    return Speeds(_ping(connection), _transfer(connection, _download), _transfer(connection, _upload))


def _ping(connection: Connection) -> float:
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        connection.call(GetMetadata())
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1000


def _transfer(connection: Connection, carry: Callable[[Connection, int], None]) -> float:
    size = FIRST
    while True:
        begun = time.perf_counter()
        carry(connection, size)
        seconds = max(time.perf_counter() - begun, 1e-6)
        if seconds >= LONG_ENOUGH or size >= LARGEST:
            return size / 1000 / seconds
        size *= 4


def _download(connection: Connection, size: int) -> None:
    connection.download(SpeedSample(size=size))


def _upload(connection: Connection, size: int) -> None:
    connection.call(SpeedUpload(), [secrets.token_bytes(size)])  # random: no link compresses it
