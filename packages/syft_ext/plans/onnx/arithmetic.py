"""Functions of two numbers and more: broadcast, brought to torch's common type, whole numbers wrapping
around."""

from __future__ import annotations

import math

import numpy as np

from syft_ext.errors import InvalidPlan, Unsupported
from syft_ext.plans.onnx.builder import Builder
from syft_ext.plans.onnx.elementwise import trunc
from syft_ext.plans.onnx.table import Translator, enter_all, translates
from syft_ext.plans.onnx.types import FLOATS, NUMPY, Number, Operand, Value, common

__all__: list[str] = []


def _scaled(b: Builder, other: Operand, alpha: Number, dtype: str) -> Operand:
    if isinstance(alpha, float) and dtype not in FLOATS:
        raise InvalidPlan("whole numbers are not scaled by a fraction")
    return _times(b, other, alpha, dtype)


def _times(b: Builder, other: Operand, number: Number, dtype: str) -> Operand:
    return other if number == 1 else b.elementwise("Mul", other, b.number(number, dtype), dtype=dtype)


@translates("add.Tensor", "add.Scalar")
def _add(b: Builder, x: Value, other: Operand, alpha: Number = 1) -> Value:
    dtype = common(x, other)
    if dtype == "b":
        other = b.tensor(other, "b")
        return b.flag("Or", x, other) if alpha else x
    return b.elementwise("Add", x, _scaled(b, other, alpha, dtype), dtype=dtype)


def _numbers(*operands: Operand) -> None:
    if any((each.dtype == "b") if isinstance(each, Value) else isinstance(each, bool) for each in operands):
        raise InvalidPlan("truth values are not subtracted")


@translates("sub.Tensor", "sub.Scalar")
def _sub(b: Builder, x: Value, other: Operand, alpha: Number = 1) -> Value:
    _numbers(x, other)
    dtype = common(x, other)
    return b.elementwise("Sub", x, _scaled(b, other, alpha, dtype), dtype=dtype)


@translates("rsub.Scalar")
def _rsub(b: Builder, x: Value, other: Number, alpha: Number = 1) -> Value:
    _numbers(x, other)
    dtype = common(x, other)
    return b.elementwise("Sub", other, _scaled(b, x, alpha, dtype), dtype=dtype)


@translates("mul.Tensor", "mul.Scalar")
def _mul(b: Builder, x: Value, other: Operand) -> Value:
    dtype = common(x, other)
    if dtype == "b":
        return b.flag("And", x, b.tensor(other, "b"))
    return b.elementwise("Mul", x, other, dtype=dtype)


@translates("div.Tensor", "div.Scalar")
def _div(b: Builder, x: Value, other: Operand) -> Value:
    dtype = common(x, other)
    return b.elementwise("Div", x, other, dtype=dtype if dtype in FLOATS else "f32")


# -- whole and broken divisions ------------------------------------------------------------------------------


def _safe_divisor(b: Builder, x: Value, other: Value) -> Value:
    """The divisor of whole numbers, in 64 bits. No divisor is 0, and nowhere is the smallest number divided
    by -1: the processor stops the process for either, so the run ends before."""
    smallest = int(np.iinfo(NUMPY[x.dtype]).min)
    wide, divisor = b.cast(x, "i64"), b.cast(other, "i64")
    bad = b.compare("Equal", divisor, 0)
    if smallest < 0:
        over = b.flag("And", b.compare("Equal", divisor, -1), b.compare("Equal", wide, smallest))
        bad = b.flag("Or", bad, over)
    return b.add(b.where(b.compare("Equal", divisor, 0), 1, divisor), b.require(bad))


def _whole(b: Builder, x: Operand, other: Operand, dtype: str) -> tuple[Value, Value, Value, Value]:
    """Dividend, divisor, quotient towards zero, and what remains; all in 64 bits."""
    dividend, divisor = b.tensor(x, dtype), b.tensor(other, dtype)
    divisor = _safe_divisor(b, dividend, divisor)
    dividend = b.cast(dividend, "i64")
    quotient = b.div(dividend, divisor)
    return dividend, divisor, quotient, b.sub(dividend, b.mul(quotient, divisor))


def _signs_differ(b: Builder, rest: Value, divisor: Value) -> Value:
    """Where something remains, and has another sign than the divisor."""
    differ = b.flag("Xor", b.compare("Less", rest, 0), b.compare("Less", divisor, 0))
    return b.flag("And", differ, b.flag("Not", b.compare("Equal", rest, 0)))


def _fmod(b: Builder, x: Operand, other: Operand, dtype: str) -> Value:
    return b.elementwise("Mod", x, other, dtype=dtype, fmod=1)


