"""A consortium, and what its participants send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import syft_ext as sy
from tests.confidential_training.consortium import GRID_BITS, Consortium
from tests.user_folder import fresh_user

MODEL = {"w": torch.ones(4, 3), "b": torch.zeros(3)}
Change = dict[str, NDArray[Any]]


@cache
def plan_bytes() -> bytes:
    """A client plan that fits :data:`MODEL`; nobody here runs it."""

    @sy.make_plan
    def nothing(params=sy.List([*MODEL.values()])):  # type: ignore[no-untyped-def]
        return [param - 1.0 for param in params]

    data: bytes = nothing.dumps()
    return data


def changes(count: int, seed: int = 1) -> list[Change]:
    """Differences that are well within the clip norm."""
    rng = np.random.default_rng(seed)
    return [
        {name: rng.normal(0, 0.05, tensor.shape).astype(np.float32) for name, tensor in MODEL.items()}
        for _ in range(count)
    ]


def on_the_grid(each: Mapping[str, NDArray[Any]]) -> Change:
    """What a participant's change counts as, where nothing is clipped: truncated to whole grid units."""
    return {name: np.trunc(value.astype(np.float64) * 2**GRID_BITS) for name, value in each.items()}


@pytest.fixture(scope="module")
def plans() -> dict[str, bytes]:
    return {"training_plan": plan_bytes()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """One for all tests of a file: each has a training, and a scope, of its own."""
    folder = tmp_path_factory.mktemp("consortium")
    with pytest.MonkeyPatch.context() as patch, fresh_user(folder / "user"):
        consortium = Consortium(folder, patch, hosts=3)
        yield consortium
        consortium.close()
