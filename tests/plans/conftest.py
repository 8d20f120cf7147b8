"""Plans of all examples, traced once for the whole area: tracing takes most of the time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch

from syft_ext.plans import Plan, trace

from .examples import Example, all_examples

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def examples() -> dict[str, Example]:
    return all_examples(lstm_length=6)


@pytest.fixture(scope="session")
def traced(examples: dict[str, Example]) -> Callable[[str], Plan]:
    """Name of an example -> its plan, after a trip through bytes."""

    @cache
    def get(name: str) -> Plan:
        example = examples[name]
        plan = trace(example.function, name=name, symbols=example.symbols, **example.arguments)
        return Plan.read(plan.dumps())

    return get
