"""Calls of elementwise operations, reductions, products, norms and losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from .drawing import WHOLE, Call, Draw, name_of

__all__ = ["MAKERS"]

# -- of one kind --------------------------------------------------------------------------------------------


def _shift(d: Draw) -> Call:
    return [d.tensor(None, d.dtype(*WHOLE)), d.one(0, 1, 3, 7, 15, 31, 62, 63)], {}


def _power(d: Draw) -> Call:
    if d.chance(0.4):
        return [d.tensor(None, d.dtype(*WHOLE)), d.one(0, 1, 2, 3, 5, 10)], {}
    return [d.floats(), d.one(0, 1, 2, 3, 0.5, -0.5, -1, -2, 2.5, 4, -3, 1.0)], {}


def _power_of(d: Draw) -> Call:
    return [d.one(2, 0.5, -1.5, 10, 0), d.floats()], {}


def _powers(d: Draw) -> Call:
    x = d.floats()
    return [x, d.tensor(d.broadcast(x.shape), name_of(x))], {}


def _division(d: Draw) -> Call:
    x = d.tensor(None, d.dtype("f32", "f64", *WHOLE))
    return [x, d.tensor(d.broadcast(x.shape), name_of(x))], {"rounding_mode": d.one(None, "trunc", "floor")}


def _remainder(d: Draw) -> Call:
    return [d.tensor(None, d.dtype("f32", "f64", *WHOLE)), d.one(1, 2, -3, 5, -1, 0.75, -2.5)], {}


def _where(d: Draw) -> Call:
    x = d.tensor()
    return [
        d.tensor(d.broadcast(x.shape), "b"),
        x,
        d.tensor(d.broadcast(x.shape), name_of(x) if d.chance(0.7) else None),
    ], {}


def _masked_fill(d: Draw) -> Call:
    x = d.tensor()
    return [x, d.tensor(d.broadcast(x.shape), "b"), d.number()], {}


def _lerp(d: Draw) -> Call:
    x = d.floats()
    return [x, d.tensor(d.broadcast(x.shape), name_of(x)), d.one(0, 1, 0.25, 0.5, 0.75, -1.5)], {}


def _like_pair(d: Draw) -> Call:
    x = d.floats()
    return [x, d.tensor(x.shape, name_of(x))], {}


def _gelu_pair(d: Draw) -> Call:
    d.tame = True
    return _like_pair(d)[0], {"approximate": d.one("none", "tanh")}


def _threshold(d: Draw) -> Call:
    x = d.tensor(None, d.dtype("f32", "f64", "i64"))
    return [x, d.tensor(x.shape, name_of(x)), d.one(0, 1, 0.5)], {}


def _clamp(d: Draw) -> Call:
    low, high = d.one(None, -1, 0, 0.5), d.one(None, 1, 2, 0.25)
    return [d.tensor(None, d.dtype("f32", "f64", *WHOLE)), low, high], {}


def _clamp_tensors(d: Draw) -> Call:
    x = d.tensor(None, d.dtype("f32", "f64", *WHOLE))
    bounds = [None if d.chance(0.3) else d.tensor(d.broadcast(x.shape), name_of(x)) for _ in range(2)]
    return [x, *bounds], {}


def _activation(d: Draw) -> Call:
    return [d.floats(), *[d.one(0.01, 0.5, 1, 2) for _ in range(d.random.randrange(2))]], {}


def _softplus(d: Draw) -> Call:
    return [d.floats(), d.one(1, 2, 0.5), d.one(20, 5)], {}


def _hardtanh(d: Draw) -> Call:
    return [d.floats(), d.one(-1, -0.5, 0), d.one(1, 6)], {}


# -- reductions, orders -------------------------------------------------------------------------------------


def _filled(d: Draw, *dtypes: str) -> torch.Tensor:
    return d.tensor(d.shape(low=1), d.dtype(*(dtypes or ("f32", "f32", "f64", *WHOLE))))


def _along(d: Draw) -> Call:
    x = _filled(d)
    return [x, d.axis(x), d.chance(0.5)], {}


def _argument(d: Draw) -> Call:
    x = _filled(d)
    return [x, *((None,) if d.chance(0.3) else (d.axis(x),)), d.chance(0.5)], {}


def _extreme(d: Draw) -> Call:
    x = _filled(d)
    return [x, d.axes(x), d.chance(0.5)], {}


def _whole(d: Draw) -> Call:
    return [_filled(d)], {}


def _sorted(d: Draw) -> Call:
    x = d.tensor(None, d.dtype("f32", "f32", "f64", *WHOLE))
    return [x, d.axis(x), d.chance(0.5)], {}


def _topk(d: Draw) -> Call:
    x = d.floats(low=1).clone()
    if x.numel():  # the order of equals is nobody's promise
        x = torch.randperm(x.numel(), generator=d.numbers).to(x.dtype).reshape(x.shape)
    axis = d.axis(x)
    return [x, d.random.randrange((x.shape[axis] if x.dim() else 1) + 1), axis, d.chance(0.5), True], {}


def _variance(d: Draw) -> Call:
    x = d.floats(low=1)
    return [x, d.one(None, d.axes(x))], {"correction": d.one(0, 1, 0.5), "keepdim": d.chance(0.5)}


def _mean(d: Draw) -> Call:
    x = d.floats()
    return [x, d.axes(x), d.chance(0.5)], {}


def _mean_all(d: Draw) -> Call:
    return [d.floats()], {}


def _any_dims(d: Draw) -> Call:
    x = d.tensor()
    return [x, d.one(None, d.axes(x)), d.chance(0.5)], {}


def _logsumexp(d: Draw) -> Call:
    x = d.floats(low=1)
    return [x, d.axes(x) or ([0] if x.dim() else []), d.chance(0.5)], {}


# -- products -----------------------------------------------------------------------------------------------


def _mm(d: Draw) -> Call:
    a, b, c = d.shape(3)
    t = d.dtype("f32", "f32", "f64", "i64", "i32", "i8")
    return [d.tensor([a, b], t), d.tensor([b, c], t)], {}


def _bmm(d: Draw) -> Call:
    n, a, b, c = d.shape(4)
    t = d.dtype("f32", "f32", "f64", "i64")
    return [d.tensor([n, a, b], t), d.tensor([n, b, c], t)], {}


def _addmm(d: Draw) -> Call:
    (x, y), _ = _mm(d)
    options = {"beta": d.one(0, 1, 2), "alpha": d.one(1, 3, -1)} if d.chance(0.5) else {}
    shape = [x.shape[0], y.shape[1]]
    return [d.tensor(d.one(shape, shape[1:], [1, shape[1]]), name_of(x)), x, y], options


def _mv(d: Draw) -> Call:
    a, b = d.shape(2)
    t = d.dtype("f32", "f32", "f64", "i64")
    return [d.tensor([a, b], t), d.tensor([b], t)], {}


def _dot(d: Draw) -> Call:
    (a,) = d.shape(1)
    t = d.dtype("f32", "f64", "i64")
    return [d.tensor([a], t), d.tensor([a], t)], {}


def _geometry(d: Draw) -> tuple[torch.Tensor, torch.Tensor, list[Any], int]:
    """Input, weight, and what a convolution is told beside them; the number of its results' channels."""
    n = d.one(1, 2, 2, 2, 3)
    groups, transposed = d.one(1, 1, 2, 3), d.chance(0.3)
    mine, out = d.one(1, 2), d.one(1, 2, 3)
    kernel = [d.one(1, 2, 3) for _ in range(n)]
    stride, pad, dilation = ([d.one(*of) for _ in range(n)] for of in ((1, 1, 2, 3), (0, 0, 1, 2), (1, 1, 2)))
    extra = [
        d.random.randrange(max(s, w)) if transposed else 0 for s, w in zip(stride, dilation, strict=True)
    ]
    x = torch.randn(
        [d.one(1, 2, 3), groups * mine, *(d.one(5, 6, 7, 8) for _ in range(n))], generator=d.numbers
    )
    first = [groups * mine, out] if transposed else [groups * out, mine]
    weight = torch.randn([*first, *kernel], generator=d.numbers)
    return x, weight, [stride, pad, dilation, transposed, extra, groups], groups * out


