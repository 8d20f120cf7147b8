"""A clipped difference with exact Gaussian noise: on a grid, whole numbers throughout, drawn once.

The difference is put on a fixed grid, clipped there, and gets discrete Gaussian noise (:mod:`syft_ext.privacy`):
what is reported is a whole number of steps, and rounding it to the model's dtype afterwards tells nothing more.

Noise follows from the participant's secret, from what is asked (training, cycle, assignment, the model that
training began with) and from what is answered. Who repeats the answer to a question, after a crash say,
repeats the noise, so that nothing can be averaged away; and two answers, or two questions, share no noise, so
that nothing of it cancels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray

from syft_ext.errors import InvalidTensors
from syft_ext.federated.bounds.clipping import Pair, blocks, to_float
from syft_ext.privacy.grid import Grid
from syft_ext.privacy.keys import derive_key
from syft_ext.privacy.noise import DiscreteGaussian
from syft_ext.tensors import raw_bytes

__all__ = ["noisy_difference"]


def noisy_difference(
    pairs: Mapping[str, Pair], norm: float, multiplier: float, secret: bytes, question: Iterable[str]
) -> dict[str, torch.Tensor]:
    """The clipped and noisy differences by name, flat, in the dtypes of the model.

    Args:
        pairs: the model's floating-point tensors with the trained ones.
        norm: the L2 norm that the difference is clipped to.
        multiplier: the deviation of the noise in units of ``norm``.
        secret: at least 32 bytes.
        question: what the report answers.

    A difference with a number that is not finite counts as none: that it has one would be told without noise.
    """
    grid = Grid(norm)

    def parts() -> Iterable[NDArray[Any]]:
        for pair in pairs.values():
            for _, part in blocks(pair):
                yield part.numpy()

    try:
        magnitude = grid.measure(parts)
    except InvalidTensors:
        pairs = {name: (before, before) for name, (before, _) in pairs.items()}
        magnitude = grid.measure(parts)
    asked, answered = blake3(), blake3()
    places: dict[str, list[NDArray[Any]]] = {}
    for name, pair in pairs.items():
        _feed(asked, pair[0])
        places[name] = [grid.clip(part.numpy(), magnitude) for _, part in blocks(pair)]
        for part in places[name]:
            answered.update(part.view(np.uint8).data)
    key = derive_key(
        secret, "bounded report", *(each.encode() for each in question), asked.digest(), answered.digest()
    )
    deviation = Fraction(multiplier) * Fraction(norm) / Fraction(2) ** grid.exponent
    draws = DiscreteGaussian(deviation * deviation).draws(key)
    made = {}
    for name, (before, _) in pairs.items():
        values = torch.empty_like(before)
        start = 0
        for part in places.pop(name):
            draws.add(part)
            values[start : start + len(part)] = to_float(torch.from_numpy(grid.restore(part)), before.dtype)
            start += len(part)
        made[name] = values
    return made


def _feed(hasher: Any, tensor: torch.Tensor) -> None:
    """Hash the bytes of a flat tensor."""
    if tensor.numel():
        hasher.update(raw_bytes(tensor).numpy().data)
