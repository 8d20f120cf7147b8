"""Masks: AES-256 in counter mode (NIST SP 800-38A), from a zero counter, as little-endian words, added modulo
2^bits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

__all__ = ["WORDS", "add_masks", "mask_words"]

WORDS: dict[int, np.dtype[Any]] = {32: np.dtype("<u4"), 64: np.dtype("<u8")}
"""Bits of a word → its dtype."""

_PIECE = 1 << 17
"""Bytes that are masked at a time by all keys: they, the stream and the zeros that it is made of stay in the
cache."""
_ZEROS = bytes(_PIECE)
_BLOCK = 16


def add_masks(words: NDArray[Any], plus: Collection[bytes], minus: Collection[bytes] = ()) -> None:
    """Add the masks of some keys (32 bytes each) to ``words``, flat, and subtract those of others, in place.

    One cipher context for each key, from the first word to the last.
    """
    streams = [
        (Cipher(algorithms.AES(key), modes.CTR(bytes(_BLOCK))).encryptor(), sign)
        for keys, sign in ((plus, np.add), (minus, np.subtract))
        for key in keys
    ]
    room = bytearray(_PIECE + _BLOCK - 1)  # the library asks for so much more
    mask = np.frombuffer(room, words.dtype, _PIECE // words.itemsize)
    each = _PIECE // words.itemsize
    for start in range(0, len(words), each):
        piece = words[start : start + each]
        zeros, stream = memoryview(_ZEROS)[: piece.nbytes], mask[: len(piece)]
        for cipher, sign in streams:
            cipher.update_into(zeros, room)
            sign(piece, stream, out=piece)


def mask_words(key: bytes, count: int, bits: int) -> NDArray[Any]:
    """The first words of a key's mask."""
    words = np.zeros(count, WORDS[bits])
    add_masks(words, [key])
    return words
