"""What workers measure their lines with: bytes that do not compress."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache

import blake3

__all__ = ["MAX_SAMPLE", "noise", "noise_digest"]

#: Bytes of one sample, either way.
MAX_SAMPLE = 64 << 20
_NOISE = hashlib.shake_256(b"grid speed test").digest(1 << 20)


def noise(start: int, stop: int) -> Iterator[memoryview]:
    """Bytes that do not compress, the same in every megabyte."""
    view = memoryview(_NOISE)
    while start < stop:
        offset = start % len(view)
        piece = view[offset : offset + min(stop - start, len(view) - offset)]
        start += len(piece)
        yield piece


@lru_cache(maxsize=16)
def noise_digest(size: int) -> str:
    hasher = blake3.blake3()
    for piece in noise(0, size):
        hasher.update(piece)
    return hasher.hexdigest()
