"""For operations whose operands must fit each other: calls that do, before the fuzzer changes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from .maker import Maker, Template

aten = torch.ops.aten
_PRODUCTS = ["f32", "f32", "f64", "bf16", "f16", "i64", "i32", "u8", "b"]


def _mm(m: Maker) -> Sequence[Any]:
    n, k, p, dtype = m.few(), m.few(), m.few(), m.choice(_PRODUCTS)
    return [m.tensor([n, k], dtype), m.tensor([k, p], dtype)]


def _bmm(m: Maker) -> Sequence[Any]:
    b, n, k, p, dtype = m.few(), m.few(), m.few(), m.few(), m.choice(_PRODUCTS)
    return [m.tensor([b, n, k], dtype), m.tensor([b, k, p], dtype)]


def _addmm(m: Maker) -> Sequence[Any]:
    n, k, p, dtype = m.few(), m.few(), m.few(), m.choice(_PRODUCTS)
    shapes = m.near([n, p]), [n, k], [k, p]
    return [*(m.tensor(shape, dtype) for shape in shapes), m.choice([1, 0, 0.5]), m.choice([1, 2])]


def _mv(m: Maker) -> Sequence[Any]:
    n, k, dtype = m.few(), m.few(), m.choice(_PRODUCTS)
    return [m.tensor([n, k], dtype), m.tensor([k], dtype)]


def _dot(m: Maker) -> Sequence[Any]:
    n, dtype = m.size(), m.choice(_PRODUCTS)
    return [m.tensor([n], dtype), m.tensor([n], dtype)]


def _division(m: Maker) -> Sequence[Any]:
    shape, dtype = m.shape(), m.choice(["i64", "i64", "i32", "i16", "i8", "u8", "b", "f32"])
    fill = "smallest and -1" if m.chance(0.3) and dtype != "f32" else ""
    other = m.tensor(m.near(shape), dtype if m.chance(0.7) or fill else "", fill)
    return [m.tensor(shape, dtype, fill), other, m.choice(["trunc", "floor", None])]


def _division_by_number(m: Maker) -> Sequence[Any]:
    dtype = m.choice(["i64", "i32", "i8", "u8", "f32"])
    fill = "smallest and -1" if m.chance(0.5) and dtype != "f32" else ""
    return [m.tensor(m.shape(), dtype, fill), m.choice([-1, -1, 0, 1, 2, -3, 0.5])]


def _softmax(m: Maker) -> Sequence[Any]:
    shape = m.shape()
    return [m.tensor(shape, m.floating()), m.axis(len(shape)), m.chance(0.03)]


def _softmax_backward(m: Maker) -> Sequence[Any]:
    shape, dtype = m.shape(), m.floating()
    return [m.tensor(shape, dtype), m.tensor(shape, dtype), m.axis(len(shape)), ["d", dtype]]


def _pointwise_backward(m: Maker) -> Sequence[Any]:
    shape, dtype = m.shape(), m.floating()
    return [m.tensor(shape, dtype), m.tensor(shape, dtype)]


def _threshold_backward(m: Maker) -> Sequence[Any]:
    return [*_pointwise_backward(m), m.number()]


def _gelu_backward(m: Maker) -> Sequence[Any]:
    return [*_pointwise_backward(m), m.choice(["none", "tanh"])]


def _layer_norm(m: Maker) -> Sequence[Any]:
    shape, dtype = m.shape(m.choice([1, 2, 3, 4])), m.floating()
    inner = shape[m.random.randrange(len(shape)) :]
    sides = [m.maybe(lambda: m.tensor(inner, dtype)) for _ in range(2)]
    return [m.tensor(shape, dtype), tuple(inner), *sides, m.epsilon()]


def _group_norm(m: Maker) -> Sequence[Any]:
    groups, dtype = m.choice([1, 1, 2, 3]), m.floating()
    channels = groups * m.few()
    shape = [m.few(), channels, *(m.few() for _ in range(m.choice([0, 1, 2])))]
    sides = [m.maybe(lambda: m.tensor([channels], dtype), 0.7) for _ in range(2)]
    return [m.tensor(shape, dtype), *sides, shape[0], channels, math.prod(shape[2:]), groups, m.epsilon()]


def _batch_norm(m: Maker) -> Sequence[Any]:
    channels, dtype = m.few(), m.floating()
    shape = [m.size(), channels, *(m.few() for _ in range(m.choice([0, 1, 2])))]
    sides = [m.maybe(lambda: m.tensor([channels], m.choice([dtype, dtype, "f32"])), 0.7) for _ in range(2)]
    return [m.tensor(shape, dtype), *sides, m.chance(0.8), m.epsilon(), m.epsilon()]


def _batch_norm_backward(m: Maker) -> Sequence[Any]:
    channels, dtype = m.few(), m.floating()
    shape = [m.size(), channels, *(m.few() for _ in range(m.choice([0, 1, 2])))]
    sides = [
        m.maybe(lambda: m.tensor([channels], m.choice([dtype, dtype, dtype, "f32"])), 0.8) for _ in range(5)
    ]
    mask = tuple(m.chance(0.7) for _ in range(3))
    return [m.tensor(shape, dtype), m.tensor(shape, dtype), *sides, m.chance(0.5), m.epsilon(), mask]


def _geometry(m: Maker, spatial: int) -> list[Any]:
    def sizes(*choices: int) -> tuple[int, ...]:
        return tuple(m.choice(choices) for _ in range(spatial if m.chance(0.85) else 1))

    return [sizes(1, 1, 1, 2, 3), sizes(0, 0, 1, 2, 5), sizes(1, 1, 2, 3)]


def _convolution(m: Maker) -> Sequence[Any]:
    spatial, groups = m.choice([1, 2, 2, 2, 3]), m.choice([1, 1, 1, 2, 3])
    batch, inputs, outputs = (
        m.choice([0, 1, 2, 3]),
        groups * m.choice([1, 2, 4]),
        groups * m.choice([1, 2, 4]),
    )
    transposed, dtype = m.chance(0.3), m.choice(["f32"] * 5 + ["f64", "bf16", "f16", "i64"])
    window = [m.choice([1, 2, 3, 5]) for _ in range(spatial)]
    x = [batch, inputs, *(m.choice([1, 3, 5, 8, 12]) for _ in range(spatial))]
    weight = [inputs, outputs // groups, *window] if transposed else [outputs, inputs // groups, *window]
    extra = tuple(m.choice([0, 0, 1]) if transposed else 0 for _ in range(spatial))
    bias = m.maybe(lambda: m.tensor([outputs], dtype))
    return [
        m.tensor(x, dtype),
        m.tensor(weight, dtype),
        bias,
        *_geometry(m, spatial),
        transposed,
        extra,
        groups,
    ]


def _convolution_backward(m: Maker) -> Sequence[Any]:
    x, weight, _, *geometry = _convolution(m)
    lists = [list(each) if isinstance(each, tuple) else each for each in geometry]
    meta = [torch.empty(each.shape, device="meta") for each in (x, weight)]
    shape = list(aten.convolution(*meta, None, *lists).shape)
    mask = tuple(m.chance(0.7) for _ in range(3))
    return [m.tensor(shape, x.dtype), x, weight, m.choice([None, (shape[1],)]), *geometry, mask]


def _two(m: Maker, *choices: int) -> tuple[int, ...]:
    return tuple(m.choice(choices) for _ in range(2 if m.chance(0.85) else 1))


def _pool(m: Maker) -> list[Any]:
    shape = [m.few() for _ in range(m.choice([3, 4, 4]))]
    dtype = m.choice([m.floating(), "f32", "i64", "u8"])
    stride = m.choice([(), _two(m, 1, 2, 3)])
    fill = "smallest and -1" if dtype == "i64" and m.chance(0.5) else ""
    return [m.tensor(shape, dtype, fill), _two(m, 1, 2, 3, 4), stride, _two(m, 0, 0, 1, 2)]


def _avg_pool(m: Maker) -> Sequence[Any]:
    return [*_pool(m), m.chance(0.5), m.chance(0.5), m.choice([None, 1, 0, -1, 5])]


def _max_pool(m: Maker) -> Sequence[Any]:
    return [*_pool(m), _two(m, 1, 1, 2, 3), m.chance(0.5)]


def _adaptive(m: Maker) -> Sequence[Any]:
    return [m.tensor([m.few() for _ in range(m.choice([3, 4]))], m.floating()), _two(m, 0, 1, 2, 9, 20)]


def _nll(m: Maker) -> list[Any]:
    rows, classes, dtype, single = m.size(), m.few(), m.floating(), m.chance(0.2)
    shape = [classes] if single else [rows, classes]
    weight = m.maybe(lambda: m.tensor([classes], dtype))
    target = m.index(shape[:-1], classes, "i64", "i64", "u8")
    return [m.tensor(shape, dtype), target, weight, m.choice([0, 1, 2]), m.choice([-100, 0, 1, 99, -1])]


def _nll_backward(m: Maker) -> Sequence[Any]:
    x, target, weight, reduction, ignored = _nll(m)
    grad = [] if reduction else x.shape[:-1]
    total = m.tensor([], x.dtype)
    return [m.tensor(grad, x.dtype), x, target, weight, reduction, ignored, total]


def _embedding(m: Maker) -> Sequence[Any]:
    rows = m.few()
    index = m.index(m.shape(), rows, "i64", "i64", "i32")
    return [m.tensor([rows, m.few()]), index, m.choice([-1, 0, 1, rows, 5]), m.chance(0.3), m.chance(0.1)]


def _along(m: Maker) -> tuple[list[int], int, int]:
    """A shape, a dimension, and the size there."""
    shape = m.shape(m.choice([0, 1, 2, 2, 3, 4]))
    dim = m.axis(len(shape))
    return shape, dim, shape[dim] if -len(shape) <= dim < len(shape) else 1


def _gather(m: Maker) -> list[Any]:
    shape, dim, bound = _along(m)
    index = [m.choice([size, 1, max(size - 1, 0)]) for size in shape]
    if -len(shape) <= dim < len(shape):
        index[dim] = m.size()
    return [m.tensor(shape), dim, m.index(index, bound, "i64")]


def _scatter_value(m: Maker) -> Sequence[Any]:
    return [*_gather(m), m.number()]


def _scatter(m: Maker) -> Sequence[Any]:
    x, dim, index = _gather(m)
    return [x, dim, index, m.tensor([size + m.choice([0, 0, 1]) for size in index.shape], x.dtype)]


def _scatter_reduce(m: Maker) -> Sequence[Any]:
    return [*_scatter(m), m.choice(["sum", "prod", "mean", "amax", "amin"])]


def _index_select(m: Maker) -> Sequence[Any]:
    shape, dim, bound = _along(m)
    return [m.tensor(shape), dim, m.index([m.size()], bound, "i64", "i32")]


def _index_add(m: Maker) -> Sequence[Any]:
    shape, dim, bound = _along(m)
    count = m.size()
    source = list(shape)
    if -len(shape) <= dim < len(shape):
        source[dim] = count
    x = m.tensor(shape)
    return [x, dim, m.index([count], bound, "i64", "i32"), m.tensor(source, x.dtype), m.choice([1, 2, 0.5])]


def _index(m: Maker) -> list[Any]:
    shape, common = m.shape(m.choice([1, 2, 3, 4])), m.shape(m.choice([0, 1, 1, 2]))
    indices = [
        None if m.chance(0.25) else m.index(m.near(common), size, "i64", "i64", "i32")
        for size in shape[: m.choice([1, 2, 3, 4])]
    ]
    return [m.tensor(shape), tuple(indices)]


def _index_put(m: Maker) -> Sequence[Any]:
    x, indices = _index(m)
    first = next((index for index in indices if index is not None), None)
    selected = [*(first.shape if first else [1]), *x.shape[len(indices) :]]
    values = m.tensor(m.near(selected) if m.chance(0.6) else m.choice([[], [1]]), x.dtype)
    return [x, indices, values, m.chance(0.5)]


def _bucketize(m: Maker) -> Sequence[Any]:
    x = m.tensor(m.shape())
    return [
        x,
        m.tensor([m.size()], x.dtype, m.choice(["sorted", "sorted", ""])),
        m.chance(0.3),
        m.chance(0.5),
    ]


def _topk(m: Maker) -> Sequence[Any]:
    shape, dim, size = _along(m)
    return [m.tensor(shape), m.choice([0, 1, 2, size, size + 1]), dim, m.chance(0.5), m.chance(0.5)]


def _sort(m: Maker) -> Sequence[Any]:
    shape = m.shape()
    return [m.tensor(shape), m.axis(len(shape)), m.chance(0.5)]


def _slice(m: Maker) -> Sequence[Any]:
    shape = m.shape(m.choice([1, 2, 3]))
    return [
        m.tensor(shape),
        m.axis(len(shape)),
        m.maybe(m.whole),
        m.maybe(m.whole),
        m.choice([1, 1, 2, m.whole()]),
    ]


def _slice_backward(m: Maker) -> list[Any]:
    shape, step = m.shape(m.choice([1, 2, 3])), m.choice([1, 1, 2])
    dim = m.random.randrange(len(shape))
    grad = list(shape)
    grad[dim] = -(-shape[dim] // step)
    return [m.tensor(grad), tuple(shape), dim, 0, m.choice([shape[dim], 2**63 - 1]), step]


def _select_backward(m: Maker) -> list[Any]:
    shape = m.shape(m.choice([1, 2, 3]))
    dim = m.random.randrange(len(shape))
    grad = shape[:dim] + shape[dim + 1 :]
    return [m.tensor(grad), tuple(shape), dim, m.choice([0, -1, shape[dim] - 1, shape[dim]])]


def _slice_scatter(m: Maker) -> Sequence[Any]:
    src, shape, *rest = _slice_backward(m)
    return [m.tensor(list(shape), src.dtype), src, *rest]


def _select_scatter(m: Maker) -> Sequence[Any]:
    src, shape, *rest = _select_backward(m)
    return [m.tensor(list(shape), src.dtype), src, *rest]


def _pad(m: Maker) -> Sequence[Any]:
    shape = m.shape()
    amounts = tuple(m.choice([0, 0, 1, 2, -1, -2]) for _ in range(2 * m.random.randrange(len(shape) + 1)))
    return [m.tensor(shape), amounts, m.number()]


def _cat(m: Maker) -> Sequence[Any]:
    shape = m.shape(m.choice([1, 2, 3]))
    dim = m.random.randrange(-len(shape), len(shape))
    parts = []
    for _ in range(m.choice([1, 2, 3, 5])):
        each = list(shape)
        each[dim] = m.size()
        parts.append(m.tensor(each if m.chance(0.95) else [0]))
    return [tuple(parts), dim]


def _stack(m: Maker) -> Sequence[Any]:
    shape = m.shape()
    return [tuple(m.tensor(shape) for _ in range(m.choice([1, 2, 3]))), m.axis(len(shape) + 1)]


def _reshape(m: Maker) -> Sequence[Any]:
    shape = m.shape()
    made = m.shuffled(shape)
    if len(made) > 1 and m.chance(0.5):
        made = [made[0] * made[1], *made[2:]]
    if made and m.chance(0.3):
        made[0] = -1
    return [m.tensor(shape), tuple(made)]


def _permute(m: Maker) -> Sequence[Any]:
    shape = m.shape()
    return [m.tensor(shape), tuple(m.shuffled(range(len(shape))))]


def _expand(m: Maker) -> Sequence[Any]:
    shape = m.shape()
    front = [m.size() for _ in range(m.choice([0, 1]))]
    return [
        m.tensor(shape),
        (*front, *(m.choice([-1, size, m.size() if size == 1 else size]) for size in shape)),
    ]


def _repeat(m: Maker) -> Sequence[Any]:
    shape = m.shape(m.choice([0, 1, 2, 3]))
    return [m.tensor(shape), tuple(m.choice([0, 1, 2, 3]) for _ in range(len(shape) + m.choice([0, 0, 1])))]


def _diagonal(m: Maker) -> Sequence[Any]:
    return [
        m.tensor(m.shape(m.choice([2, 3]))),
        m.choice([0, 1, -1, m.whole()]),
        m.choice([0, -2]),
        m.choice([1, -1]),
    ]


def _triangle(m: Maker) -> Sequence[Any]:
    return [m.tensor(m.shape(m.choice([2, 2, 3]))), m.choice([0, 1, -1, m.whole()])]


def _arange(m: Maker) -> Sequence[Any]:
    return [
        m.number(),
        m.number(),
        m.choice([1, 1, 2, -1, m.number()]),
        m.choice([None, ["d", "i64"], ["d", "f16"]]),
    ]


def _where(m: Maker) -> Sequence[Any]:
    shape = m.shape()
    return [m.tensor(m.near(shape), "b"), m.tensor(m.near(shape)), m.tensor(m.near(shape))]


def _masked_fill(m: Maker) -> Sequence[Any]:
    shape = m.shape()
    return [m.tensor(shape), m.tensor(m.near(shape), "b"), m.number()]


TEMPLATES: dict[str, Template] = {
    "mm.default": _mm,
    "bmm.default": _bmm,
    "addmm.default": _addmm,
    "mv.default": _mv,
    "dot.default": _dot,
    "div.Tensor_mode": _division,
    "remainder.Tensor": lambda m: _division(m)[:2],
    "fmod.Tensor": lambda m: _division(m)[:2],
    "remainder.Scalar": _division_by_number,
    "fmod.Scalar": _division_by_number,
    "_softmax.default": _softmax,
    "_log_softmax.default": _softmax,
    "_softmax_backward_data.default": _softmax_backward,
    "_log_softmax_backward_data.default": _softmax_backward,
    "threshold_backward.default": _threshold_backward,
    "gelu_backward.default": _gelu_backward,
    "sigmoid_backward.default": _pointwise_backward,
    "tanh_backward.default": _pointwise_backward,
    "native_layer_norm.default": _layer_norm,
    "native_group_norm.default": _group_norm,
    "_native_batch_norm_legit.no_stats": _batch_norm,
    "native_batch_norm_backward.default": _batch_norm_backward,
    "convolution.default": _convolution,
    "convolution_backward.default": _convolution_backward,
    "avg_pool2d.default": _avg_pool,
    "max_pool2d_with_indices.default": _max_pool,
    "_adaptive_avg_pool2d.default": _adaptive,
    "nll_loss_forward.default": _nll,
    "nll_loss_backward.default": _nll_backward,
    "embedding.default": _embedding,
    "gather.default": _gather,
    "scatter.value": _scatter_value,
    "scatter.src": _scatter,
    "scatter_add.default": _scatter,
    "scatter_reduce.two": _scatter_reduce,
    "index_select.default": _index_select,
    "index_add.default": _index_add,
    "index.Tensor": _index,
    "index_put.default": _index_put,
    "bucketize.Tensor": _bucketize,
    "topk.default": _topk,
    "sort.default": _sort,
    "slice.Tensor": _slice,
    "slice_backward.default": _slice_backward,
    "select_backward.default": _select_backward,
    "slice_scatter.default": _slice_scatter,
    "select_scatter.default": _select_scatter,
    "constant_pad_nd.default": _pad,
    "cat.default": _cat,
    "stack.default": _stack,
    "reshape.default": _reshape,
    "permute.default": _permute,
    "expand.default": _expand,
    "repeat.default": _repeat,
    "diagonal.default": _diagonal,
    "tril.default": _triangle,
    "triu.default": _triangle,
    "arange.start_step": _arange,
    "where.self": _where,
    "masked_fill.Scalar": _masked_fill,
}
