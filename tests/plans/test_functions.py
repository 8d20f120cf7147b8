"""Plans compute what eager torch computes, gradients too; what they cannot hold says what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import syft_ext as sy
from syft_ext.plans.tracing.errors import TraceError

from .functions import GOES, REFUSED

_NAMES = list(GOES)
_GROUPS = [_NAMES[start : start + 20] for start in range(0, len(_NAMES), 20)]


def with_gradients(function: Callable[..., Any], operands: list[Tensor]) -> list[Tensor]:
    """The results of ``function``, and the gradients of the sum of their squares."""
    leaves = [x.detach().requires_grad_() if x.is_floating_point() else x for x in operands]
    with torch.enable_grad():
        made = function(*leaves)
    results = list(made) if isinstance(made, tuple | list) else [made]
    smooth = [x for x in results if x.is_floating_point() and x.requires_grad]
    given: list[Any] = []
    if smooth:
        total = torch.stack([(x**2).sum() for x in smooth]).sum()
        wanted = [x for x in leaves if x.requires_grad]
        given = [x for x in torch.autograd.grad(total, wanted, allow_unused=True) if x is not None]
    return [x.detach() for x in [*results, *given]]


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("names", _GROUPS, ids=lambda names: f"{names[0]} to {names[-1]}")
def test_a_plan_computes_what_torch_does(names: list[str]) -> None:
    operands = [x for name in names for x in GOES[name][1]]

    def all_of_them(xs: Any = sy.List(operands)) -> list[list[Tensor]]:
        rest, results = list(xs), []
        for name in names:
            function, given = GOES[name]
            results.append(with_gradients(function, rest[: len(given)]))
            rest = rest[len(given) :]
        return results

    plan = sy.make_plan(all_of_them)
    for name, found in zip(names, plan(operands), strict=True):
        function, given = GOES[name]
        expected = with_gradients(function, given)
        assert len(found) == len(expected), name
        for one, other in zip(found, expected, strict=True):
            said = partial("{}: {}".format, name)
            torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6, equal_nan=True, msg=said)


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_plan_cannot_hold_says_what_to_write(name: str) -> None:
    function, operands, hint = REFUSED[name]

    def refused(xs: Any = sy.List(operands)) -> Any:
        return with_gradients(function, list(xs))

    with pytest.raises(TraceError, match=r"functions\.py, line \d+(.|\n)*" + hint) as caught:
        sy.make_plan(refused)
    assert caught.value.extra["hint"]
