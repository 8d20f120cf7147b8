"""The same draws in each run: every test begins with generators that are seeded by its own name, wherever it runs.

``random``, numpy's and torch's global generators are seeded before a file is imported, before a fixture is made
that outlives a test, and before each test with its own fixtures. What a test draws depends on nothing that ran
before it, and Hypothesis draws the same examples each time: what fails once fails again.

``GRID_TEST_RANDOM=<number>`` draws otherwise, and the same for the same number: who searches runs one number
after another. What asks the operating system for chance (keys, noise, who is drawn) is not seeded here: tests of
that have bars that chance meets, or give a source of their own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import pytest
import torch

__all__ = ["OTHERWISE", "seed_all"]

OTHERWISE = os.environ.get("GRID_TEST_RANDOM", "")


def seed_all(name: str) -> None:
    seed = int.from_bytes(blake2b(f"{OTHERWISE} {name}".encode(), digest_size=4).digest(), "big")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def _untouched() -> Iterator[None]:
    """Afterwards the generators go on as if nothing had been drawn."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def pytest_configure(config: pytest.Config) -> None:
    if OTHERWISE and config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = OTHERWISE


@pytest.hookimpl(tryfirst=True)
def pytest_collectstart(collector: pytest.Collector) -> None:
    if isinstance(collector, pytest.Module):
        seed_all(collector.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    seed_all(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """What outlives a test may not depend on which test came first, nor may what that one draws depend on it."""
    if fixturedef.scope == "function":
        return (yield)
    with _untouched():
        seed_all(f"{fixturedef.baseid}::{fixturedef.argname}[{getattr(request, 'param_index', 0)}]")
        return (yield)
