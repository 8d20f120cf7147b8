"""Functions of one number: exact where a kernel of that name exists, else by formulas that lose no digits."""

from __future__ import annotations

import math

from syft_ext.errors import InvalidPlan, Unsupported
from syft_ext.plans.onnx.builder import Builder
from syft_ext.plans.onnx.table import Translator, enter_all, translates
from syft_ext.plans.onnx.types import Number, Value, common

__all__ = ["erf", "exp", "expm1", "log1p", "sigmoid", "tanh"]

_SINGLE = frozenset(["Erf", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Tan"])
"""onnxruntime has these in single precision only."""


def fractions(b: Builder, x: Value) -> Value:
    """Whole numbers and truth values as single precision."""
    return x if x.floating else b.cast(x, "f32")


def _keeping_nan(b: Builder, x: Value, made: Value) -> Value:
    """onnxruntime's vectorised kernels clamp their operand first, and a clamp takes NaN for a bound."""
    return b.where(b.nan(x), x, made)


def exp(b: Builder, x: Value) -> Value:
    return b.unary("Exp", x)


def tanh(b: Builder, x: Value) -> Value:
    return _keeping_nan(b, x, b.unary("Tanh", x))


def sigmoid(b: Builder, x: Value) -> Value:
    """1 / (1 + exp(-x)): onnxruntime's Sigmoid ends at ±18."""
    return b.div(1.0, b.add(exp(b, b.unary("Neg", x)), 1.0))


def erf(b: Builder, x: Value) -> Value:
    if x.dtype == "f64":
        raise Unsupported("erf in double precision has no kernel in onnxruntime", dtype="f64")
    return _keeping_nan(b, x, b.unary("Erf", x))


def log1p(b: Builder, x: Value) -> Value:
    """log(u) x / (u - 1) with u = 1 + x: what rounding u loses, the quotient gives back (W. Kahan)."""
    u = b.add(x, 1.0)
    whole = b.where(b.compare("Equal", u, 1.0), 2.0, u)  # anything that divides
    made = b.div(b.mul(b.unary("Log", whole), x), b.sub(whole, 1.0))
    made = b.where(b.compare("Equal", u, 1.0), x, made)
    return b.where(b.compare("Equal", x, math.inf), x, made)


def expm1(b: Builder, x: Value) -> Value:
    """(u - 1) x / log(u) with u = exp(x), likewise."""
    u = exp(b, x)
    plain = b.sub(u, 1.0)
    far = b.flag("Or", b.compare("Less", x, -1.0), b.compare("Greater", x, 1.0))  # nothing is lost there
    same = b.compare("Equal", u, 1.0)
    near = b.where(b.flag("Or", far, same), 2.0, u)
    made = b.div(b.mul(plain, x), b.unary("Log", near))
    return b.where(far, plain, b.where(same, x, made))


def _of_kernel(kind: str) -> Translator:
    def translate(b: Builder, x: Value) -> Value:
        x = fractions(b, x)
        if x.dtype == "f64" and kind in _SINGLE:
            raise Unsupported(f"{kind} in double precision has no kernel in onnxruntime", dtype="f64")
        return _keeping_nan(b, x, b.unary(kind, x))

    return translate


enter_all(
    {
        **{f"{each.lower()}.default": each for each in ("Sin", "Cos", *sorted(_SINGLE - {"Erf"}))},
        "sqrt.default": "Sqrt",
        "log.default": "Log",
    },
    _of_kernel,
)


def _of_fractions(how: object) -> Translator:
    def translate(b: Builder, x: Value) -> Value:
        assert callable(how)
        result: Value = how(b, fractions(b, x))
        return result

    return translate


enter_all(
    {
        "exp.default": exp,
        "tanh.default": tanh,
        "sigmoid.default": sigmoid,
        "erf.default": erf,
        "log1p.default": log1p,
        "expm1.default": expm1,
        "rsqrt.default": lambda b, x: b.div(1.0, b.unary("Sqrt", x)),
        "reciprocal.default": lambda b, x: b.div(1.0, x),
        "log2.default": lambda b, x: _logarithm(b, x, 2),
        "log10.default": lambda b, x: _logarithm(b, x, 10),
    },
    _of_fractions,
)


def _logarithm(b: Builder, x: Value, base: int) -> Value:
    """In double precision, so that powers of the base come out whole."""
    made = b.mul(b.unary("Log", b.cast(x, "f64")), 1 / math.log(base))
    return b.cast(made, x.dtype)


@translates("abs.default")
def _abs(b: Builder, x: Value) -> Value:
    return b.elementwise("Abs", x, dtype=x.dtype)


@translates("neg.default")
def _neg(b: Builder, x: Value) -> Value:
    return b.elementwise("Neg", x, dtype=x.dtype)


@translates("sign.default")
def _sign(b: Builder, x: Value) -> Value:
    if x.dtype == "b":
        return x
    ones = b.sub(
        b.cast(b.compare("Greater", x, 0), x.dtype if x.floating else "i64"),
        b.cast(b.compare("Less", x, 0), x.dtype if x.floating else "i64"),
    )
    return b.cast(ones, x.dtype)


def _rounding(kind: str) -> Translator:
    return lambda b, x: b.unary(kind, x) if x.floating else x


enter_all({"floor.default": "Floor", "ceil.default": "Ceil", "round.default": "Round"}, _rounding)


@translates("trunc.default")
def trunc(b: Builder, x: Value) -> Value:
    """Towards zero."""
    if not x.floating:
        return x
    return b.where(b.compare("Less", x, 0.0), b.unary("Ceil", x), b.unary("Floor", x))


@translates("isnan.default")
def _isnan(b: Builder, x: Value) -> Value:
    return b.nan(x) if x.floating else b.full(x.shape, False, "b")


@translates("isinf.default")
def _isinf(b: Builder, x: Value) -> Value:
    return b.op("IsInf", [x], "b", x.shape) if x.floating else b.full(x.shape, False, "b")


@translates("logical_not.default")
def _logical_not(b: Builder, x: Value) -> Value:
    return b.flag("Not", b.cast(x, "b"))


@translates("bitwise_not.default")
def _bitwise_not(b: Builder, x: Value) -> Value:
    return b.flag("Not", x) if x.dtype == "b" else b.unary("BitwiseNot", x)


# -- bounds -----------------------------------------------------------------------------------------------


def _largest(b: Builder, x: Value, low: Value | Number) -> Value:
    return b.where(b.compare("Less", x, low), low, x)  # NaN is less than nothing, and stays


def _smallest(b: Builder, x: Value, high: Value | Number) -> Value:
    return b.where(b.compare("Greater", x, high), high, x)


@translates("relu.default")
def _relu(b: Builder, x: Value) -> Value:
    if x.dtype == "b":
        raise InvalidPlan("numbers are needed")
    return _largest(b, x, 0)


@translates("clamp.default", "clamp.Tensor")
def clamp(
    b: Builder, x: Value, min: Value | Number | None = None, max: Value | Number | None = None
) -> Value:
    """Within the bounds; of a bound that is NaN, NaN."""
    given = [each for each in (min, max) if each is not None]
    x = b.cast(x, common(x, *given))
    for bound, how in ((min, _largest), (max, _smallest)):
        if bound is None:
            continue
        value = b.tensor(bound, x.dtype)
        made = how(b, x, value)
        if value.floating and (isinstance(bound, Value) or math.isnan(bound)):
            made = b.where(b.nan(value), value, made)
        x = made
    return x


@translates("clamp_min.default")
def _clamp_min(b: Builder, x: Value, min: Number) -> Value:
    return clamp(b, x, min)


@translates("hardtanh.default")
def _hardtanh(b: Builder, x: Value, min_val: Number = -1, max_val: Number = 1) -> Value:
    return b.cast(clamp(b, x, b.number(min_val, x.dtype), b.number(max_val, x.dtype)), x.dtype)


# -- activations --------------------------------------------------------------------------------------------


@translates("silu.default")
def _silu(b: Builder, x: Value) -> Value:
    return b.div(x, b.add(exp(b, b.unary("Neg", x)), 1.0))


@translates("leaky_relu.default")
def _leaky_relu(b: Builder, x: Value, negative_slope: Number = 0.01) -> Value:
    return b.where(b.compare("Greater", x, 0.0), x, b.mul(x, negative_slope))


@translates("elu.default")
def _elu(b: Builder, x: Value, alpha: Number = 1, scale: Number = 1, input_scale: Number = 1) -> Value:
    below = b.mul(expm1(b, b.mul(x, input_scale)), float(alpha) * float(scale))
    return b.where(b.compare("LessOrEqual", x, 0.0), below, b.mul(x, scale))


@translates("softplus.default")
def _softplus(b: Builder, x: Value, beta: Number = 1, threshold: Number = 20) -> Value:
    scaled = b.mul(x, beta)
    small = b.div(log1p(b, exp(b, scaled)), float(beta))
    return b.where(b.compare("Greater", scaled, threshold), x, small)


@translates("log_sigmoid_forward.default")
def _log_sigmoid(b: Builder, x: Value) -> tuple[Value, Value]:
    kept = exp(b, b.unary("Neg", b.unary("Abs", x)))
    return b.sub(_smallest(b, x, 0.0), log1p(b, kept)), kept


_SLOPE, _CUBE = math.sqrt(2 / math.pi), 0.044715


def _inner(b: Builder, x: Value) -> Value:
    """tanh(√(2/π) (x + 0.044715 x³))."""
    cube = b.mul(b.mul(b.mul(x, x), x), _CUBE)
    return tanh(b, b.mul(b.add(x, cube), _SLOPE))


@translates("gelu.default")
def _gelu(b: Builder, x: Value, approximate: str = "none") -> Value:
    share = _inner(b, x) if approximate == "tanh" else erf(b, b.mul(x, math.sqrt(0.5)))
    return b.mul(b.mul(x, 0.5), b.add(share, 1.0))


@translates("gelu_backward.default")
def _gelu_backward(b: Builder, grad_output: Value, x: Value, approximate: str = "none") -> Value:
    if approximate == "none":
        below = b.mul(b.add(erf(b, b.mul(x, math.sqrt(0.5))), 1.0), 0.5)
        density = b.mul(exp(b, b.mul(b.mul(x, x), -0.5)), 1 / math.sqrt(2 * math.pi))
        return b.mul(grad_output, b.add(below, b.mul(x, density)))
    inner = _inner(b, x)
    left = b.mul(b.add(inner, 1.0), 0.5)
    slope = b.mul(b.add(b.mul(b.mul(x, x), 3 * _CUBE), 1.0), _SLOPE)
    right = b.mul(b.mul(b.mul(x, 0.5), b.sub(1.0, b.mul(inner, inner))), slope)
    return b.mul(grad_output, b.add(left, right))


@translates("sigmoid_backward.default")
def _sigmoid_backward(b: Builder, grad_output: Value, output: Value) -> Value:
    return b.mul(grad_output, b.mul(b.sub(1.0, output), output))


@translates("tanh_backward.default")
def _tanh_backward(b: Builder, grad_output: Value, output: Value) -> Value:
    return b.mul(grad_output, b.sub(1.0, b.mul(output, output)))


@translates("threshold_backward.default")
def _threshold_backward(b: Builder, grad_output: Value, x: Value, threshold: Number) -> Value:
    return b.where(
        b.compare("LessOrEqual", x, b.number(threshold, x.dtype)), 0, grad_output, grad_output.dtype
    )