@translates("div.Tensor_mode")
def _div_mode(b: Builder, x: Value, other: Operand, rounding_mode: str | None = None) -> Value:
    dtype = common(x, other)
    if rounding_mode is None:
        return _div(b, x, other)
    if dtype not in FLOATS:
        _, divisor, quotient, rest = _whole(b, x, other, dtype)
        if rounding_mode == "floor":
            quotient = b.sub(quotient, b.cast(_signs_differ(b, rest, divisor), "i64"))
        return b.cast(quotient, dtype)
    plain = b.elementwise("Div", x, other, dtype=dtype)
    return trunc(b, plain) if rounding_mode == "trunc" else _floor_division(b, x, other, plain)


def _floor_division(b: Builder, x: Operand, other: Operand, plain: Value) -> Value:
    """As Python divides: from the remainder, which rounding does not touch."""
    dtype = plain.dtype
    divisor, rest = b.tensor(other, dtype), _fmod(b, x, other, dtype)
    quotient = b.div(b.sub(b.tensor(x, dtype), rest), divisor)
    quotient = b.where(_signs_differ(b, rest, divisor), b.sub(quotient, 1.0), quotient)
    whole = b.unary("Floor", quotient)
    whole = b.where(b.compare("Greater", b.sub(quotient, whole), 0.5), b.add(whole, 1.0), whole)
    whole = b.where(
        b.compare("Equal", quotient, 0.0), b.mul(plain, 0.0), whole
    )  # a zero with the quotient's sign
    return b.where(b.compare("Equal", divisor, 0.0), plain, whole)


@translates("remainder.Scalar", "remainder.Tensor")
def _remainder(b: Builder, x: Value, other: Operand) -> Value:
    """With the sign of the divisor."""
    dtype = common(x, other)
    if dtype in FLOATS:
        divisor, rest = b.tensor(other, dtype), _fmod(b, x, other, dtype)
        return b.where(_signs_differ(b, rest, divisor), b.add(rest, divisor), rest)
    _, divisor, _, rest = _whole(b, x, other, dtype)
    return b.cast(b.where(_signs_differ(b, rest, divisor), b.add(rest, divisor), rest), dtype)


@translates("fmod.Scalar", "fmod.Tensor")
def _fmods(b: Builder, x: Value, other: Operand) -> Value:
    """With the sign of the dividend."""
    dtype = common(x, other)
    return _fmod(b, x, other, dtype) if dtype in FLOATS else b.cast(_whole(b, x, other, dtype)[3], dtype)


# -- powers -------------------------------------------------------------------------------------------------


@translates("pow.Tensor_Scalar")
def _pow_scalar(b: Builder, x: Value, exponent: Number) -> Value:
    dtype = common(x, exponent)
    x = b.cast(x, dtype)
    if dtype not in FLOATS:
        return _power_of_whole(b, x, exponent)
    # As torch: some exponents have kernels of their own, with other results at infinity than the general one.
    if exponent == 2:
        return b.mul(x, x)
    if exponent == 3:
        return b.mul(b.mul(x, x), x)
    if exponent == 0.5:
        return b.unary("Sqrt", x)
    if exponent == -0.5:
        return b.div(1.0, b.unary("Sqrt", x))
    if exponent == -1:
        return b.div(1.0, x)
    if exponent == -2:
        return b.div(1.0, b.mul(x, x))
    return _general_power(b, x, b.number(exponent, dtype))


def _power_of_whole(b: Builder, x: Value, exponent: Number) -> Value:
    """By squaring, in 64 bits: onnxruntime's goes through double precision."""
    count = int(exponent)
    if count < 0:
        raise Unsupported("a power of whole numbers with a negative exponent")
    base, result = b.cast(x, "i64"), b.number(1, "i64")
    while count:
        if count & 1:
            result = b.mul(result, base)
        count >>= 1
        if count:
            base = b.mul(base, base)
    return b.cast(b.expand(result, x.shape), x.dtype)


@translates("pow.Tensor_Tensor", "pow.Scalar")
def _pow(b: Builder, x: Operand, exponent: Value) -> Value:
    dtype = common(x, exponent)
    if dtype not in FLOATS:
        raise Unsupported("a power of whole numbers whose exponent is a tensor", dtype=dtype)
    return _general_power(b, b.tensor(x, dtype), b.cast(exponent, dtype))


def _general_power(b: Builder, x: Value, exponent: Value) -> Value:
    return b.elementwise("Pow", x, exponent, dtype=x.dtype)


# -- comparisons, extremes ----------------------------------------------------------------------------------


def _comparison(kind: str) -> Translator:
    return lambda b, x, other: b.compare(kind, x, other)


