"""Functions on shares: comparisons, and what is made of a scaled operand and a polynomial.

``precision`` is f below, a step is 2^-f. For f = 16:

===============  ==============================  =============================================
function         range                           error
===============  ==============================  =============================================
less, positive   |x| < 2^(62-f)                  none
relu, maximum    |x| < 2^(62-f)                  none
reciprocal       2^-f ≤ x < 2^(31-f)             one step and 2^-24 of the result
sqrt, rsqrt      2^-f ≤ x < 2^(31-f)             two steps and 2^-24 of the result
log              2^-f ≤ x < 2^(31-f)             two steps
exp              x < (31-f)·ln 2 (10.39)         two steps and 2^-15 of the result; 0 or a step for very small x
sigmoid, tanh    |x| < 2^20                      three steps (tanh six)
softmax          differences < 2^20              three steps
===============  ==============================  =============================================

What lies outside ends the run (:class:`OutOfRange`), before anything is opened.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from syft_ext.mpc.engine import ShareEngine, Steps
from syft_ext.mpc.shares import ShareTensor

__all__ = [
    "absolute",
    "exp",
    "greatest",
    "log",
    "log_softmax",
    "negative",
    "positive",
    "reciprocal",
    "relu",
    "rsqrt",
    "sigmoid",
    "softmax",
    "sqrt",
    "tanh",
    "where",
]

_G = 29
"""Bits behind the point inside of functions: products of numbers up to 2 stay below 2⁶¹."""
_PLACES = _G + 2
_ONE = 1 << _G


@cache
def _coefficients(function: Callable[[np.ndarray], np.ndarray], degree: int) -> tuple[int, ...]:
    """Of Chebyshev's interpolant on [-1, 1], in powers of t, with :data:`_G` bits behind the point."""
    interpolant = np.polynomial.chebyshev.Chebyshev.interpolate(function, degree)
    powers = interpolant.convert(kind=np.polynomial.Polynomial).coef
    return tuple(round(float(each) * _ONE) for each in powers)


def _inverse(t: np.ndarray) -> np.ndarray:
    return 4 / (t + 3)


def _root(t: np.ndarray) -> np.ndarray:
    return np.sqrt((t + 3) / 4)


def _inverse_root(t: np.ndarray) -> np.ndarray:
    return np.sqrt(4 / (t + 3))


def _logarithm(t: np.ndarray) -> np.ndarray:
    return np.log((t + 3) / 4)


def _power_of_two(t: np.ndarray) -> np.ndarray:
    return np.exp2((t + 1) / 2)


def _stack(values: list[ShareTensor]) -> ShareTensor:
    parts = tuple(torch.stack(parts) for parts in zip(*(each.parts for each in values), strict=True))
    return replace(values[0], parts=parts, bound=max(each.bound for each in values))


def _polynomial(engine: ShareEngine, t: ShareTensor, coefficients: tuple[int, ...]) -> Steps[ShareTensor]:
    """Of t in [-1, 1] with :data:`_G` bits behind the point, to as many; powers in log₂ of the degree levels."""
    powers = [t]
    degree = len(coefficients) - 1
    while len(powers) < degree:
        new = min(len(powers), degree - len(powers))
        top = powers[-1].each(lambda part: part.unsqueeze(0))
        (found,) = yield from engine.multiply_all([("mul", _stack(powers[:new]), top)])
        found = yield from engine.rounded(found, _G)
        powers += [found.each(lambda part, i=i: part[i], _ONE + 64) for i in range(new)]  # type: ignore[misc]
    total = engine.constant(torch.tensor(coefficients[0] << _G, device=engine.device), 2 * _G, 1 << 60)
    terms = [
        replace(power.each(lambda part, c=c: part * c), fraction=2 * _G)  # type: ignore[misc]
        for power, c in zip(powers, coefficients[1:], strict=True)
    ]
    for term in terms:
        parts = tuple(a + b for a, b in zip(total.parts, term.parts, strict=True))
        total = replace(term, parts=parts, bound=1 << 60)
    return replace((yield from engine.rounded(total, _G)), bound=(1 << (_G + 1)) + 2)


# -- comparisons --------------------------------------------------------------------------------------------


