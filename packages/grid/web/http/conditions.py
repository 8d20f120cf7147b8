"""What a client makes its request depend on, and which part it wants (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re

from grid.web.http.request import Request

__all__ = ["failed_condition", "wanted_range"]

# Some clients leave out the quotes.
_ETAG = re.compile(r'[ \t]*([Ww]/)?(?:"([^"]*)"|([^" \t,]+))[ \t]*(?:,|\Z)')
_RANGE = re.compile(
    r"bytes[ \t]*=[ \t]*(?:([0-9]{1,1000})[ \t]*-[ \t]*|-)([0-9]{0,1000})[ \t]*", re.IGNORECASE
)


def failed_condition(request: Request, etag: str) -> int | None:
    """The status of the answer (304 or 412) where a condition does not hold of the version ``etag``.

    Dates are passed over: contents here have no date of their own.
    """
    wanted = request.header("If-Match")
    if wanted is not None and not _lists(wanted, etag, weak=False):
        return 412
    known = request.header("If-None-Match")
    if known is not None and _lists(known, etag, weak=True):
        return 304 if request.method in ("GET", "HEAD") else 412
    return None


def _lists(field: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags has ``etag``; what is no tag in it is passed over."""
    if field.strip(" \t") == "*":
        return True
    at = 0
    while at < len(field):
        match = _ETAG.match(field, at)
        if match is None:
            at = field.find(",", at) + 1 or len(field)
            continue
        at = match.end()
        if etag in match.groups()[1:] and (weak or match[1] is None):
            return True
    return False


def wanted_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the bytes that are wanted; None: all of them, as far as the request says.

    A start at or beyond ``size`` is the caller's to refuse (416). Several ranges at once are not served: all is.
    """
    field = request.header("Range") if request.method == "GET" else None
    match = None if field is None else _RANGE.fullmatch(field)
    if match is None or not any(match.groups()) or not _range_holds(request, etag):
        return None
    if not match[1]:
        suffix = int(match[2])
        return (max(0, size - suffix), size) if suffix else None
    start, end = int(match[1]), int(match[2]) + 1 if match[2] else None
    if end is not None and start >= end:
        return None
    return start, size if end is None else min(end, size)


def _range_holds(request: Request, etag: str) -> bool:
    """If-Range: the range is wanted only of the version that the client has; dates say nothing here."""
    condition = request.header("If-Range")
    return condition is None or condition == f'"{etag}"'