_COMPARISONS = {"eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}
enter_all(
    {f"{name}.{form}": kind for name, kind in _COMPARISONS.items() for form in ("Tensor", "Scalar")},
    _comparison,
)


@translates("ne.Tensor", "ne.Scalar")
def _ne(b: Builder, x: Value, other: Operand) -> Value:
    return b.flag("Not", b.compare("Equal", x, other))


def _extreme(kind: str) -> Translator:
    def translate(b: Builder, x: Value, other: Value) -> Value:
        dtype = common(x, other)
        x, other = b.cast(x, dtype), b.cast(other, dtype)
        if dtype == "b":
            return b.flag("Or" if kind == "Greater" else "And", x, other)
        made = b.where(b.compare(kind, other, x), other, x)
        return b.where(b.nan(other), other, made) if made.floating else made

    return translate


enter_all({"maximum.default": "Greater", "minimum.default": "Less"}, _extreme)


@translates("atan2.default")
def _atan2(b: Builder, y: Value, x: Value) -> Value:
    """The angle of |y| / |x|, then the quadrant; the sign of a zero is that of its reciprocal."""
    dtype = common(y, x)
    dtype = dtype if dtype in FLOATS else "f32"
    if dtype == "f64":
        raise Unsupported("atan2 in double precision has no kernel in onnxruntime", dtype=dtype)
    y, x = b.cast(y, dtype), b.cast(x, dtype)

    def negative(v: Value) -> Value:
        minus_zero = b.flag("And", b.compare("Equal", v, 0.0), b.compare("Less", b.div(1.0, v), 0.0))
        return b.flag("Or", b.compare("Less", v, 0.0), minus_zero)

    high, wide = b.unary("Abs", y), b.unary("Abs", x)
    both = b.compare("Equal", high, wide)  # also 0 and 0, infinity and infinity
    zero = b.flag("And", both, b.compare("Equal", high, 0.0))
    ratio = b.where(zero, 0.0, b.where(both, 1.0, b.div(high, wide)), dtype)
    angle = b.unary("Atan", ratio)
    angle = b.where(negative(x), b.sub(math.pi, angle), angle)
    made = b.where(negative(y), b.unary("Neg", angle), angle)
    made = b.where(b.nan(x), x, made)
    return b.where(b.nan(y), y, made)


# -- truth values, bits
# ---------------------------------------------------------------------------------------


def _logical(kind: str) -> Translator:
    return lambda b, x, other: b.flag(kind, b.cast(x, "b"), b.cast(other, "b"))


enter_all({f"logical_{kind.lower()}.default": kind for kind in ("And", "Or", "Xor")}, _logical)


def _bitwise(kind: str) -> Translator:
    def translate(b: Builder, x: Value, other: Operand) -> Value:
        dtype = common(x, other)
        if dtype == "b":
            return b.flag(kind, x, b.tensor(other, "b"))
        return b.elementwise(f"Bitwise{kind}", x, other, dtype=dtype)

    return translate


enter_all(
    {
        f"bitwise_{kind.lower()}.{form}": kind
        for kind in ("And", "Or", "Xor")
        for form in ("Tensor", "Scalar")
    },
    _bitwise,
)


@translates("bitwise_right_shift.Tensor_Scalar")
def _right_shift(b: Builder, x: Value, other: Number) -> Value:
    """Of the sign too: what is shifted out is cleared first, so that the division is whole."""
    dtype, bits = common(x, other), 8 * NUMPY[x.dtype].itemsize
    places = int(other)
    if not 0 <= places < bits:
        places = bits - 1 if x.dtype != "u8" else bits
    wide = b.cast(x, "i64")
    if places >= 63:
        return b.cast(b.where(b.compare("Less", wide, 0), -1, 0, "i64"), dtype)
    cleared = b.elementwise("BitwiseAnd", wide, -(1 << places), dtype="i64")
    return b.cast(b.div(cleared, 1 << places), dtype)


# -- choices, mixtures --------------------------------------------------------------------------------------


@translates("where.self")
def _where(b: Builder, condition: Value, x: Operand, other: Operand) -> Value:
    return b.where(b.cast(condition, "b"), x, other, common(x, other))


@translates("masked_fill.Scalar")
def _masked_fill(b: Builder, x: Value, mask: Value, value: Number) -> Value:
    return b.where(b.cast(mask, "b"), b.number(value, x.dtype), x, x.dtype)


@translates("lerp.Scalar")
def _lerp(b: Builder, x: Value, end: Value, weight: Number) -> Value:
    way = b.sub(end, x)
    if abs(weight) < 0.5:
        return b.add(x, b.mul(way, weight))
    return b.sub(end, b.mul(way, 1 - weight))


@translates("addcmul.default")
def _addcmul(b: Builder, x: Value, tensor1: Value, tensor2: Value, value: Number = 1) -> Value:
    dtype = common(x, tensor1, tensor2)
    product = b.elementwise("Mul", _times(b, tensor1, value, dtype), tensor2, dtype=dtype)
    return b.elementwise("Add", x, product, dtype=dtype)


@translates("addcdiv.default")
def _addcdiv(b: Builder, x: Value, tensor1: Value, tensor2: Value, value: Number = 1) -> Value:
    dtype = common(x, tensor1, tensor2)
    if dtype not in FLOATS:
        raise Unsupported("addcdiv of whole numbers", dtype=dtype)
    quotient = b.elementwise("Div", _times(b, tensor1, value, dtype), tensor2, dtype=dtype)
    return b.elementwise("Add", x, quotient, dtype=dtype)