def _convolution(d: Draw) -> Call:
    x, weight, geometry, out = _geometry(d)
    bias = torch.randn(out, generator=d.numbers) if d.chance(0.5) else None
    return [x, weight, bias, *geometry], {}


def _convolution_backward(d: Draw) -> Call:
    x, weight, geometry, out = _geometry(d)
    grad = torch.randn_like(torch.ops.aten.convolution.default(x, weight, None, *geometry))
    return [grad, x, weight, [out], *geometry, [d.chance(0.8), d.chance(0.8), d.chance(0.8)]], {}


# -- norms, losses ------------------------------------------------------------------------------------------


def _softmax(d: Draw) -> Call:
    x = d.floats()
    return [x, d.axis(x), False], {}


def _softmax_backward(d: Draw) -> Call:
    x = d.floats(low=1)
    return [x, d.tensor(x.shape, name_of(x)), d.axis(x), ("d", name_of(x))], {}


def _maybe(d: Draw, shape: Sequence[int], dtype: str) -> torch.Tensor | None:
    return d.tensor(shape, dtype) if d.chance(0.6) else None


def _layer_norm(d: Draw) -> Call:
    d.tame = True
    x = d.floats(d.shape(d.one(1, 2, 3), low=2))
    shape = list(x.shape[x.dim() - d.random.randrange(1, x.dim() + 1) :])
    return [x, shape, _maybe(d, shape, name_of(x)), _maybe(d, shape, name_of(x)), d.one(1e-5, 1e-3)], {}


