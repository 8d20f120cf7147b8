"""Operation of a plan → protocol: what an ordinary plan can do on shares. What is not here is refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from syft_ext.errors import Unsupported
from syft_ext.mpc import convolving, functions
from syft_ext.mpc.engine import ShareEngine, Steps
from syft_ext.mpc.placing import PLACING, Handler, Value, as_share
from syft_ext.mpc.shares import ShareTensor

__all__ = ["HANDLERS"]


# -- arithmetic ---------------------------------------------------------------------------------------------


def _add(engine: ShareEngine, x: Value, y: Value, *, alpha: float = 1) -> Steps[ShareTensor]:
    return engine.add(as_share(engine, x), (yield from _scaled(engine, y, alpha)))


def _sub(engine: ShareEngine, x: Value, y: Value, *, alpha: float = 1) -> Steps[ShareTensor]:
    return engine.sub(as_share(engine, x), (yield from _scaled(engine, y, alpha)))


def _rsub(engine: ShareEngine, x: Value, y: Value, alpha: float = 1) -> Steps[ShareTensor]:
    return engine.sub(as_share(engine, y), (yield from _scaled(engine, x, alpha)))


def _scaled(engine: ShareEngine, value: Value, factor: float) -> Steps[ShareTensor]:
    if factor == 1:
        return as_share(engine, value)
    if not isinstance(value, ShareTensor):
        return as_share(engine, torch.as_tensor(value, dtype=torch.float64) * factor)
    return (yield from engine.multiply_public(value, factor))


def _neg(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    return engine.neg(x)
    yield


def _mul(engine: ShareEngine, x: Value, y: Value) -> Steps[ShareTensor]:
    if isinstance(x, ShareTensor) and isinstance(y, ShareTensor):
        return (yield from engine.multiply(x, y))
    if isinstance(x, ShareTensor):
        return (yield from engine.multiply_public(x, y))
    return (yield from engine.multiply_public(y, x))


def _div(engine: ShareEngine, x: Value, y: Value) -> Steps[ShareTensor]:
    if not isinstance(y, ShareTensor):
        return (yield from engine.multiply_public(x, 1 / torch.as_tensor(y, dtype=torch.float64)))
    return (yield from _mul(engine, x, (yield from _reciprocal(engine, y))))


def _reciprocal(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """Of either sign."""
    below = yield from functions.negative(engine, x)
    flipped = yield from engine.multiply(x, below)
    size = replace(engine.sub(x, engine.add(flipped, flipped)), bound=x.bound)
    inverse = yield from functions.reciprocal(engine, size)
    flipped = yield from engine.multiply(inverse, below)
    return replace(engine.sub(inverse, engine.add(flipped, flipped)), bound=inverse.bound)


def _pow(engine: ShareEngine, x: ShareTensor, exponent: float) -> Steps[ShareTensor]:
    if exponent == 0.5:
        return (yield from functions.sqrt(engine, x))
    if exponent == -0.5:
        return (yield from functions.rsqrt(engine, x))
    if exponent == -1:
        return (yield from _reciprocal(engine, x))
    if exponent not in range(1, 9):
        raise Unsupported(f"on shares, powers are whole ones up to 8, 0.5, -0.5 and -1, not {exponent}")
    result: ShareTensor | None = None
    square, rest = x, int(exponent)
    while rest:
        if rest & 1:
            result = square if result is None else (yield from engine.multiply(result, square))
        rest >>= 1
        if rest:
            square = yield from engine.multiply(square, square)
    assert result is not None
    return result


def _addcmul(engine: ShareEngine, x: Value, y: Value, z: Value, *, value: float = 1) -> Steps[ShareTensor]:
    return engine.add(
        as_share(engine, x), (yield from _scaled(engine, (yield from _any(engine, y, z)), value))
    )


def _any(engine: ShareEngine, x: Value, y: Value) -> Steps[Value]:
    """The product, whatever both are."""
    if isinstance(x, ShareTensor) or isinstance(y, ShareTensor):
        return (yield from _mul(engine, x, y))
    return x * y


def _addcdiv(engine: ShareEngine, x: Value, y: Value, z: Value, *, value: float = 1) -> Steps[ShareTensor]:
    quotient = (
        (yield from _div(engine, y, z)) if isinstance(z, ShareTensor) else (yield from _any(engine, y, 1 / z))
    )
    return engine.add(as_share(engine, x), (yield from _scaled(engine, quotient, value)))


def _lerp(engine: ShareEngine, x: Value, y: Value, weight: float) -> Steps[ShareTensor]:
    change = engine.sub(as_share(engine, y), as_share(engine, x))
    return engine.add(as_share(engine, x), (yield from engine.multiply_public(change, weight)))


# -- products of matrices -----------------------------------------------------------------------------------


def _matmul(engine: ShareEngine, x: Value, y: Value) -> Steps[ShareTensor]:
    if isinstance(x, ShareTensor) and isinstance(y, ShareTensor):
        return (yield from engine.multiply(x, y, "matmul"))
    if isinstance(x, ShareTensor):
        return (yield from engine.multiply_public(x, y, "matmul"))
    return (yield from engine.multiply_public(y, x, "matmul", first=True))


def _mv(engine: ShareEngine, x: Value, y: Value) -> Steps[ShareTensor]:
    column = y.each(lambda part: part.unsqueeze(-1)) if isinstance(y, ShareTensor) else y.unsqueeze(-1)
    return (yield from _matmul(engine, x, column)).each(lambda part: part.squeeze(-1))


def _dot(engine: ShareEngine, x: Value, y: Value) -> Steps[ShareTensor]:
    row = x.each(lambda part: part.unsqueeze(0)) if isinstance(x, ShareTensor) else x.unsqueeze(0)
    return (yield from _mv(engine, row, y)).each(lambda part: part.squeeze(0))


def _addmm(
    engine: ShareEngine, bias: Value, x: Value, y: Value, *, beta: float = 1, alpha: float = 1
) -> Steps[ShareTensor]:
    product = yield from _scaled(engine, (yield from _matmul(engine, x, y)), alpha)
    return engine.add(product, (yield from _scaled(engine, bias, beta)))


# -- comparisons --------------------------------------------------------------------------------------------


def _less(swapped: bool, opposite: bool) -> Handler:
    """x < y; ``swapped``: y < x; ``opposite``: not that."""

    def handle(engine: ShareEngine, x: Value, y: Value) -> Steps[ShareTensor]:
        one, two = as_share(engine, x), as_share(engine, y)
        bit = yield from functions.negative(engine, engine.sub(*((two, one) if swapped else (one, two))))
        return _not(engine, bit) if opposite else bit

    return handle


def _not(engine: ShareEngine, bit: ShareTensor) -> ShareTensor:
    one = engine.constant(torch.tensor(1, device=engine.device), 0, 1)
    return replace(engine.sub(bit.each(torch.zeros_like), engine.sub(bit, one)), bound=1)


def _equal(opposite: bool) -> Handler:
    def handle(engine: ShareEngine, x: Value, y: Value) -> Steps[ShareTensor]:
        less = yield from _less(False, False)(engine, x, y)
        more = yield from _less(True, False)(engine, x, y)
        either = replace(engine.add(less, more), bound=1)
        return either if opposite else _not(engine, either)

    return handle


def _sign(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    above = yield from functions.positive(engine, x)
    return replace(engine.sub(above, (yield from functions.negative(engine, x))), bound=1)


def _where(engine: ShareEngine, bit: Value, x: Value, y: Value) -> Steps[ShareTensor]:
    x, y = as_share(engine, x), as_share(engine, y)
    if isinstance(bit, ShareTensor):
        return (yield from functions.where(engine, bit, x, y))
    factor = bit.to(torch.float64)
    kept = yield from engine.multiply_public(x, factor)
    return engine.add(kept, (yield from engine.multiply_public(y, 1 - factor)))


def _masked_fill(engine: ShareEngine, x: Value, mask: Value, value: float) -> Steps[ShareTensor]:
    return (yield from _where(engine, mask, value, x))


def _threshold_backward(engine: ShareEngine, grad: Value, x: Value, threshold: float) -> Steps[ShareTensor]:
    """The gradient where x > threshold, and not where they are equal: relu's output is 0 wherever it is dead."""
    bit = yield from _less(True, False)(engine, x, threshold)
    return (yield from _mul(engine, grad, bit))


