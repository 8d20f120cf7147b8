"""JSON and base64url, read strictly: what two readers could read as two things is refused.

Used for tokens, their key sets and the documents beside them. Size is the caller's to bound; depth is bounded
here, before the parser goes there.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Any, Never

from syft_ext.attestation.evidence import Reason, refused

__all__ = ["MAX_DEPTH", "base64url", "base64url_encoded", "json_object", "moment", "said"]

MAX_DEPTH = 16
"""Objects and arrays within each other."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_DIGITS = 18
"""Digits of a number at most: what fits 64 bits, in every reader."""


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object (RFC 8259) that ``data`` is: UTF-8, each name once, whole numbers below 10¹⁸ only.

    Raises:
        EvidenceRefused: ``malformed``.
    """
    depth = deepest = 0
    for character in re.sub(rb"[^][{}]+", b"", _STRING.sub(b"", data)):
        depth += 1 if character in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise refused(Reason.MALFORMED, f"JSON nested more than {MAX_DEPTH} deep")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_whole,
            parse_float=_refused,
            parse_constant=_refused,
        )
    except (ValueError, RecursionError) as error:
        raise refused(Reason.MALFORMED, "not JSON, or not in UTF-8") from error
    if not isinstance(value, dict):
        raise refused(Reason.MALFORMED, "the JSON is not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise refused(Reason.MALFORMED, "a JSON name that occurs twice")
    return entries


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise refused(Reason.MALFORMED, f"a JSON number of more than {_DIGITS} digits")
    return int(digits)


def _refused(_: str) -> Never:
    raise refused(Reason.MALFORMED, "a JSON number that is not whole")


def base64url(text: str | bytes) -> bytes:
    """The bytes of base64url without padding (RFC 7515, section 2), in their one spelling.

    Raises:
        EvidenceRefused: ``malformed``: other characters, padding, or unused bits that are not zero.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (binascii.Error, ValueError) as error:
        raise refused(Reason.MALFORMED, "not base64url") from error
    if base64url_encoded(data) != raw:  # the decoder passes over what it does not know
        raise refused(Reason.MALFORMED, "not base64url in its one spelling")
    return data


def base64url_encoded(data: bytes) -> bytes:
    """``data`` as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


_LAST_MOMENT = 253_402_300_799
"""The end of the year 9999, in seconds of the epoch."""


def moment(seconds: int) -> datetime:
    """The time that a token states as seconds of the epoch (RFC 7519, ``NumericDate``).

    Raises:
        EvidenceRefused: ``malformed``: outside the years 1970 to 9999.
    """
    if not 0 <= seconds <= _LAST_MOMENT:
        raise refused(Reason.MALFORMED, "a time outside the years 1970 to 9999")
    return datetime.fromtimestamp(seconds, UTC)


def said(time: datetime) -> str:
    """A time as claims show it: ``2024-09-07T14:38:03Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
