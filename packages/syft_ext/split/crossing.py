"""What is done to rows before they cross to the other owner: clipped on a grid, exact noise added."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from blake3 import blake3

from syft_ext.errors import ProtocolAborted
from syft_ext.messages.split_terms import Crossing, SplitTerms
from syft_ext.privacy.grid import Grid
from syft_ext.privacy.keys import KeyStream
from syft_ext.privacy.noise import DiscreteGaussian, Draws

__all__ = ["Border", "batches_of"]


class Border:
    """One side's, for one run: noise follows from a key of its own, which nobody can make again."""

    def __init__(self, crossing: Crossing) -> None:
        self._grid = None if crossing.clip is None else Grid(crossing.clip)
        self._noise: Draws | None = None
        if self._grid is not None and crossing.noise_multiplier is not None:
            assert crossing.clip is not None
            steps = Fraction(crossing.clip) / Fraction(2) ** self._grid.exponent
            self._noise = DiscreteGaussian((Fraction(crossing.noise_multiplier) * steps) ** 2).draws()

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Rows × width in float32 → the same, as they may cross.

        A row that is not finite counts as zeros where there is noise: that it is not would be told without any.
        Raises :class:`ProtocolAborted` for one where there is none.
        """
        finite = torch.isfinite(values).all(dim=1)
        if self._noise is not None:
            values = torch.where(finite[:, None], values, 0.0)
        elif not bool(finite.all()):
            raise ProtocolAborted(
                "a number of what crosses is not finite: the training diverges, or the rows do"
            )
        if self._grid is None:
            return values
        grid, rows = self._grid, values.double().numpy()
        places = np.stack([grid.clip(row, grid.measure(lambda row=row: [row])) for row in rows])  # type: ignore[misc]
        flat = places.reshape(-1)
        if self._noise is not None:
            self._noise.add(flat)
        return torch.from_numpy(grid.restore(flat).astype(np.float32)).reshape(values.shape)


def batches_of(terms: SplitTerms) -> Iterator[tuple[int, torch.Tensor]]:
    """Epoch and places of the rows of each batch: the same at both parties. The last of an epoch may be smaller.

    Each epoch of a training has an order of its own, which follows from the seed; predictions go in order.
    """
    for epoch in range(terms.epochs):
        order = np.arange(terms.rows)
        if terms.trains:
            said = f"{terms.seed} {epoch}".encode()
            key = blake3(said, derive_key_context="grid 2026-12 order of rows").digest()
            order = np.argsort(KeyStream(key).words(terms.rows), kind="stable")
        for start in range(0, terms.rows, terms.batch):
            yield epoch, torch.from_numpy(order[start : start + terms.batch].astype(np.int64))
