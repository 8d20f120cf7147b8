"""Which failures pass by themselves: work that meets one waits, however long that takes, and is never given up.

A full disk is emptied, a database comes back, a peer is reached again, damaged contents are put back. What fails
for any other reason would fail again, and is tried a few times only.
"""

from __future__ import annotations

import errno

from syft_ext.errors import ContentDamaged, TooManyRequests, Unavailable

__all__ = ["LONGEST", "is_passing", "passing_pause", "said_of"]

LONGEST = 5.0
"""Seconds of the longest pause: so long, at most, after the fault is over the work goes on."""

_ERRORS = (Unavailable, TooManyRequests, ContentDamaged, MemoryError, ConnectionError, TimeoutError)
_NUMBERS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.ESTALE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ETIMEDOUT,
    }
)


def is_passing(error: BaseException) -> bool:
    """Whether the same work can be done when what ``error`` tells of is over."""
    return isinstance(error, _ERRORS) or (isinstance(error, OSError) and error.errno in _NUMBERS)


def said_of(error: BaseException) -> str:
    """What a passing failure is called towards people, without paths or data."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "the node's disk is full"
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return "the node's disk is mounted read-only"
    detail: str = getattr(error, "detail", "") or type(error).__name__
    return detail


def passing_pause(times: int) -> float:
    """Seconds to wait after the ``times``-th failure in a row: 0.2, 0.4, …, 5."""
    return float(min(0.1 * 2.0 ** min(times, 10), LONGEST))