def _group_norm(d: Draw) -> Call:
    d.tame = True
    n, groups, mine, h = d.one(1, 2), d.one(1, 2), d.one(1, 2, 3), d.one(2, 3)
    x = d.floats([n, groups * mine, h, 2])
    c = groups * mine
    return [x, _maybe(d, [c], name_of(x)), _maybe(d, [c], name_of(x)), n, c, h * 2, groups, 1e-5], {}


def _batch_norm(d: Draw) -> Call:
    d.tame = True
    x = d.floats([d.one(2, 3), d.one(1, 3), *d.shape(d.one(0, 1, 2), low=1)])
    c = x.shape[1]
    return [x, _maybe(d, [c], name_of(x)), _maybe(d, [c], name_of(x)), True, 0.1, d.one(1e-5, 1e-3)], {}


def _batch_norm_backward(d: Draw) -> Call:
    x = torch.randn([d.one(2, 3), d.one(1, 3), *d.shape(d.one(0, 1, 2), low=1)], generator=d.numbers)
    c, train = x.shape[1], d.chance(0.7)
    weight = torch.randn(c, generator=d.numbers) if d.chance(0.6) else None
    mean, spread = torch.randn(c, generator=d.numbers), torch.rand(c, generator=d.numbers) + 0.5
    statistics = [None, None, mean, spread] if train else [mean, spread, None, None]
    mask = [d.chance(0.8) for _ in range(3)]
    return [torch.randn(x.shape, generator=d.numbers), x, weight, *statistics, train, 1e-5, mask], {}


def _nll(d: Draw) -> Call:
    rows, classes = d.shape(d.one(0, 1), low=1), d.one(2, 3, 5)
    x = d.floats([*rows, classes])
    target = d.places(rows, classes)
    if d.chance(0.4):
        target = torch.where(d.values(rows, "b"), torch.tensor(-100), target)
    return [x, target, _maybe(d, [classes], name_of(x)), d.one(0, 1, 2), -100], {}


def _nll_backward(d: Draw) -> Call:
    (x, target, weight, reduction, ignored), _ = _nll(d)
    grad = d.tensor(list(target.shape) if reduction == 0 else [], name_of(x))
    return [grad, x, target, weight, reduction, ignored, torch.full((), 2.5, dtype=x.dtype)], {}


def _tame(d: Draw) -> Call:
    d.tame = True
    return [d.floats()], {"approximate": d.one("none", "tanh")}


def _of_floats(d: Draw) -> Call:
    return [d.floats()], {}


MAKERS: dict[str, Callable[[Draw], Call]] = {
    "bitwise_right_shift.Tensor_Scalar": _shift, "pow.Tensor_Scalar": _power, "pow.Scalar": _power_of,
    "pow.Tensor_Tensor": _powers, "div.Tensor_mode": _division, "remainder.Scalar": _remainder,
    "fmod.Scalar": _remainder, "where.self": _where, "masked_fill.Scalar": _masked_fill, "lerp.Scalar": _lerp,
    "gelu_backward.default": _gelu_pair, "sigmoid_backward.default": _like_pair,
    "tanh_backward.default": _like_pair,
    "threshold_backward.default": _threshold, "clamp.default": _clamp, "clamp.Tensor": _clamp_tensors,
    "leaky_relu.default": _activation, "elu.default": _activation, "softplus.default": _softplus,
    "hardtanh.default": _hardtanh, "log_sigmoid_forward.default": _of_floats, "silu.default": _of_floats,
    "gelu.default": _tame,
    **dict.fromkeys(("max.dim", "min.dim"), _along),
    **dict.fromkeys(("argmax.default", "argmin.default"), _argument),
    **dict.fromkeys(("amax.default", "amin.default"), _extreme), "max.default": _whole, "min.default": _whole,
    "sort.default": _sorted, "topk.default": _topk, "var.correction": _variance, "mean.dim": _mean,
    "mean.default": _mean_all, "any.dims": _any_dims, "logsumexp.default": _logsumexp,
    "mm.default": _mm, "bmm.default": _bmm, "addmm.default": _addmm, "mv.default": _mv, "dot.default": _dot,
    "convolution.default": _convolution, "convolution_backward.default": _convolution_backward,
    **dict.fromkeys(("_softmax.default", "_log_softmax.default"), _softmax),
    **dict.fromkeys(("_softmax_backward_data.default", "_log_softmax_backward_data.default"), _softmax_backward),
    "native_layer_norm.default": _layer_norm, "native_group_norm.default": _group_norm,
    "_native_batch_norm_legit.no_stats": _batch_norm, "native_batch_norm_backward.default": _batch_norm_backward,
    "nll_loss_forward.default": _nll, "nll_loss_backward.default": _nll_backward,
}  # fmt: skip