def _maximum(engine: ShareEngine, x: Value, y: Value) -> Steps[ShareTensor]:
    one, two = as_share(engine, x), as_share(engine, y)
    more = yield from functions.relu(engine, engine.sub(one, two))
    return replace(engine.add(two, more), bound=max(one.bound, two.bound))


def _minimum(engine: ShareEngine, x: Value, y: Value) -> Steps[ShareTensor]:
    one, two = as_share(engine, x), as_share(engine, y)
    more = yield from functions.relu(engine, engine.sub(one, two))
    return replace(engine.sub(one, more), bound=max(one.bound, two.bound))


def _clamp(engine: ShareEngine, x: ShareTensor, low: Value = None, high: Value = None) -> Steps[ShareTensor]:
    if low is not None:
        x = yield from _maximum(engine, x, low)
    return x if high is None else (yield from _minimum(engine, x, high))


def _hardtanh(engine: ShareEngine, x: ShareTensor, low: float = -1, high: float = 1) -> Steps[ShareTensor]:
    return (yield from _clamp(engine, x, low, high))


def _leaky(engine: ShareEngine, x: ShareTensor, slope: float = 0.01) -> Steps[ShareTensor]:
    above = yield from functions.relu(engine, x)
    rest = yield from engine.multiply_public(engine.sub(x, above), slope)
    return engine.add(above, rest)


