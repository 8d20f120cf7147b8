"""What cannot be recorded is refused with the line that says it and what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from syft_ext.errors import InvalidPlan
from syft_ext.plans import TraceError, TraceWarning, make_plan, trace
from syft_ext.plans.tracing import optim

X = torch.arange(12.0).reshape(4, 3)


def branch(x: Any) -> Any:
    if x.sum() > 0:  # here
        return x
    return -x


def item(x: Any) -> Any:
    return x * x.sum().item()  # here


def python_number(x: Any) -> Any:
    return x * float(x.max())  # here


def numpy_method(x: Any) -> Any:
    return torch.from_numpy(x.numpy())  # here


def numpy_function(x: Any) -> Any:
    return np.sum(x)  # here


def boolean_mask(x: Any) -> Any:
    positive = x > 0
    return x[positive].sum()  # here


def nonzero(x: Any) -> Any:
    return torch.nonzero(x)  # here


def singular_values(x: Any) -> Any:
    return torch.linalg.svdvals(x)  # here


def mode(x: Any) -> Any:
    return x.mode()  # here


def dropout(x: Any) -> Any:
    return F.dropout(x, 0.5)  # here


def python_error(x: Any) -> Any:
    return x @ x  # here


CASES: list[tuple[Callable[..., Any], str]] = [
    (branch, "torch.where"),
    (item, "torch.where"),
    (python_number, "torch.where"),
    (numpy_method, "torch function"),
    (numpy_function, "torch function"),
    (boolean_mask, "mask"),
    (nonzero, "mask"),
    (singular_values, "matrix products"),
    (mode, "one_hot"),
    (dropout, "seed"),
    (python_error, ""),
]


@pytest.mark.parametrize(("function", "advice"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_error_names_the_line_and_the_alternative(function: Callable[..., Any], advice: str) -> None:
    lines, first = inspect.getsourcelines(function)
    number = first + next(i for i, line in enumerate(lines) if "# here" in line)
    with pytest.raises(TraceError) as caught:
        trace(function, X)
    assert f"test_trace_errors.py, line {number} " in str(caught.value)
    assert advice in str(caught.value)
    assert caught.value.code == "untraceable-plan" and isinstance(caught.value, InvalidPlan)


def test_a_size_that_should_vary_and_is_fixed_by_the_function() -> None:
    def fixed(x: Any) -> Any:
        return x.view(4, 3) * 2

    def compared(x: Any, y: Any) -> Any:
        return (x - torch.ones(4, 3)).sum() + y.sum()

    for function, arguments in ((fixed, (X,)), (compared, (X, X))):
        with pytest.raises(TraceError, match=r"B varies|fixes the size B") as caught:
            trace(function, *arguments, symbols={"x": {0: "B"}})
        assert caught.value.extra["symbol"] == "B" and caught.value.extra["line"] > 0
        # The bare form only guessed that the batch may vary: it makes a plan of fixed size, and says so.
        with pytest.warns(TraceWarning, match="exactly 4 rows"):
            plan = trace(function, *arguments)
        assert plan.symbols == {}
        with pytest.raises(InvalidPlan, match="the plan takes"):
            plan(*[a[:2] for a in arguments])


def test_branches_on_sizes_that_bounds_cannot_express() -> None:
    def other_than(x: Any) -> Any:
        return x.sum() if x.shape[0] == 64 else x.mean()

    def compared(x: Any, y: Any) -> Any:
        return x.sum() if x.shape[0] > y.shape[0] else x.mean()

    with pytest.raises(TraceError, match=r"takes another way depending on B \(Ne\(B, 64\) here\)"):
        trace(other_than, X, symbols={"x": {0: "B"}})
    with pytest.raises(TraceError, match="depending on B and K"):
        trace(compared, X, X, symbols={"x": {0: "B"}, "y": {0: "K"}})


def test_wrong_declarations() -> None:
    def double(x: Any, k: Any = 2) -> Any:
        return x * k

    with pytest.raises(TraceError, match="no example"):
        make_plan(double)
    with pytest.raises(TraceError, match="no tensor argument of the plan"):
        trace(double, X, symbols={"z": {0: "B"}})
    with pytest.raises(TraceError, match="has 2 dimensions"):
        trace(double, X, symbols={"x": {2: "B"}})
    with pytest.raises(TraceError, match="roles names q"):
        trace(double, X, roles={"q": "data"})
    with pytest.raises(TraceError, match="outputs names no result"):
        trace(double, X, outputs={"q": "metric"})
    with pytest.raises(TraceError, match="returns a str"):
        trace(lambda x: "text", X)
    with pytest.raises(TraceError, match="no tensor argument"):
        trace(lambda mode="fast": torch.ones(1))
    with pytest.raises(TraceError, match="RMSprop cannot be recorded"):
        optim.TorchOptimizer(torch.optim.RMSprop, [X], 0.1)


@pytest.mark.parametrize("said", ["nonsense", "", "metric", None, 3])
def test_an_unknown_role_of_an_input_is_refused_with_those_that_there_are(said: Any) -> None:
    def double(x: Any = X) -> Any:
        return x * 2

    ways: list[Callable[[], Any]] = [
        lambda: trace(double, X, roles={"x": said}),
        lambda: make_plan(roles={"x": said})(double),
    ]
    for way in ways:
        with pytest.raises(
            TraceError, match=r"roles of x: .* is no role; there are: data, target, .*, noise"
        ):
            way()


@pytest.mark.parametrize("said", ["nonsense", "", "data", None, 3])
def test_an_unknown_role_of_an_output_is_refused_with_those_that_there_are(said: Any) -> None:
    def double(x: Any = X) -> Any:
        y = x * 2
        return (y,)

    ways: list[Callable[[], Any]] = [
        lambda: trace(double, X, outputs={"y": said}),
        lambda: make_plan(outputs={"y": said})(double),
    ]
    for way in ways:
        with pytest.raises(TraceError, match=r"outputs of y: .* is no role; there are: metric, .*, result"):
            way()


def test_an_unknown_kind_and_bounds_of_no_size_are_refused() -> None:
    kind: Any = "virus"
    with pytest.raises(TraceError, match=r"'virus' is no kind; there are: training, averaging, "):
        trace(lambda x: x * 2, X, kind=kind)
    with pytest.raises(TraceError, match="bounds names Q, and the sizes that vary are: B"):
        trace(lambda x: x * 2, X, bounds={"Q": (1, 8)})
    with pytest.raises(TraceError, match="bounds names B, and the sizes that vary are: none"):
        trace(lambda x: x * 2, X, bounds={"B": (1, 8)}, symbols={})


def test_an_error_in_a_called_module_names_that_line() -> None:
    class Picky(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            assert x.mean() > 0
            return x

    with pytest.raises(TraceError, match=r"assert x.mean\(\) > 0"):
        trace(Picky().forward, X)
