"""A slice of ``python -m tests.plans.onnx.conformance``, which goes on."""

from __future__ import annotations

import pytest
import torch

from syft_ext.plans.graph.ops import ALLOWED
from syft_ext.plans.onnx.convert import TRANSLATORS
from syft_ext.plans.onnx.refused import REFUSED

from .conformance import Outcome, held, hold, operations

NAMES = operations()


def test_every_operation_is_translated_or_refused_by_name() -> None:
    assert set(TRANSLATORS) | set(REFUSED) == set(ALLOWED)
    assert not set(TRANSLATORS) & set(REFUSED)


@pytest.mark.parametrize("names", [NAMES[place::6] for place in range(6)], ids=range(6))
def test_onnxruntime_gives_what_torch_gives(names: list[str]) -> None:
    for outcome in held(names, 0, 4):
        assert not outcome.wrong, f"{outcome.name}: {outcome.wrong}"
        assert outcome.equal >= 2, f"{outcome.name} was hardly compared: {outcome}"


NAN, INF = torch.nan, torch.inf
EXTREMES = torch.tensor(
    [[1.0, NAN, 3.0, INF], [-INF, -INF, -INF, -INF], [NAN, INF, NAN, -INF], [2.0, 2.0, 1.0, 0.0]]
)
IMAGE = torch.full((1, 1, 4, 4), -INF)
KNOWN = {
    "NaN in a maximum": ("aten.amax.default", [EXTREMES, [1], False]),
    "NaN among places": ("aten.argmax.default", [EXTREMES, 1, False]),
    "NaN in an order": ("aten.sort.default", [EXTREMES, 1, True]),
    "a pool of infinities": ("aten.max_pool2d_with_indices.default", [IMAGE, [2, 2], [2, 2], [1, 1]]),
    "a pool of NaN": ("aten.max_pool2d_with_indices.default", [EXTREMES[None, None], [2, 2], [2, 2]]),
    "the tail of a sigmoid": ("aten.sigmoid.default", [torch.tensor([-88.0, -40.0, -18.5, 40.0, NAN])]),
    "NaN in tanh": ("aten.tanh.default", [EXTREMES]),
    "a product of whole numbers that wraps": ("aten.prod.default", [torch.tensor([1 << 40, 1 << 40, 3])]),
    "a sum of whole numbers that wraps": ("aten.sum.default", [torch.tensor([(1 << 62) + 1] * 5)]),
    "a power of whole numbers beyond doubles": (
        "aten.pow.Tensor_Scalar",
        [torch.tensor([3037000499, -7]), 3],
    ),
    "a matrix times a vector": (
        "aten.mv.default",
        [EXTREMES.nan_to_num(0, 1, 2).T.contiguous(), torch.arange(4.0)],
    ),
    "a place that is none": ("aten.gather.default", [torch.arange(4.0), 0, torch.tensor([1, 4])]),
    "a negative place": ("aten.gather.default", [torch.arange(4.0), 0, torch.tensor([-1])]),
    "a division by zero": ("aten.div.Tensor_mode", [torch.tensor([1, 2]), torch.tensor([1, 0])]),
    "a logarithm near one": ("aten.log1p.default", [torch.tensor([1e-12, -1e-9, INF, -1.0])]),
    "a power near one": ("aten.expm1.default", [torch.tensor([1e-12, -1e-9, 100.0, -INF])]),
}


@pytest.mark.parametrize("what", KNOWN)
def test_what_runtimes_get_wrong_comes_out_right(what: str) -> None:
    name, args = KNOWN[what]
    options = {"rounding_mode": "floor"} if "division" in what else {}
    outcome = Outcome(name)
    hold(name, (list(args), options), outcome)
    assert (outcome.equal, outcome.wrong) == (1, [])
