"""The sum of all updates of one manifest: what counts, what counts as zeros, and what ends the job.

Who runs the worker hands out the bytes of uploads, and may hand out others, or others the second time. So
nothing may follow from what they choose: bytes that the manifest does not name end the job without output, and
all else is a function of the manifest. An upload that does not open, or opens to another length or to a number
that is not finite, counts as a vector of zeros (that it counts is what its author's neighbours are promised), in
the same sweeps, and which of the last two it was is told to nobody.

Memory does not grow with the number of uploads: one is gone through at a time.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from syft_ext.confidential.kernel.clipping import Clip
from syft_ext.confidential.kernel.noise import add_noise
from syft_ext.confidential.kernel.numbers import UpdateReader
from syft_ext.errors import Conflict, ContentCorrupt, SealBroken

__all__ = ["MOST_SUM", "HeldBlob", "Sums", "Sweep"]

MOST_SUM = 1 << 62
"""No sum with its noise may reach it."""
_SIGMAS = 64  # room for noise: no draw is further out than 16
Sweep = Callable[[], Iterator[memoryview]]
"""The content of an upload, from the beginning, each time it is called; a piece is good until the next is asked
for.

Raises :class:`SealBroken`, after the last piece that there is to read, where it does not open as it was sealed,
and :class:`~syft_ext.errors.ContentDamaged` where its bytes are not those that the manifest names.
"""


class HeldBlob:
    """The bytes of one upload, held to their digest the first time, and to what they were from then on.

    The first time it is read from front to end, each stretch once; then :meth:`settle` compares the whole with its
    digest. After that the same stretches can be read again, in any order. Short blobs are kept in memory instead.

    Args:
        read: hands out ``length`` bytes from ``offset`` on; nobody says that they are the right ones.
        digest: BLAKE3 of the blob.
        length: its bytes.
        keep: of a blob of at most so many bytes, all are kept.
    """

    def __init__(self, read: Callable[[int, int], memoryview], digest: bytes, length: int, keep: int) -> None:
        self._read, self._digest, self.length = read, digest, length
        self._keep = length <= keep
        self._whole = blake3()
        self._stretches: dict[tuple[int, int], bytes] = {}
        self._next, self._settled = 0, False

    def take(self, offset: int, length: int) -> memoryview:
        """The bytes of a stretch, good until the next is asked for.

        Raises :class:`~syft_ext.errors.ContentDamaged` for bytes that are not what they were, or not as many.
        """
        kept = self._stretches.get((offset, length))
        if kept is not None and self._keep:
            return memoryview(kept)
        if kept is None and (self._settled or offset != self._next):
            raise ValueError("a blob is read in one order, and then as it was read first")
        if length < 0 or offset + length > self.length:
            raise ValueError("beyond the end of a blob")
        data = self._read(offset, length)
        if len(data) != length:
            raise ContentCorrupt("other bytes than the manifest names")
        if kept is None:
            self._whole.update(data)
            self._stretches[offset, length] = bytes(data) if self._keep else blake3(data).digest()
            self._next = offset + length
        elif not hmac.compare_digest(blake3(data).digest(), kept):
            raise ContentCorrupt("other bytes than the first time")
        return data

    def settle(self) -> None:
        """All of it was read: compare its digest. May be called again.

        Raises :class:`~syft_ext.errors.ContentDamaged` where it is another.
        """
        if self._next != self.length or not hmac.compare_digest(self._whole.digest(), self._digest):
            raise ContentCorrupt("other bytes than the manifest names")
        self._settled = True


class Sums:
    """The sum of clipped updates, in grid units, and its noise.

    Args:
        reader: of the round's layout.
        clip: bounds each update.
        count: how many updates there will be, at most.
        sigma: deviation of the noise, in grid units.

    Attributes:
        values: the sum so far, int64.

    Raises :class:`~syft_ext.errors.Conflict` where a sum with its noise might wrap around.
    """

    def __init__(self, reader: UpdateReader, clip: Clip, count: int, sigma: Fraction) -> None:
        if count * clip.bound + _SIGMAS * sigma >= MOST_SUM:
            raise Conflict("a sum of so many updates, with so much noise, does not fit into 64 bits")
        self._reader, self._clip, self._sigma, self._left = reader, clip, sigma, count
        self._zeros = np.zeros(0, np.float32)
        self.values: NDArray[Any] = np.zeros(reader.size, np.int64)

    def add(self, sweep: Sweep, length: int) -> bool:
        """Add one update, clipped; zeros for one that is none. Returns whether it opened.

        Args:
            sweep: its content. length: bytes that its public header says it has.

        Raises what ``sweep`` raises, but for :class:`SealBroken`; then the sum is worth nothing.
        """
        if not self._left:
            raise ValueError("more updates than were said")
        self._left -= 1
        fits, clip = length == self._reader.length, self._clip
        try:
            if fits:
                largest = max((clip.largest(part) for part in self._reader.numbers(sweep())), default=0.0)
            else:  # its length is public: nothing is to be hidden but that it opens
                largest = math.inf
                for _ in sweep():
                    pass
        except SealBroken:
            return False
        if not fits:
            return True
        good = math.isfinite(largest)
        shift = clip.shift(largest if good else 0.0)
        squares = sum(clip.squares(part, shift) for part in self._parts(sweep, good))
        factor = clip.factor(squares) if good else 0.0
        start = 0
        for part in self._parts(sweep, good):
            clip.add(self.values[start : start + len(part)], part, shift, factor)
            start += len(part)
        return True

    def _parts(self, sweep: Sweep, good: bool) -> Iterator[NDArray[Any]]:
        """The numbers, or as many zeros: what is done to them is the same."""
        for part in self._reader.numbers(sweep()):
            if len(self._zeros) < len(part):
                self._zeros = np.zeros(len(part), np.float32)
            yield part if good else self._zeros[: len(part)]

    def finish(self, seed: bytes) -> NDArray[Any]:
        """The sum with its noise; once."""
        values, self.values = self.values, np.zeros(0, np.int64)
        self._left = 0
        add_noise(values, seed, self._sigma)
        return values
