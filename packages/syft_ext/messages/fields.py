"""Field types that messages share. Limits are checked when a message is decoded, before any handler runs.

Text never holds U+0000: PostgreSQL cannot store it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = [
    "AnyDigest",
    "Description",
    "Digest",
    "Id",
    "Limit",
    "Name",
    "Note",
    "Offset",
    "Size",
    "Tag",
    "Tags",
    "Words",
]

_TEXT = r"^[^\x00]*$"

Id = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=_TEXT)]
Words = Annotated[str, msgspec.Meta(max_length=1000, pattern=_TEXT)]
Note = Annotated[str, msgspec.Meta(max_length=4096, pattern=_TEXT)]
Description = Annotated[str, msgspec.Meta(max_length=1 << 16, pattern=_TEXT)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=_TEXT)]
Tags = Annotated[list[Tag], msgspec.Meta(max_length=64)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
"""BLAKE3, in hex."""
AnyDigest = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")]
"""As :data:`Digest`; "" where there is none."""
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
