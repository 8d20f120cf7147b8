"""Every operation of the op set says what it requires, and no signature has changed under what it says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from syft_ext.plans.graph.ops import ALLOWED
from syft_ext.plans.preconditions.declaration import NOTHING, Preconditions
from syft_ext.plans.preconditions.table import PRECONDITIONS

DECLARED = {name: each for name, each in PRECONDITIONS.items() if each is not NOTHING}


def test_no_operation_is_undeclared_and_none_is_declared_that_is_not_there() -> None:
    assert set(PRECONDITIONS) == set(ALLOWED)


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_declared_fits_the_schema(name: str) -> None:
    declared, parameters = DECLARED[name], ALLOWED[name]._schema.arguments
    for part in ("form", "values", "omitted", "bounds", "work", "scratch"):
        assert _takes(getattr(declared, part), len(parameters)), part
    tensors = {argument.name for argument in parameters if "Tensor" in str(argument.real_type)}
    assert set(declared.dense) <= tensors
    assert declared != Preconditions()  # else it says NOTHING
