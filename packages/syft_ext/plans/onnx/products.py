"""Products of matrices, convolutions and their gradients. No operand of a product is a vector: onnxruntime
1.31 folded a transposed matrix times a vector into a wrong result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from syft_ext.errors import InvalidPlan, Unsupported
from syft_ext.plans.onnx.builder import Builder
from syft_ext.plans.onnx.table import translates
from syft_ext.plans.onnx.types import Number, Value

__all__: list[str] = []


@translates("mm.default", "bmm.default")
def _mm(b: Builder, x: Value, mat2: Value) -> Value:
    if x.dtype != mat2.dtype:
        raise InvalidPlan("the operands of a product must have one dtype")
    if x.rank != mat2.rank or x.shape[-1] != mat2.shape[-2] or x.shape[:-2] != mat2.shape[:-2]:
        raise InvalidPlan("the operands of a product do not fit each other")
    shape = (*x.shape[:-1], mat2.shape[-1])
    if x.size == 0 or mat2.size == 0:
        return b.full(shape, 0, x.dtype)
    b.flops += 2 * math.prod(shape) * x.shape[-1]
    work = b.wide(x)
    return b.cast(b.op("MatMul", [work, b.cast(mat2, work.dtype)], work.dtype, shape), x.dtype)


@translates("addmm.default")
def _addmm(b: Builder, x: Value, mat1: Value, mat2: Value, beta: Number = 1, alpha: Number = 1) -> Value:
    product = _mm(b, mat1, mat2)
    if alpha != 1:
        product = b.mul(product, alpha)
    if beta == 0:  # then torch does not look at it
        return product
    return b.add(product, x if beta == 1 else b.mul(x, beta))


@translates("mv.default")
def _mv(b: Builder, x: Value, vec: Value) -> Value:
    product = _mm(b, x, b.reshape(vec, (vec.size, 1)))
    return b.reshape(product, (x.shape[0],))


@translates("dot.default")
def _dot(b: Builder, x: Value, tensor: Value) -> Value:
    product = _mm(b, b.reshape(x, (1, x.size)), b.reshape(tensor, (tensor.size, 1)))
    return b.reshape(product, ())


# -- convolutions -------------------------------------------------------------------------------------------


def spread(values: Sequence[int], count: int, default: int = 0) -> list[int]:
    """A list of ``count`` sizes, of which one may stand for all."""
    found = list(values) or [default]
    return found * count if len(found) == 1 else found


@dataclass(frozen=True)
class _Geometry:
    """How a convolution goes over its spatial dimensions, one number for each; ``extra``: output padding."""

    stride: list[int]
    pad: list[int]
    dilation: list[int]
    extra: list[int]
    groups: int

    @classmethod
    def of(
        cls,
        x: Value,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        output_padding: Sequence[int],
        groups: int,
    ) -> _Geometry:
        """As a call says it. Raises :class:`Unsupported` for what onnxruntime has no kernel for."""
        if x.dtype != "f32":
            raise Unsupported(f"a convolution in {x.dtype} has no kernel in onnxruntime", dtype=x.dtype)
        n = x.rank - 2
        extra = spread(output_padding, n)
        return cls(spread(stride, n), spread(padding, n), spread(dilation, n), extra, groups)


def _conv(b: Builder, x: Value, weight: Value, how: _Geometry) -> Value:
    """Each result is a sum of products; sizes from the formula."""
    kernel = weight.shape[2:]
    sizes = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, s, p, d in zip(x.shape[2:], kernel, how.stride, how.pad, how.dilation, strict=True)
    ]
    shape = (x.shape[0], weight.shape[0], *sizes)
    b.flops += 2 * math.prod(shape) * weight.shape[1] * math.prod(kernel)
    return b.op(
        "Conv", [x, weight], x.dtype, shape, kernel_shape=list(kernel), strides=how.stride, pads=how.pad * 2,
        dilations=how.dilation, group=how.groups,
    )  # fmt: skip


def _conv_transposed(b: Builder, x: Value, weight: Value, how: _Geometry) -> Value:
    """``extra`` at the far ends is taken from the padding there, and zeros beyond it. onnxruntime refuses an
    output padding that is not smaller than the stride, which torch takes where it is smaller than the dilation."""
    kernel = weight.shape[2:]
    ends = [max(p - e, 0) for p, e in zip(how.pad, how.extra, strict=True)]
    sizes = [
        (size - 1) * s - p - end + d * (k - 1) + 1
        for size, k, s, p, end, d in zip(
            x.shape[2:], kernel, how.stride, how.pad, ends, how.dilation, strict=True
        )
    ]
    shape = (x.shape[0], weight.shape[1] * how.groups, *sizes)
    b.flops += 2 * x.size * weight.shape[1] * math.prod(kernel)
    made = b.op(
        "ConvTranspose", [x, weight], x.dtype, shape, kernel_shape=list(kernel), strides=how.stride,
        pads=how.pad + ends, dilations=how.dilation, group=how.groups,
    )  # fmt: skip
    beyond = [max(e - p, 0) for p, e in zip(how.pad, how.extra, strict=True)]
    return b.pad(made, [0] * x.rank, [0, 0, *beyond], 0)


@translates("convolution.default")
def _convolution(
    b: Builder,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Value:
    how = _Geometry.of(x, stride, padding, dilation, output_padding, groups)
    made = (_conv_transposed if transposed else _conv)(b, x, weight, how)
    return made if bias is None else b.add(made, b.reshape(bias, (bias.size, *[1] * (made.rank - 2))))


@translates("convolution_backward.default")
def _convolution_backward(
    b: Builder,
    grad_output: Value,
    x: Value,
    weight: Value,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> list[Value | None]:
    how = _Geometry.of(x, stride, padding, dilation, output_padding, groups)
    results: list[Value | None] = [None, None, None]
    if output_mask[0]:
        results[0] = _input_gradient(b, grad_output, x, weight, how, transposed)
    if output_mask[1]:
        given, taken = (grad_output, x) if transposed else (x, grad_output)
        results[1] = _weight_gradient(b, given, taken, weight, how)
    if output_mask[2]:
        results[2] = b.sum(grad_output, [0, *range(2, x.rank)])
    return results


def _input_gradient(
    b: Builder, grad: Value, x: Value, weight: Value, how: _Geometry, transposed: bool
) -> Value:
    """The other kind of convolution, of the gradient."""
    if transposed:
        made = _conv(b, grad, weight, how)
        for axis in range(2, x.rank):
            made = b.slice(made, axis, 0, x.shape[axis])
        return made
    extra = [
        size - ((out - 1) * s - 2 * p + d * (k - 1) + 1)
        for size, out, k, s, p, d in zip(
            x.shape[2:], grad.shape[2:], weight.shape[2:], how.stride, how.pad, how.dilation, strict=True
        )
    ]
    return _conv_transposed(b, grad, weight, replace(how, extra=extra))


def _weight_gradient(b: Builder, x: Value, grad: Value, weight: Value, how: _Geometry) -> Value:
    """A convolution of the input with the gradient, batch and channels in each other's place, stride and dilation
    too."""
    rest, batch, groups = x.shape[2:], x.shape[0], how.groups
    mine = x.shape[1] // groups
    by_group = b.reshape(x, (batch, groups, mine, *rest))
    turned = b.permute(by_group, (2, 1, 0, *range(3, by_group.rank)))
    turned = b.reshape(turned, (mine, groups * batch, *rest))
    kernel = b.permute(grad, (1, 0, *range(2, grad.rank)))
    made = _conv(b, turned, kernel, replace(how, stride=how.dilation, dilation=how.stride))
    for axis, size in enumerate(weight.shape[2:], 2):
        made = b.slice(made, axis, 0, size)
    return b.permute(made, (1, 0, *range(2, made.rank)))