def negative(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """1 where x < 0, else 0."""
    return (yield from engine.signs(x))


def positive(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """1 where x > 0, else 0: at 0 it is 0, which a threshold's gradient depends on."""
    return (yield from engine.signs(engine.neg(x)))


def relu(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """max(x, 0)."""
    bit = yield from positive(engine, x)
    return replace((yield from engine.multiply(x, bit)), bound=x.bound)


def absolute(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """|x|."""
    bit = yield from negative(engine, x)
    part = yield from engine.multiply(x, bit)
    return replace(engine.sub(x, engine.add(part, part)), bound=x.bound)


def where(engine: ShareEngine, bit: ShareTensor, x: ShareTensor, y: ShareTensor) -> Steps[ShareTensor]:
    """x where the bit is 1, else y."""
    chosen = yield from engine.multiply(engine.sub(x, y), bit)
    return replace(engine.add(y, chosen), bound=max(x.bound, y.bound))


def greatest(engine: ShareEngine, x: ShareTensor, dim: int) -> Steps[ShareTensor]:
    """The largest along a dimension, which stays with size 1; in log₂ of its size levels."""
    while x.shape[dim] > 1:
        half = x.shape[dim] // 2
        one = x.each(lambda part, h=half: part.narrow(dim, 0, h))  # type: ignore[misc]
        two = x.each(lambda part, h=half: part.narrow(dim, h, h))  # type: ignore[misc]
        larger = engine.add(two, (yield from relu(engine, engine.sub(one, two))))
        if x.shape[dim] % 2:
            rest = x.each(lambda part: part.narrow(dim, -1, 1))
            parts = tuple(torch.cat(pair, dim) for pair in zip(larger.parts, rest.parts, strict=True))
            larger = replace(larger, parts=parts)
        x = replace(larger, bound=x.bound)
    return x


# -- functions of a scaled operand --------------------------------------------------------------------------


def _scaled(engine: ShareEngine, x: ShareTensor) -> Steps[tuple[ShareTensor, ShareTensor]]:
    """t in [-1, 1) with x = (t+3)/4 · 2^(j+1-f), and j as the place of a 1 along a new last dimension."""
    x = engine.aligned(x, engine.precision)
    engine.require(x, _PLACES)
    engine.require(engine.shifted(x, -1), _PLACES)
    places = yield from engine.leading(x, _PLACES)
    scale = _weighted(engine, places, [1 << (_PLACES - 1 - j) for j in range(_PLACES)], 0)
    bounded = replace(x, fraction=0, bound=1 << _PLACES)
    (y,) = yield from engine.multiply_all([("mul", bounded, scale)])
    shift = engine.constant(torch.tensor(-3 << _G, device=engine.device), _G, 3 << _G)
    t = engine.add(replace(y, fraction=_G, bound=1 << _PLACES), shift)
    return replace(t, bound=_ONE), places


def _weighted(engine: ShareEngine, places: ShareTensor, weights: list[int], fraction: int) -> ShareTensor:
    """The weight of the place: exact, and without a round."""
    table = torch.tensor(weights, dtype=torch.int64, device=engine.device)
    found = places.each(lambda part: (part * table).sum(-1), max(map(abs, weights)))
    return replace(found, fraction=fraction)


def _by_table(
    engine: ShareEngine, value: ShareTensor, places: ShareTensor, exponents: Callable[[int], float], room: int
) -> Steps[ShareTensor]:
    """value · 2^exponents(j), rounded; ``room``: bits behind the point of the factors."""
    factors = _weighted(engine, places, [round(2.0 ** (exponents(j) + room)) for j in range(_PLACES)], room)
    return (yield from engine.multiply(value, factors))


def reciprocal(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """1/x for positive x."""
    t, places = yield from _scaled(engine, x)
    value = yield from _polynomial(engine, t, _coefficients(_inverse, 10))
    f = engine.precision
    return (yield from _by_table(engine, value, places, lambda j: f - 1 - j, _PLACES - f))


def sqrt(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """The root of a positive x."""
    t, places = yield from _scaled(engine, x)
    value = yield from _polynomial(engine, t, _coefficients(_root, 9))
    f = engine.precision
    return (yield from _by_table(engine, value, places, lambda j: (1 + j - f) / 2, 31 - (32 - f) // 2))


def rsqrt(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """1/√x for positive x."""
    t, places = yield from _scaled(engine, x)
    value = yield from _polynomial(engine, t, _coefficients(_inverse_root, 10))
    f = engine.precision
    return (yield from _by_table(engine, value, places, lambda j: (f - 1 - j) / 2, 31 - f // 2))


def log(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """The natural logarithm of a positive x."""
    t, places = yield from _scaled(engine, x)
    value = yield from _polynomial(engine, t, _coefficients(_logarithm, 12))
    f = engine.precision
    weights = [round((1 + j - f) * math.log(2) * _ONE) for j in range(_PLACES)]
    return (yield from engine.rounded(engine.add(value, _weighted(engine, places, weights, _G))))


def exp(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """e^x: 2 to the whole part by its binary digits, and to the rest by a polynomial."""
    f = engine.precision
    x = engine.aligned(x, f)
    factor = round(math.log2(math.e) * (1 << 24))
    scaled = engine.times(x, torch.tensor(factor), 24, factor)
    v = yield from engine.rounded(scaled, _G)
    shift = engine.constant(torch.tensor(f << _G, device=engine.device), _G, f << _G)
    v = engine.add(v, shift)
    engine.require(engine.shifted(engine.neg(v), (31 << _G) - 1), 63)
    digits = yield from engine.digits(v, _G, 5)
    low = digits.each(lambda part: part[..., 5])
    kept = engine.add(engine.constant(torch.tensor(1, device=engine.device), 0, 1), engine.neg(low))
    kept = replace(kept, bound=1)
    columns = [replace(v, fraction=0, bound=1 << (_G + 6))]
    columns += [digits.each(lambda part, i=i: part[..., i]) for i in range(5)]  # type: ignore[misc]
    stacked = _stack(columns)
    (found,) = yield from engine.products([("mul", stacked, kept.each(lambda part: part.unsqueeze(0)))])
    bits = [found.each(lambda part, i=i: part[i + 1], 1) for i in range(5)]  # type: ignore[misc]
    rest = found.each(lambda part: part[0])
    for i, bit in enumerate(bits):
        parts = tuple(a - (b << (_G + i)) for a, b in zip(rest.parts, bit.parts, strict=True))
        rest = replace(rest, parts=parts)
    t = rest.each(lambda part: 2 * part)
    minus = engine.constant(torch.tensor(-_ONE, device=engine.device), _G, _ONE)
    parts = tuple(a + b for a, b in zip(t.parts, minus.parts, strict=True))
    t = replace(t, parts=parts, fraction=_G, bound=_ONE)
    value = yield from _polynomial(engine, t, _coefficients(_power_of_two, 7))
    power = yield from _power(engine, bits)
    (product,) = yield from engine.multiply_all([("mul", replace(value, bound=(1 << 30) + 2), power)])
    result = yield from engine.rounded(replace(product, fraction=_G + f))
    low = replace(low, fraction=f)  # where x is very small, 2^0 steps stand for it
    return replace(engine.sub(result, low), bound=result.bound)


def _power(engine: ShareEngine, bits: list[ShareTensor]) -> Steps[ShareTensor]:
    """2 to the number with these five digits, the lowest first; at most 2^30."""
    one = engine.constant(torch.tensor(1, device=engine.device), 0, 1)
    factors = [
        engine.add(bit.each(lambda part, w=(1 << (1 << i)) - 1: part * w, 1 << (1 << i)), one)  # type: ignore[misc]
        for i, bit in enumerate(bits)
    ]
    a, b = yield from engine.multiply_all([("mul", factors[0], factors[1]), ("mul", factors[2], factors[3])])
    (c,) = yield from engine.multiply_all([("mul", a, b)])
    (whole,) = yield from engine.multiply_all([("mul", replace(c, bound=1 << 15), factors[4])])
    return replace(whole, bound=1 << 30)


# -- made of these ------------------------------------------------------------------------------------------


def sigmoid(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """1/(1+e^-x), from e^-|x|, which is at most 1."""
    f = engine.precision
    x = engine.aligned(x, f)
    below = yield from negative(engine, x)
    flipped = yield from engine.multiply(x, below)
    size = engine.sub(x, engine.add(flipped, flipped))
    e = yield from exp(engine, engine.neg(size))
    up = _G - f
    # (1+e)/2 = (t+3)/4 gives t = 2e - 1
    t = e.each(lambda part: part << (up + 1))
    minus = engine.constant(torch.tensor(-_ONE, device=engine.device), _G, _ONE)
    t = engine.add(replace(t, fraction=_G, bound=2 * _ONE), minus)
    t = replace(t, bound=_ONE + (4 << up))
    value = yield from _polynomial(engine, t, _coefficients(_inverse, 10))
    value = yield from engine.rounded(replace(value, fraction=_G + 1))  # half of 1/((1+e)/2)
    one = engine.public(1.0, f)
    change = yield from engine.multiply(engine.sub(one, engine.add(value, value)), below)
    return replace(engine.add(value, change), bound=(1 << f) + 8)


def tanh(engine: ShareEngine, x: ShareTensor) -> Steps[ShareTensor]:
    """2 · sigmoid(2x) - 1."""
    value = yield from sigmoid(engine, engine.add(x, x))
    return engine.sub(engine.add(value, value), engine.public(1.0, engine.precision))


def _exponentials(engine: ShareEngine, x: ShareTensor, dim: int) -> Steps[tuple[ShareTensor, ShareTensor]]:
    """x less its largest along the dimension, and e to that."""
    top = yield from greatest(engine, x, dim)
    less = engine.sub(x, top)
    e = yield from exp(engine, less)
    return less, replace(e, bound=(1 << engine.precision) + 4)


def softmax(engine: ShareEngine, x: ShareTensor, dim: int) -> Steps[ShareTensor]:
    """e^x over the sum of them along the dimension."""
    _, e = yield from _exponentials(engine, x, dim)
    inverse = yield from reciprocal(engine, engine.total(e, [dim], keep=True))
    return (yield from engine.multiply(e, replace(inverse, bound=(1 << engine.precision) + 4)))


def log_softmax(engine: ShareEngine, x: ShareTensor, dim: int) -> Steps[ShareTensor]:
    """The logarithm of :func:`softmax`."""
    less, e = yield from _exponentials(engine, x, dim)
    return engine.sub(less, (yield from log(engine, engine.total(e, [dim], keep=True))))
