"""What an id is, as bytes: by a rule that both sides declare, so that the same person has the same bytes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from syft_ext.errors import BadRequest

__all__ = ["number_bytes", "word_rule"]


def number_bytes(number: int) -> bytes:
    """Of a whole number, whatever the width of its column: decimal digits."""
    return b"%d" % number


def word_rule(normalisation: str) -> Callable[[str], bytes]:
    """Word → bytes. "exact": as it is, composed (NFC), since two ways to write one letter look alike. "folded":
    compatibility forms (NFKC), case folded, blanks at either end left out and others one blank."""
    if normalisation == "exact":
        return lambda word: unicodedata.normalize("NFC", word).encode()
    if normalisation == "folded":
        return _folded
    raise BadRequest(f"there is no rule {normalisation[:40]!r} for words")


def _folded(word: str) -> bytes:
    # Folding may leave what is not in normal form: UAX 15, section 7.1.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    return " ".join(folded.split()).encode()
