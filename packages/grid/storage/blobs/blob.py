"""A committed content in somebody's hands."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Protocol

from syft_ext.errors import BadRequest

__all__ = ["Blob", "check_digest"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_digest(value: str) -> str:
    """Return ``value`` if it is a digest, else raise :class:`BadRequest` (it names a file)."""
    if not _DIGEST.fullmatch(value):
        raise BadRequest("a digest is 64 lower-case hex digits", value=value[:64])
    return value


class _Hold(Protocol):
    """What keeps a content from being deleted until it is closed: a lock, a lease. Garbage closes itself."""

    def close(self) -> None: ...


class Blob:
    """The digest and size (bytes) of a committed content; ``with blob:`` keeps it from the sweeper.

    Hold it until the transaction that refers to it is committed. It is let go when it is garbage, too.
    """

    __slots__ = ("_hold", "digest", "size")

    def __init__(self, digest: str, size: int, hold: _Hold) -> None:
        self.digest, self.size, self._hold = digest, size, hold

    def release(self) -> None:
        """Let the sweeper have it, if nothing in the database refers to it."""
        self._hold.close()

    def __enter__(self) -> Blob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"Blob({self.digest!r}, size={self.size})"
