"""Whether a training plan that takes noise does with it what ε is stated for, tried on made-up rows.

A step of private training (M. Abadi et al., "Deep learning with differential privacy", 2016) clips what each row
would change, sums, and adds noise of ``noise_multiplier`` times that. The trial runs the plan with and without
noise, and with one row replaced by absurd ones, of each class that the participant has: the noise must reach
every parameter alike, and no row may do more than twice the clipping norm that the noise is made for. A plan that
behaves in the trial and otherwise elsewhere passes it: what it does is for its reviewers to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking.selftest import make_inputs
from syft_ext.plans.graph.document import Document
from syft_ext.plans.ir import Plan

__all__ = ["MULTIPLIER", "check_private_steps", "noise_multiplier_of", "takes_noise"]

MULTIPLIER = "noise_multiplier"
"""The option that says how large the noise is, in clipping norms."""
_SLACK = 1.01
_CLASSES = 8
"""So many are tried: the ends and what lies between, where a participant has more."""
_ROWS = 1024
_CARRIED = frozenset({"buffer", "state"})
Flat = Sequence[torch.Tensor]


def takes_noise(document: Document) -> bool:
    """Whether its executor draws noise for it."""
    return any(item.role == "noise" for item in document.inputs)


def noise_multiplier_of(document: Document, config: Mapping[str, Any]) -> float:
    """What ``client_config``, or the plan's default, says. Raises :class:`InvalidPlan` where there is none of at
    least 1e-6: with less, what a step tells is beyond any number."""
    item = next((each for each in document.inputs if each.name == MULTIPLIER and each.role == "hyper"), None)
    value = config.get(MULTIPLIER)
    if value is None and item is not None and item.default is not None:
        value = float(make_inputs(document, document.selftest)[document.inputs.index(item)])
    if item is None or not isinstance(value, int | float) or not 1e-6 <= value < 1e6:
        raise InvalidPlan(
            f"a plan that takes noise says how much in an option {MULTIPLIER}, a number above 0 (at least 1e-6)",
            input=MULTIPLIER,
        )
    return float(value)


def check_private_steps(
    plan: Plan,
    values: Mapping[int, torch.Tensor],
    multiplier: float,
    run: Callable[[Flat], Flat] | None = None,
    rows: Mapping[int, torch.Tensor] | None = None,
) -> None:
    """Raise :class:`InvalidPlan` for a plan whose noise does not cover what one row does.

    Args:
        values: by place, inputs as they will be: the model and options. run: runs the plan on flat inputs.
        rows: by place, the participant's own. Of whole numbers, which are classes, those that occur are tried:
            what the plan's author gave as examples may be all of one.
    """
    document, run = plan.document, run or plan.run
    bare = next((item.name for item in document.outputs if item.role in _CARRIED), None)
    if bare is not None:
        raise InvalidPlan(
            f"result {bare} goes into the next step or the report, and gets no noise", output=bare
        )
    flat = make_inputs(document, document.selftest)
    for place, value in values.items():
        flat[place] = value
    places = [index for index, item in enumerate(document.inputs) if item.role == "noise"]
    data = next((i for i, item in enumerate(document.inputs) if item.role == "data" and item.shape), None)
    if data is None or len(flat[data]) < 1:
        raise InvalidPlan("a plan that takes noise takes rows of data")
    still = [torch.zeros_like(each) if i in places else each for i, each in enumerate(flat)]
    before = _params(document, run(still))
    unit = _unit(document, run, still, places, before)
    for other in _others(document, still, rows or {}):
        moved = _params(document, run(other)) - before
        # Another row in its place: what one did is taken away, and what the other does is added.
        if not float(moved.norm()) <= 2 * unit / multiplier * _SLACK + 1e-5 * float(before.norm()):
            raise InvalidPlan("one row changes the model by more than the plan's noise is made for")


def _others(
    document: Document, still: Flat, rows: Mapping[int, torch.Tensor]
) -> Iterator[list[torch.Tensor]]:
    """The inputs with an absurd first row, several times: what it does depends on its size, its sign (a model that
    is sure of one row errs with its opposite) and its class."""
    random = torch.Generator().manual_seed(0)
    places = [i for i, item in enumerate(document.inputs) if item.role in ("data", "target") and item.shape]
    absurd = {
        i: torch.randn(still[i][0].shape, generator=random) for i in places if still[i].is_floating_point()
    }
    classes = {i: _classes(still[i], rows.get(i)) for i in places if i not in absurd}
    for scale in (1.0, -1.0, 1e2, -1e2, 1e4, -1e4):
        for number in range(max([1, *map(len, classes.values())])):
            other = list(still)
            for i in places:
                other[i] = still[i].clone()
                if i in absurd:
                    other[i][0] = (absurd[i] * scale).to(still[i].dtype)
                else:
                    other[i][0] = classes[i][number % len(classes[i])]
            yield other


def _classes(made: torch.Tensor, own: torch.Tensor | None) -> torch.Tensor:
    """Some of the whole numbers, or rows of them, that occur; they are classes or places, and others mean
    nothing."""
    found: torch.Tensor = torch.unique(made, dim=0)
    if own is not None and own.shape[1:] == made.shape[1:] and not own.is_floating_point():
        if own.ndim > 1:  # rows of numbers, texts say, of which few are alike
            own = own[:: 1 + len(own) // _ROWS]
        found = torch.unique(torch.cat([made.to(own.dtype), own]), dim=0).to(made.dtype)
    chosen = torch.linspace(0, len(found) - 1, min(len(found), _CLASSES)).round().to(torch.int64)
    return found[chosen]


def _unit(
    document: Document, run: Callable[[Flat], Flat], still: Flat, places: Sequence[int], before: torch.Tensor
) -> float:
    """The deviation of the noise in each parameter."""
    unit = 0.0
    for size in (1e3, 1.0, -2.0):  # the first for its exactness, the others as noise is
        noisy = [torch.full_like(each, size) if i in places else each for i, each in enumerate(still)]
        moved = (_params(document, run(noisy)) - before).abs()
        unit = unit or float(moved.median()) / size
        expected = unit * abs(size)
        if not unit > 0 or not bool(
            ((moved - expected).abs() <= 0.02 * expected + 1e-6 * before.abs()).all()
        ):
            raise InvalidPlan("the plan takes noise, and does not add it to every parameter alike")
    return unit


def _params(document: Document, results: Flat) -> torch.Tensor:
    found = [each for item, each in zip(document.outputs, results, strict=True) if item.role == "param"]
    if not found:
        raise InvalidPlan("a plan that takes noise returns updated parameters")
    joined = torch.cat([each.detach().reshape(-1).to(torch.float64) for each in found])
    if not bool(joined.isfinite().all()):
        raise InvalidPlan("a step of the plan is not finite on made-up rows")
    return joined
