"""Text that others wrote, made safe to show: what is read is what was sent.

A control character moves a terminal's cursor and renames its window, a direction mark turns a line around, a
character without width hides in a name. In place of each stands what it is: ``\\x1b``, ``⟨U+202E⟩``. All that
shows text to people goes through here: tables, reprs, progress, messages of exceptions, commands, logs, pages.
What programs read (attributes, JSON) stays exact.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

__all__ = ["is_readable", "readable"]

#: Characters that are not shown although they are letters or marks: Default_Ignorable_Code_Point of Unicode's
#: DerivedCoreProperties, as far as their category does not tell.
_IGNORABLE = frozenset(
    map(
        chr,
        (
            0x034F,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            *range(0x180B, 0x1810),
            0x3164,
            0xFFA0,
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


@lru_cache(maxsize=4096)
def _shown(char: str) -> str:
    if char in _IGNORABLE:
        return f"⟨U+{ord(char):04X}⟩"
    if char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    if unicodedata.category(char) == "Cc":
        return _NAMED.get(char) or f"\\x{ord(char):02x}"
    return (
        f"⟨U+{ord(char):04X}⟩"  # format, surrogate, private, unassigned, separators of lines and paragraphs
    )


def is_readable(text: str, *, lines: bool = False) -> bool:
    """Whether :func:`readable` leaves ``text`` as it is."""
    return readable(text, lines=lines) == text


def readable(text: str, *, lines: bool = False) -> str:
    """``text`` with everything in it that is not seen, or acts, shown as what it is.

    Args:
        lines: text of several lines is meant: line feeds and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    if lines:
        return "".join(char if char in "\n\t" else _shown(char) for char in text)
    return "".join(map(_shown, text))
