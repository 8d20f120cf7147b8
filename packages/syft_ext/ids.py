"""Identifiers: 128 random bits, written as 32 lower-case hex digits."""

from __future__ import annotations

import re
import secrets

from syft_ext.errors import BadRequest

__all__ = ["check_id", "is_id", "new_id"]

_PATTERN = re.compile(r"[0-9a-f]{32}")


def new_id() -> str:
    """A fresh random identifier."""
    return secrets.token_hex(16)


def is_id(value: str) -> bool:
    """Whether this is an identifier."""
    return _PATTERN.fullmatch(value) is not None


def check_id(value: str) -> str:
    """Return ``value`` if it is an identifier, else raise :class:`BadRequest` (it may name a file)."""
    if not is_id(value):
        raise BadRequest("an identifier is 32 lower-case hex digits", value=value[:64])
    return value
