"""Checkpoints without their constants, for participants who have these from an earlier one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from blake3 import blake3

from grid.concurrency.offload import offload
from grid.node import Download
from grid.storage.blobs.interface import BlobStore
from syft_ext.messages.federated import BlobView
from syft_ext.tensors import Layout, moving_stretches

__all__ = ["MovingParts"]

_KEPT = 64
_PIECE = 1 << 20


class MovingParts:
    """What moves of the checkpoints in ``blobs``."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._digests: dict[str, str] = {}  # of the moving part, by that of the whole

    def download(self, layout: Layout, whole: BlobView) -> Download:
        """The bytes of all tensors that are no constants, one after the other. The reply names the whole file."""
        stretches = moving_stretches(layout)
        size = sum(stop - start for start, stop in stretches)
        digest = self._digests.get(whole.digest)
        if digest is None:
            digest = offload(self._digest, whole.digest, stretches)
            while len(self._digests) >= _KEPT:
                del self._digests[next(iter(self._digests))]
            self._digests[whole.digest] = digest
        return Download(whole, partial(self._pieces, whole.digest, stretches), size, digest)

    def _digest(self, whole: str, stretches: list[tuple[int, int]]) -> str:
        found = blake3()
        for piece in self._pieces(whole, stretches, 0, sum(stop - start for start, stop in stretches)):
            found.update(piece)
        return found.hexdigest()

    def _pieces(self, whole: str, stretches: list[tuple[int, int]], start: int, stop: int) -> Iterator[bytes]:
        """Bytes ``start`` to ``stop`` of the moving part."""
        before = 0
        with self._blobs.open(whole) as reader:
            for first, last in stretches:
                here = first + max(start - before, 0)
                end = min(last, first + stop - before)
                while here < end:
                    piece = reader.read(here, min(here + _PIECE, end))
                    here += len(piece)
                    yield piece
                before += last - first
