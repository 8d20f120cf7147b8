"""Calls of pools, of other shapes, and of places that the data name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .drawing import WHOLE, Call, Draw, name_of

__all__ = ["MAKERS"]

# -- pools --------------------------------------------------------------------------------------------------


def _image(d: Draw, *dtypes: str) -> torch.Tensor:
    lead = [*d.one([], [2]), d.one(1, 2)]
    return d.tensor([*lead, d.one(4, 5, 7), d.one(4, 6, 8)], d.dtype(*(dtypes or ("f32", "f32", "f64"))))


def _window(d: Draw) -> tuple[list[int], list[int], list[int]]:
    kernel = [d.one(1, 2, 3), d.one(2, 3)]
    stride = d.one([], [1, 2], [2, 2], [3, 1], [2])
    return kernel, stride, [d.random.randrange(k // 2 + 1) for k in kernel]


def _max_pool(d: Draw) -> Call:
    kernel, stride, padding = _window(d)
    return [_image(d), kernel, stride, padding, d.one([1], [1, 1], [2, 1]), d.chance(0.4)], {}


def _avg_pool(d: Draw) -> Call:
    kernel, stride, padding = _window(d)
    return [_image(d), kernel, stride, padding, d.chance(0.4), d.chance(0.5), d.one(None, None, 3)], {}


def _adaptive(d: Draw) -> Call:
    return [_image(d), [d.one(1, 2, 3, 4), d.one(1, 3, 5)]], {}


# -- shapes -------------------------------------------------------------------------------------------------


def _reshape(d: Draw) -> Call:
    x = d.tensor()
    sizes = d.one([x.numel()], list(reversed(x.shape)), [-1], [1, *x.shape], [2, -1], [-1, 3])
    return [x, sizes], {}


def _permute(d: Draw) -> Call:
    x = d.tensor()
    order = d.random.sample(range(x.dim()), x.dim())
    return [x, [axis - x.dim() if d.chance(0.2) else axis for axis in order]], {}


def _transpose(d: Draw) -> Call:
    x = d.tensor()
    return [x, d.axis(x), d.axis(x)], {}


def _t(d: Draw) -> Call:
    return [d.tensor(d.shape(d.one(0, 1, 2, 2)))], {}


def _unsqueeze(d: Draw) -> Call:
    x = d.tensor()
    return [x, d.random.randrange(-x.dim() - 1, x.dim() + 1)], {}


def _squeeze(d: Draw) -> Call:
    x = d.tensor([1 if d.chance(0.5) else size for size in d.shape()])
    return [x, d.axis(x)], {}


def _squeeze_dims(d: Draw) -> Call:
    x = d.tensor([1 if d.chance(0.5) else size for size in d.shape()])
    return [x, d.axes(x)], {}


def _expand(d: Draw) -> Call:
    x = d.tensor([1 if d.chance(0.5) else size for size in d.shape()])
    sizes = [d.one(2, 3) if size == 1 and d.chance(0.7) else d.one(-1, size) for size in x.shape]
    return [x, d.one([], [2], [1, 3]) + sizes], {}


def _bounds(d: Draw) -> list[Any]:
    return [d.one(None, 0, 1, -2, -9, 7), d.one(None, 1, 3, -1, 99), d.one(1, 1, 2, 3)]


def _slice(d: Draw) -> Call:
    x = d.tensor(d.shape(d.one(1, 2, 3)))
    return [x, d.axis(x), *_bounds(d)], {}


def _select(d: Draw) -> Call:
    x = d.tensor(d.shape(d.one(1, 2, 3), low=1))
    axis = d.axis(x)
    return [x, axis, d.random.randrange(-x.shape[axis], x.shape[axis])], {}


def _slice_scatter(d: Draw) -> Call:
    (x, axis, *bounds), _ = _slice(d)
    part = torch.ops.aten.slice.Tensor(x, axis, *bounds)
    return [x, d.tensor(part.shape, name_of(x)), axis, *bounds], {}


def _select_scatter(d: Draw) -> Call:
    (x, axis, place), _ = _select(d)
    return [x, d.tensor(torch.ops.aten.select.int(x, axis, place).shape, name_of(x)), axis, place], {}


def _slice_backward(d: Draw) -> Call:
    (x, axis, *_), _ = _slice(d)
    bounds = [d.one(0, 1, -2), d.one(3, -1, 99), d.one(1, 2)]
    return [torch.ops.aten.slice.Tensor(x, axis, *bounds).clone(), list(x.shape), axis, *bounds], {}


def _select_backward(d: Draw) -> Call:
    (x, axis, place), _ = _select(d)
    return [torch.ops.aten.select.int(x, axis, place).clone(), list(x.shape), axis, place], {}


def _cat(d: Draw) -> Call:
    shape, t = d.shape(d.one(1, 2, 3)), d.dtype()
    axis = d.random.randrange(-len(shape), len(shape))
    parts = []
    for _ in range(d.one(1, 2, 3)):
        own = list(shape)
        own[axis] = d.one(0, 1, 2, 3)
        parts.append(d.tensor(d.one(own, own, own, [0]), t if d.chance(0.8) else None))
    return [parts, axis], {}


def _stack(d: Draw) -> Call:
    shape = d.shape()
    parts = [d.tensor(shape, "f32") for _ in range(d.one(1, 2, 3))]
    return [parts, d.random.randrange(-len(shape) - 1, len(shape) + 1)], {}


def _flip(d: Draw) -> Call:
    x = d.tensor()
    return [x, d.axes(x)], {}


def _repeat(d: Draw) -> Call:
    x = d.tensor()
    return [x, d.one([], [2]) + [d.one(0, 1, 2, 3) for _ in range(x.dim())]], {}


def _pad(d: Draw) -> Call:
    x = d.tensor(d.shape(d.one(1, 2, 3), low=2))
    amounts = [d.one(0, 1, 2, -1) for _ in range(2 * d.random.randrange(1, x.dim() + 1))]
    return [x, amounts, d.one(0, 1, 1.5) if x.dtype.is_floating_point else d.one(0, 1)], {}


def _to_copy(d: Draw) -> Call:
    x = d.tensor()
    if x.dtype.is_floating_point:
        x = x.nan_to_num(1.0, 2.0, 3.0).clamp(-100, 100)  # what a whole number of others is, nobody says
    return [x], {"dtype": ("d", d.dtype())}


def _triangle(d: Draw) -> Call:
    return [d.tensor(d.shape(d.one(2, 3))), d.one(0, 1, -1, 2, -3, 9)], {}


def _diagonal(d: Draw) -> Call:
    x = d.tensor(d.shape(d.one(2, 3)))
    one, other = d.random.sample(range(x.dim()), 2)
    return [x, d.one(0, 1, -1, 2), one, other - x.dim()], {}


def _size(d: Draw) -> list[int]:
    return d.shape()


def _full(d: Draw) -> Call:
    return [_size(d), d.one(0, 1, -2, 2.5, True)], {"dtype": ("d", d.dtype("f32", "f64", "i64"))} if d.chance(
        0.5
    ) else {}


def _full_like(d: Draw) -> Call:
    return [d.tensor(), d.one(0, 1, 2)], {}


def _made(d: Draw) -> Call:
    return [_size(d)], {"dtype": ("d", d.dtype())} if d.chance(0.6) else {}


def _like(d: Draw) -> Call:
    return [d.tensor()], {"dtype": ("d", d.dtype())} if d.chance(0.4) else {}


def _scalar(d: Draw) -> Call:
    return [d.one(0, 1, 2.5, -3)], {"dtype": ("d", d.dtype("f32", "f64", "i64"))} if d.chance(0.6) else {}


def _arange(d: Draw) -> Call:
    start, step = d.one(0, 1, -3, 0.5), d.one(1, 2, 0.25, -1)
    options = {"dtype": ("d", d.dtype("f32", "f64", "i64"))} if d.chance(0.4) else {}
    return [start, start + step * d.random.randrange(9), step], options


def _arange_end(d: Draw) -> Call:
    return [d.one(0, 1, 5, 7.5)], {"dtype": ("d", d.dtype("f32", "f64", "i64"))} if d.chance(0.4) else {}


# -- places -------------------------------------------------------------------------------------------------


def _gather(d: Draw) -> Call:
    x = d.tensor(d.shape(d.one(0, 1, 2, 3), low=1))
    axis = d.axis(x)
    shape = [d.random.randrange(size + 1) for size in x.shape]
    if x.dim():
        shape[axis] = d.one(0, 1, 2, 5)
    return [x, axis, d.places(shape, x.shape[axis] if x.dim() else 1)], {}


def _scatter_source(d: Draw, *dtypes: str) -> list[Any]:
    x = d.tensor(d.shape(d.one(0, 1, 2, 3), low=1), d.dtype(*dtypes) if dtypes else None)
    axis = d.axis(x)
    shape = [d.random.randrange(1, size + 1) for size in x.shape]
    size = x.shape[axis] if x.dim() else 1
    source = d.tensor([each + d.one(0, 0, 1) for each in shape], name_of(x))
    return [x, axis, d.places(shape, size), source]


def _scatter(d: Draw) -> Call:
    x, axis, index, source = _scatter_source(d)
    if x.dim():  # which of several at one place stays is nobody's promise
        index = (
            torch.arange(index.shape[axis])
            .reshape([-1 if a == axis % x.dim() else 1 for a in range(x.dim())])
            .expand(index.shape)
            .clone()
        )
    return [x, axis, index, source], {}


def _scatter_value(d: Draw) -> Call:
    x, axis, index, _ = _scatter_source(d)
    return [x, axis, index, d.one(0, 1, 2)], {}


def _scatter_add(d: Draw) -> Call:
    return _scatter_source(d, "f32", "f64", *WHOLE), {}


def _scatter_reduce(d: Draw) -> Call:
    x, axis, index, source = _scatter_source(d, "f32", "f32", "f64", "i64", "i32")
    return [x, axis, index, source, d.one("sum", "prod", "mean", "amax", "amin")], {
        "include_self": d.chance(0.5)
    }


def _index_select(d: Draw) -> Call:
    x = d.tensor(d.shape(d.one(0, 1, 2, 3), low=1))
    axis = d.axis(x)
    return [x, axis, d.places([d.one(0, 1, 4)], x.shape[axis] if x.dim() else 1, d.one("i64", "i32"))], {}


def _index_add(d: Draw) -> Call:
    x = d.tensor(d.shape(d.one(1, 2, 3), low=1), d.dtype("f32", "f64", "i64", "i8"))
    axis, count = d.axis(x), d.one(1, 2, 4)
    shape = list(x.shape)
    shape[axis] = count
    return [x, axis, d.places([count], x.shape[axis]), d.tensor(shape, name_of(x))], {
        "alpha": d.one(1, 2, -1)
    }


def _indices(d: Draw, x: torch.Tensor) -> list[torch.Tensor | None]:
    shape = d.shape(d.one(1, 1, 2), low=1)
    chosen = [
        d.places(d.broadcast(shape) or [1], size, d.one("i64", "i64", "i32")) - (size if d.chance(0.2) else 0)
        if d.chance(0.6)
        else None
        for size in x.shape
    ]
    while chosen and chosen[-1] is None:
        chosen.pop()
    return chosen or [d.places(shape, x.shape[0])]


def _index(d: Draw) -> Call:
    x = d.tensor(d.shape(d.one(1, 2, 3, 4), low=1))
    return [x, _indices(d, x)], {}


def _index_put(d: Draw) -> Call:
    x = d.tensor(d.shape(d.one(1, 2, 3), low=2), d.dtype("f32", "f64", "i64", "i32"))
    accumulate = d.chance(0.7)
    indices = _indices(d, x)
    if not accumulate:  # which of several at one place stays is nobody's promise
        indices = [torch.randperm(x.shape[0], generator=d.numbers)[: d.one(1, 2)]]
    shape = list(x[tuple(slice(None) if i is None else i.clamp(-1, 0) for i in indices)].shape)
    return [x, indices, d.tensor(d.broadcast(shape), name_of(x)), accumulate], {}


def _embedding(d: Draw) -> Call:
    weight = d.floats([d.one(1, 3, 5), d.one(1, 2, 4)])
    return [weight, d.places(d.shape(), weight.shape[0], d.one("i64", "i32"))], {}


def _bucketize(d: Draw) -> Call:
    t = d.dtype("f32", "f64", "i64")
    bounds = d.tensor([d.one(0, 1, 3, 6)], t)
    bounds = (bounds.nan_to_num() if bounds.dtype.is_floating_point else bounds).sort().values
    return [d.tensor(None, t), bounds], {"out_int32": d.chance(0.3), "right": d.chance(0.5)}


MAKERS: dict[str, Callable[[Draw], Call]] = {
    "max_pool2d_with_indices.default": _max_pool, "avg_pool2d.default": _avg_pool,
    "_adaptive_avg_pool2d.default": _adaptive,
    "reshape.default": _reshape, "permute.default": _permute, "transpose.int": _transpose, "t.default": _t,
    "unsqueeze.default": _unsqueeze, "squeeze.dim": _squeeze, "squeeze.dims": _squeeze_dims,
    "expand.default": _expand, "slice.Tensor": _slice, "select.int": _select,
    "slice_scatter.default": _slice_scatter,
    "select_scatter.default": _select_scatter, "slice_backward.default": _slice_backward,
    "select_backward.default": _select_backward, "cat.default": _cat, "stack.default": _stack,
    "flip.default": _flip, "repeat.default": _repeat, "constant_pad_nd.default": _pad,
    "_to_copy.default": _to_copy,
    **dict.fromkeys(("tril.default", "triu.default"), _triangle), "diagonal.default": _diagonal,
    "full.default": _full, "full_like.default": _full_like,
    **dict.fromkeys(("zeros.default", "ones.default"), _made),
    **dict.fromkeys(("zeros_like.default", "ones_like.default"), _like), "scalar_tensor.default": _scalar,
    "arange.start_step": _arange, "arange.default": _arange_end,
    "gather.default": _gather, "scatter.src": _scatter, "scatter.value": _scatter_value,
    "scatter_add.default": _scatter_add, "scatter_reduce.two": _scatter_reduce,
    "index_select.default": _index_select,
    "index_add.default": _index_add, "index.Tensor": _index, "index_put.default": _index_put,
    "embedding.default": _embedding, "bucketize.Tensor": _bucketize,
}  # fmt: skip
