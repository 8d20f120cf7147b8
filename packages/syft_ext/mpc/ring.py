"""Whole numbers modulo 2⁶⁴ as torch int64, and words of an AES-CTR stream: what shares are made of."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = [
    "KEY_BYTES",
    "LIMIT",
    "WORD",
    "Kernel",
    "WordStream",
    "add_product",
    "apply",
    "packed",
    "truncated",
    "unpacked",
]

WORD = 8
"""Bytes of one number."""
LIMIT = (1 << 62) - 1
"""Numbers whose size is at most this can be truncated; what could be larger is checked or refused before."""
KEY_BYTES = 16
Kernel: TypeAlias = Literal["mul", "matmul"]
_COUNTER = bytes(16)
_LOW = (1 << 63) - 1
_ZEROS = memoryview(bytes(1 << 16))
"""What the stream is added to: small, so that it stays in the cache."""


class WordStream:
    """Uniform words that follow from a key of 16 bytes (AES-128-CTR, NIST SP 800-38A), read once each."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("a stream has a key of 16 bytes")
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(_COUNTER)).encryptor()

    def words(self, shape: tuple[int, ...]) -> torch.Tensor:
        """int64 of ``shape``."""
        return self._bytes(WORD * math.prod(shape)).view(torch.int64).reshape(shape)

    def bits(self, shape: tuple[int, ...]) -> torch.Tensor:
        """int64 of ``shape``, each 0 or 1: one byte of the stream each."""
        return (self._bytes(math.prod(shape)) & 1).to(torch.int64).reshape(shape)

    def _bytes(self, count: int) -> torch.Tensor:
        found = torch.empty(count, dtype=torch.uint8)
        room = found.numpy().data
        for start in range(0, count, len(_ZEROS)):
            piece = room[start : start + len(_ZEROS)]
            self._cipher.update_into(_ZEROS[: len(piece)], piece)
        return found


def apply(kernel: Kernel, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The elementwise (broadcast) or the matrix product, modulo 2⁶⁴."""
    return left * right if kernel == "mul" else left @ right


def add_product(kernel: Kernel, total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add :func:`apply` to ``total``, in place."""
    if kernel == "mul":
        total.addcmul_(left, right)
    else:
        total += left @ right


def truncated(opened: torch.Tensor, top: torch.Tensor, bits: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What is made of x + 2⁶² + r, opened, to divide x by 2^``bits`` (Escudero et al. 2020, section 5).

    The share of what depends on r's ``top`` bit, from a share of that; and what all know. Their sum less r's other
    bits, shifted, is the result. ``opened`` is used up.
    """
    wrapped = opened >> 63
    wrapped &= 1  # with r's top bit: whether the low 63 bits of the sum wrapped around
    part = wrapped * -2
    part += 1
    part *= top
    part <<= 63 - bits
    opened &= _LOW
    opened >>= bits
    wrapped <<= 63 - bits
    opened += wrapped
    opened -= 1 << (62 - bits)
    return part, opened


def packed(bits: torch.Tensor) -> torch.Tensor:
    """Bits (int64, 0 or 1) as uint8, eight in one."""
    return torch.from_numpy(np.packbits(bits.numpy().astype(np.uint8).ravel()))


def unpacked(packs: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """What :func:`packed` was given."""
    flat = np.unpackbits(packs.numpy(), count=math.prod(shape)).astype(np.int64)
    return torch.from_numpy(flat).reshape(shape)