def _extreme(sign: int) -> Handler:
    """The largest (1) or smallest (-1) along dimensions, or of all."""

    def handle(
        engine: ShareEngine, x: ShareTensor, dims: Sequence[int] | int | None = None, keepdim: bool = False
    ) -> Steps[ShareTensor]:
        value = x if sign == 1 else engine.neg(x)
        if dims is None or dims == []:
            value, places = value.each(lambda part: part.reshape(-1)), [0]
        else:
            places = [dim % len(x.shape) for dim in ([dims] if isinstance(dims, int) else dims)]
        for dim in places:
            value = yield from functions.greatest(engine, value, dim)
        if not keepdim:
            value = value.each(lambda part: part.squeeze(tuple(places)))
        return value if sign == 1 else engine.neg(value)

    return handle


def _with_place(sign: int) -> Handler:
    def handle(engine: ShareEngine, x: ShareTensor, dim: int, keepdim: bool = False) -> Steps[list[Value]]:
        return [(yield from _extreme(sign)(engine, x, dim, keepdim)), None]

    return handle


# -- functions ----------------------------------------------------------------------------------------------


def _plain(function: Callable[[ShareEngine, ShareTensor], Steps[ShareTensor]]) -> Handler:
    def handle(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
        return (yield from function(engine, x))

    return handle


def _logarithm(base: float, add: float = 0.0) -> Handler:
    def handle(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
        x = engine.add(x, as_share(engine, add)) if add else x
        found = yield from functions.log(engine, x)
        return found if base == math.e else (yield from engine.multiply_public(found, 1 / math.log(base)))

    return handle


def _expm1(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    return engine.sub((yield from functions.exp(engine, x)), as_share(engine, 1.0))


def _silu(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    return (yield from engine.multiply(x, (yield from functions.sigmoid(engine, x))))


def _soft(function: Callable[[ShareEngine, ShareTensor, int], Steps[ShareTensor]]) -> Handler:
    def handle(engine: ShareEngine, x: ShareTensor, dim: int, half: bool) -> Steps[ShareTensor]:
        return (yield from function(engine, x, dim % len(x.shape)))

    return handle


def _sigmoid_backward(engine: ShareEngine, grad: Value, y: ShareTensor) -> Steps[ShareTensor]:
    slope = yield from engine.multiply(y, engine.sub(as_share(engine, 1.0), y))
    return (yield from _mul(engine, grad, slope))


def _tanh_backward(engine: ShareEngine, grad: Value, y: ShareTensor) -> Steps[ShareTensor]:
    slope = engine.sub(as_share(engine, 1.0), (yield from engine.multiply(y, y)))
    return (yield from _mul(engine, grad, slope))


def _softmax_backward(
    engine: ShareEngine, grad: Value, y: ShareTensor, dim: int, _: str
) -> Steps[ShareTensor]:
    weighted = yield from _mul(engine, grad, y)
    total = engine.total(weighted, [dim], keep=True)
    return engine.sub(weighted, (yield from engine.multiply(y, total)))


def _log_softmax_backward(
    engine: ShareEngine, grad: Value, y: ShareTensor, dim: int, _: str
) -> Steps[ShareTensor]:
    grad = as_share(engine, grad)
    e = yield from functions.exp(engine, y)
    e = replace(e, bound=(1 << engine.precision) + 4)
    total = engine.total(grad, [dim], keep=True)
    return engine.sub(grad, (yield from engine.multiply(e, total)))


_ARITHMETIC: dict[str, Handler] = {
    **dict.fromkeys(("add.Tensor", "add.Scalar"), _add),
    **dict.fromkeys(("sub.Tensor", "sub.Scalar"), _sub),
    **dict.fromkeys(("mul.Tensor", "mul.Scalar"), _mul),
    **dict.fromkeys(("div.Tensor", "div.Scalar"), _div),
    "rsub.Scalar": _rsub,
    "neg.default": _neg,
    "reciprocal.default": _reciprocal,
    "pow.Tensor_Scalar": _pow,
    "addcmul.default": _addcmul,
    "addcdiv.default": _addcdiv,
    "lerp.Scalar": _lerp,
    "mm.default": _matmul,
    "bmm.default": _matmul,
    "mv.default": _mv,
    "dot.default": _dot,
    "addmm.default": _addmm,
    "convolution.default": convolving.convolution,
    "convolution_backward.default": convolving.convolution_backward,
    "avg_pool2d.default": convolving.average_pool,
    "max_pool2d_with_indices.default": convolving.greatest_pool,
}
_COMPARISONS: dict[str, Handler] = {
    **dict.fromkeys(("lt.Tensor", "lt.Scalar"), _less(False, False)),
    **dict.fromkeys(("gt.Tensor", "gt.Scalar"), _less(True, False)),
    **dict.fromkeys(("ge.Tensor", "ge.Scalar"), _less(False, True)),
    **dict.fromkeys(("le.Tensor", "le.Scalar"), _less(True, True)),
    **dict.fromkeys(("eq.Tensor", "eq.Scalar"), _equal(False)),
    **dict.fromkeys(("ne.Tensor", "ne.Scalar"), _equal(True)),
    "sign.default": _sign,
    "abs.default": _plain(functions.absolute),
    "relu.default": _plain(functions.relu),
    "leaky_relu.default": _leaky,
    "threshold_backward.default": _threshold_backward,
    "where.self": _where,
    "masked_fill.Scalar": _masked_fill,
    "maximum.default": _maximum,
    "minimum.default": _minimum,
    **dict.fromkeys(("clamp.default", "clamp.Tensor", "clamp_min.default"), _clamp),
    "hardtanh.default": _hardtanh,
    **dict.fromkeys(("amax.default", "max.default"), _extreme(1)),
    **dict.fromkeys(("amin.default", "min.default"), _extreme(-1)),
    "max.dim": _with_place(1),
    "min.dim": _with_place(-1),
}
_FUNCTIONS: dict[str, Handler] = {
    "exp.default": _plain(functions.exp),
    "expm1.default": _expm1,
    "log.default": _logarithm(math.e),
    "log1p.default": _logarithm(math.e, 1.0),
    "log2.default": _logarithm(2),
    "log10.default": _logarithm(10),
    "sqrt.default": _plain(functions.sqrt),
    "rsqrt.default": _plain(functions.rsqrt),
    "sigmoid.default": _plain(functions.sigmoid),
    "tanh.default": _plain(functions.tanh),
    "silu.default": _silu,
    "_softmax.default": _soft(functions.softmax),
    "_log_softmax.default": _soft(functions.log_softmax),
    "sigmoid_backward.default": _sigmoid_backward,
    "tanh_backward.default": _tanh_backward,
    "_softmax_backward_data.default": _softmax_backward,
    "_log_softmax_backward_data.default": _log_softmax_backward,
}
HANDLERS: dict[str, Handler] = {
    **PLACING,
    **{f"aten.{name}": handler for name, handler in (_ARITHMETIC | _COMPARISONS | _FUNCTIONS).items()},
}
"""Every operation that has a protocol; on public values alone, any operation of a plan is the one it always is."""
