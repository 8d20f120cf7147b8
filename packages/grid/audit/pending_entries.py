"""Entries that wait for the database, in a file: one JSON line each, synced."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from grid.audit.chain import Draft

__all__ = ["PendingEntries"]

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class PendingEntries:
    """One thread at a time uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = self._taken = 0  # bytes

    def add(self, drafts: Sequence[Draft]) -> None:
        """Append; raises :class:`OSError` when that fails too."""
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.writelines(_encode(draft) + b"\n" for draft in drafts)
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Draft]:
        """What waits; half a last line of a killed process was never answered.

        A line that somebody damaged must not keep the node from answering: it becomes an entry that says so.
        """
        if not self._path.exists():
            return []
        drafts = []
        content = self._path.read_bytes()
        self._read = len(content)
        for line in content[self._taken :].splitlines(keepends=True):
            if line.endswith(b"\n"):
                draft = self._draft(line)
                draft.detail = {**draft.detail, "set_aside": True}
                drafts.append(draft)
        return drafts

    def _draft(self, line: bytes) -> Draft:
        try:
            return msgspec.json.decode(line, type=Draft)
        except (msgspec.MsgspecError, ValueError):
            logger.exception("a line of %s cannot be read", self._path)
            at = self._path.stat().st_mtime
            return Draft(at, "node", "", "", "audit.pending", "damaged", detail={"bytes": len(line)})

    def clear(self) -> None:
        """What was read is in the log: it is not read again, even if the file cannot be removed (OSError)."""
        self._taken = self._read
        self._path.unlink()
        self._taken = 0
