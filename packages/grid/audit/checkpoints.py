"""Signed checkpoints, kept in a file beside the database: whoever rewrites the one does not reach the other.

The file's last line moves along with the log; every so many entries one stays for good. So it stays small,
and still vouches for the very last entry. On several replicas each keeps its own file.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from syft_ext.audit.entries import Checkpoint

__all__ = ["FILE", "Checkpoints", "read_checkpoints"]

FILE = "audit.checkpoints"
EVERY = 64
WIDTH = 384
_encode = msgspec.json.Encoder().encode


class Checkpoints:
    """The file, open for writing. One thread at a time uses it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._kept, self._end = -1, 0  # the last checkpoint that stays, and where the next line goes
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                self._kept, self._end = max(self._kept, _seq(line)), self._end + len(line)
        os.ftruncate(self._fd, self._end)  # half a line of a killed process

    def write(self, checkpoint: Checkpoint) -> None:
        """Keep this one; it takes the place of the last one unless that stays."""
        line = _encode(checkpoint).ljust(WIDTH) + b"\n"  # all are as long: no rest of an old line stays
        os.pwrite(self._fd, line, self._end)
        os.ftruncate(self._fd, self._end + len(line))
        if checkpoint.seq - self._kept >= EVERY:
            self._kept, self._end = checkpoint.seq, self._end + len(line)

    def close(self) -> None:
        """Close the file; no checkpoint can be written after that."""
        os.close(self._fd)


def _seq(line: bytes) -> int:
    try:
        return msgspec.json.decode(line, type=Checkpoint).seq
    except (msgspec.MsgspecError, ValueError):
        return -1


def read_checkpoints(path: Path) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints in the file, and what is wrong with lines that hold none.

    A last line without an end is no problem: the node was killed while it wrote it.
    """
    found, problems = [], []
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            found.append(msgspec.json.decode(line, type=Checkpoint))
        except (msgspec.MsgspecError, ValueError):
            if line.endswith(b"\n"):
                problems.append(f"line {number} of {path.name} cannot be read: it was changed")
    return found, problems
