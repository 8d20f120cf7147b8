"""The rules on elements against what they mean, and the arithmetic of shapes and costs against torch's own."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking.propagate import propagate
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.preconditions import costs
from syft_ext.plans.preconditions.forms import indexed_shape
from syft_ext.plans.preconditions.results import TensorType, as_announced, blank, is_dense
from syft_ext.plans.preconditions.sizes import broadcast, extent
from syft_ext.plans.preconditions.values import InRange, NoOverflow, Quotient, Targets
from syft_ext.plans.running.codegen import generate

from .documents import forge_calls, ints, ref

WHOLE = ["i64", "i32", "i16", "i8", "u8"]


def near_the_ends(dtype: torch.dtype) -> st.SearchStrategy[int]:
    info = torch.iinfo(dtype)
    small = st.integers(max(info.min, -5), 5)
    return small | st.integers(info.min, info.max) | st.sampled_from([info.min, info.max])


def tensors(dtype: torch.dtype) -> st.SearchStrategy[torch.Tensor]:
    return st.lists(near_the_ends(dtype), min_size=1, max_size=6).map(lambda v: torch.tensor(v, dtype=dtype))


def refuses(rule: Any, *operands: torch.Tensor) -> bool:
    try:
        rule(*operands)
    except ValueError:
        return True
    return False


@given(
    st.sampled_from(WHOLE).flatmap(lambda name: tensors(DTYPES[name])), st.integers(-4, 4), st.integers(0, 6)
)
def test_indices_are_in_range_or_refused(index: torch.Tensor, low: int, size: int) -> None:
    outside = any(not low <= each < low + size for each in index.tolist())
    assert refuses(InRange(low, low + size), index) is outside


@given(tensors(torch.int64), st.integers(1, 6), st.integers(-3, 8) | st.just(-100))
def test_targets_are_classes_or_ignored(target: torch.Tensor, classes: int, ignored: int) -> None:
    outside = any(not 0 <= each < classes and each != ignored for each in target.tolist())
    assert refuses(Targets(classes, ignored), target) is outside


@given(st.sampled_from(WHOLE).flatmap(lambda name: st.tuples(*[tensors(DTYPES[name])] * 2)))
def test_divisions_of_integers_have_a_result(operands: tuple[torch.Tensor, torch.Tensor]) -> None:
    dividend, divisor = operands[0].reshape(-1, 1), operands[1]
    info = torch.iinfo(dividend.dtype)
    pairs = itertools.product(dividend.flatten().tolist(), divisor.tolist())
    trap = any(b == 0 or (info.min < 0 and a == info.min and b == -1) for a, b in pairs)
    assert refuses(Quotient(info.min), dividend, divisor) is trap
    if info.min < 0:
        assert refuses(NoOverflow(info.min), dividend) is (info.min in dividend.flatten().tolist())


SHAPES = st.lists(st.integers(0, 4), max_size=4)


@given(st.lists(SHAPES, min_size=1, max_size=3))
def test_shapes_are_brought_together_as_torch_does(shapes: list[list[int]]) -> None:
    try:
        expected = tuple(torch.broadcast_tensors(*(torch.empty(shape) for shape in shapes))[0].shape)
    except RuntimeError:
        with pytest.raises(InvalidPlan):
            broadcast(*shapes)
        return
    assert broadcast(*shapes) == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=4))
def test_contiguous_is_what_torch_calls_so(dimensions: list[tuple[int, int]]) -> None:
    shape, strides = tuple(n for n, _ in dimensions), tuple(s for _, s in dimensions)
    tensor = torch.empty(100).as_strided(shape, strides)
    assert is_dense(shape, strides) == tensor.is_contiguous()
    assert extent(shape) == math.prod(n or 1 for n in shape) and (extent(shape) == tensor.numel()) >= (
        0 not in shape
    )


@given(st.permutations(range(3)), st.permutations(range(3)))
def test_a_result_is_laid_out_as_announced(kernel: list[int], promised: list[int]) -> None:
    given_ = torch.arange(24.0).reshape(2, 3, 4)

    def laid_out(order: list[int]) -> torch.Tensor:
        back = sorted(range(3), key=lambda place: order[place])
        return given_.permute(order).contiguous().permute(back)

    announced = TensorType.of(laid_out(promised))
    result = as_announced(laid_out(kernel), announced)
    assert torch.equal(result, given_) and TensorType.of(result) == announced
    assert TensorType.of(blank(announced)) == announced and blank(announced).isnan().all()


def test_strides_of_dimensions_of_one_are_as_announced_too() -> None:
    given_ = torch.arange(3.0).as_strided((1, 3), (7, 1)).expand(2, 1, 3)
    announced = TensorType(torch.float32, (2, 1, 3), (0, 5, 1))
    result = as_announced(given_, announced)
    assert torch.equal(result, given_) and TensorType.of(result) == announced


@st.composite
def indexing(draw: st.DrawFn) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    x = torch.zeros(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    indices: list[torch.Tensor | None] = []
    for size in x.shape[: draw(st.integers(1, x.dim()))]:
        if draw(st.booleans()):
            own = [n if draw(st.booleans()) else 1 for n in shape][draw(st.integers(0, len(shape) - 1)) :]
            indices.append(torch.randint(-size, size, own))
        else:
            indices.append(None)
    if all(index is None for index in indices):
        indices[-1] = torch.zeros(shape, dtype=torch.int64)
    return x, indices


@given(indexing())
def test_indexing_has_the_shape_that_the_kernel_gives(
    case: tuple[torch.Tensor, list[torch.Tensor | None]],
) -> None:
    x, indices = case
    assert indexed_shape(x, indices) == tuple(torch.ops.aten.index.Tensor(x, indices).shape)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 3),
    st.booleans(),
    st.data(),
)
def test_the_work_of_a_pool_is_not_counted_low(
    size: tuple[int, int], kernel: int, stride: int, dilation: int, ceil_mode: bool, data: st.DataObject
) -> None:
    padding = data.draw(st.integers(0, kernel // 2))
    x = torch.zeros(1, *size)
    arguments = ([kernel], [stride], [padding], [dilation], ceil_mode)
    try:
        places = torch.ops.aten.max_pool2d_with_indices.default(x, *arguments)[0]
    except RuntimeError:
        return
    looked_at = 0  # elements of all windows that lie in the image
    for place in itertools.product(*(range(n) for n in places.shape[1:])):
        looked_at += math.prod(
            sum(0 <= p * stride - padding + k * dilation < n for k in range(kernel))
            for p, n in zip(place, size, strict=True)
        )
    assert costs.pool_work(x, *arguments) >= looked_at


def _looks(steps: list[Any], *, indices: int) -> int:
    """How often a step of this plan looks at elements. Input 0 is an image, input 1 some places."""
    document = forge_calls([("f32", (1, 4, 4)), ("i64", (indices,))], steps, ("f32", (1, 16)))
    found = propagate(document, {}, Limits())
    return sum(len(node.checks) for node in found.nodes)


POOL = (
    "aten.max_pool2d_with_indices.default",
    [ref(0), ints(2, 2), ints(2, 2), ints(0, 0), ints(1, 1), False],
)
SPREAD = (
    "aten.max_pool2d_with_indices.default",
    [ref(0), ints(2, 2), ints(1, 1), ints(1, 1), ints(3, 3), False],
)


def _scattered(*before: Any, places: int, shape: int) -> list[Any]:
    """The gradient of a pool: its places, in a row, are where ones are added to 16 zeros."""
    return [
        *before,
        ("aten.reshape.default", [ref(places), ints(1, shape)]),
        ("aten.zeros.default", [ints(1, 16)]),
        ("aten.ones.default", [ints(1, shape)]),
        ("aten.scatter_add.default", [ref(places + 2), 1, ref(places + 1), ref(places + 3)]),
    ]


def test_places_that_a_kernel_found_are_not_looked_at() -> None:
    assert _looks(_scattered((*POOL, {}, 2), places=3, shape=4), indices=1) == 0
    # A spread window may lie in the padding altogether, and one is no place after arithmetic.
    assert _looks(_scattered((*SPREAD, {}, 2), places=3, shape=9), indices=1) == 1
    moved = [(*POOL, {}, 2), ("aten.add.Scalar", [ref(3), 1])]
    assert _looks(_scattered(*moved, places=4, shape=4), indices=1) == 1


def test_a_place_that_was_looked_at_is_looked_at_once() -> None:
    gathers = [("aten.gather.default", [ref(0), 1, ref(2)]), ("aten.gather.default", [ref(0), 2, ref(2)])]
    steps = [
        ("aten.reshape.default", [ref(1), ints(1, 4, 4)]),
        *gathers,
        ("aten.reshape.default", [ref(4), ints(1, 16)]),
    ]
    assert _looks(steps, indices=16) == 2
    document = forge_calls([("f32", (1, 4, 4)), ("i64", (16,))], steps, ("f32", (1, 16)))
    made = generate(document, propagate(document, {}, Limits()), {}, [])
    rules = [line for line in made.source.splitlines() if line.lstrip().startswith("k")]
    assert len(rules) == 1
