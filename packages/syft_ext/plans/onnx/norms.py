"""Softmax, norms, losses and their gradients, composed of sums: the fused kernels of onnxruntime leave out
NaN, or keep other statistics than torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from syft_ext.errors import InvalidPlan
from syft_ext.plans.onnx.builder import Builder
from syft_ext.plans.onnx.reductions import axis_of, extreme
from syft_ext.plans.onnx.table import translates
from syft_ext.plans.onnx.types import Value

__all__: list[str] = []


def _axes(x: Value, dim: int) -> list[int]:
    return [axis_of(x, dim)] if x.rank else []


def _apart(b: Builder, x: Value, axes: list[int]) -> Value:
    """Less the largest."""
    if x.size == 0:
        return x
    return b.sub(x, extreme(b, x, axes, True, largest=True) if axes else x)


@translates("_softmax.default")
def _softmax(b: Builder, x: Value, dim: int, half_to_float: bool) -> Value:
    powers = b.unary("Exp", _apart(b, x, _axes(x, dim)))
    return b.div(powers, b.sum(powers, _axes(x, dim), True))


@translates("_log_softmax.default")
def _log_softmax(b: Builder, x: Value, dim: int, half_to_float: bool) -> Value:
    apart = _apart(b, x, _axes(x, dim))
    return b.sub(apart, b.unary("Log", b.sum(b.unary("Exp", apart), _axes(x, dim), True)))


@translates("_softmax_backward_data.default")
def _softmax_backward(b: Builder, grad_output: Value, output: Value, dim: int, input_dtype: str) -> Value:
    total = b.sum(b.mul(grad_output, output), _axes(output, dim), True)
    return b.mul(
        b.sub(grad_output, total), output
    )  # in this order infinities become what torch makes of them


@translates("_log_softmax_backward_data.default")
def _log_softmax_backward(b: Builder, grad_output: Value, output: Value, dim: int, input_dtype: str) -> Value:
    total = b.sum(grad_output, _axes(output, dim), True)
    return b.sub(grad_output, b.mul(b.unary("Exp", output), total))


# -- norms --------------------------------------------------------------------------------------------------


def _normalised(b: Builder, x: Value, axes: Sequence[int], eps: float) -> tuple[Value, Value, Value]:
    """Less its mean, in units of its deviation; the mean, and the reciprocal deviation; dimensions stay."""
    mean = b.mean(x, axes, keep=True)
    apart = b.sub(x, mean)
    variance = b.mean(b.mul(apart, apart), axes, keep=True)
    scale = b.div(1.0, b.unary("Sqrt", b.add(variance, eps)))
    return b.mul(apart, scale), mean, scale


def _affine(b: Builder, x: Value, weight: Value | None, bias: Value | None, shape: Sequence[int]) -> Value:
    if weight is not None:
        x = b.mul(x, b.reshape(weight, shape))
    return x if bias is None else b.add(x, b.reshape(bias, shape))


@translates("native_layer_norm.default")
def _layer_norm(
    b: Builder,
    x: Value,
    normalized_shape: Sequence[int],
    weight: Value | None,
    bias: Value | None,
    eps: float,
) -> tuple[Value, Value, Value]:
    axes = range(x.rank - len(normalized_shape), x.rank)
    made, mean, scale = _normalised(b, x, axes, eps)
    return _affine(b, made, weight, bias, normalized_shape), mean, scale


@translates("native_group_norm.default")
def _group_norm(
    b: Builder,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> tuple[Value, Value, Value]:
    grouped = b.reshape(x, (N, group, C // group * HxW))
    made, mean, scale = _normalised(b, grouped, [2], eps)
    made = _affine(b, b.reshape(made, x.shape), weight, bias, (C, *[1] * (x.rank - 2)))
    return made, b.reshape(mean, (N, group)), b.reshape(scale, (N, group))


def _channels(x: Value) -> tuple[list[int], tuple[int, ...]]:
    """All dimensions but that of the channels, and the shape in which one number for each channel
    broadcasts."""
    return [0, *range(2, x.rank)], (x.shape[1], *[1] * (x.rank - 2))


@translates("_native_batch_norm_legit.no_stats")
def _batch_norm(
    b: Builder,
    x: Value,
    weight: Value | None,
    bias: Value | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Value, Value, Value]:
    if not training:
        raise InvalidPlan("statistics are missing")
    axes, shape = _channels(x)
    made, mean, scale = _normalised(b, x, axes, eps)
    made = _affine(b, made, weight, bias, shape)
    return made, b.reshape(mean, (x.shape[1],)), b.reshape(scale, (x.shape[1],))


@translates("native_batch_norm_backward.default")
def _batch_norm_backward(
    b: Builder,
    grad_out: Value,
    x: Value,
    weight: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    save_mean: Value | None,
    save_invstd: Value | None,
    train: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> list[Value | None]:
    axes, shape = _channels(x)
    if train:
        if save_mean is None or save_invstd is None:
            raise InvalidPlan("statistics are missing")
        mean, scale = b.reshape(save_mean, shape), b.reshape(save_invstd, shape)
    else:
        if running_mean is None or running_var is None:
            raise InvalidPlan("statistics are missing")
        mean = b.reshape(running_mean, shape)
        scale = b.reshape(b.div(1.0, b.unary("Sqrt", b.add(running_var, eps))), shape)
    made = b.mul(b.sub(x, mean), scale)
    along = b.mul(grad_out, made)
    results: list[Value | None] = [None, None, None]
    if output_mask[0]:
        back = grad_out
        if train:
            back = b.sub(back, b.add(b.mean(grad_out, axes, True), b.mul(made, b.mean(along, axes, True))))
        back = b.mul(back, scale)
        results[0] = back if weight is None else b.mul(back, b.reshape(weight, shape))
    if output_mask[1]:
        results[1] = b.sum(along, axes)
    if output_mask[2]:
        results[2] = b.sum(grad_out, axes)
    return results


# -- losses -------------------------------------------------------------------------------------------------

_NONE, _MEAN = 0, 1


def _weights(
    b: Builder, x: Value, target: Value, weight: Value | None, ignore_index: int
) -> tuple[Value, Value, Value]:
    """Of each row: its class (0 where it does not count), whether it counts, and its weight (0 where it
    does not). A target that is no class ends the run."""
    counts = b.flag("Not", b.compare("Equal", target, ignore_index))
    classes = x.shape[-1]
    outside = b.flag("Or", b.compare("Less", target, 0), b.compare("GreaterOrEqual", target, classes))
    chosen = b.add(b.where(counts, target, 0), b.require(b.flag("And", counts, outside)))
    chosen = replace(chosen, bounds=(0, classes))
    each = b.full(target.shape, 1, x.dtype) if weight is None else b.take(weight, 0, chosen)
    return chosen, counts, b.where(counts, each, 0)


@translates("nll_loss_forward.default")
def _nll_loss(
    b: Builder, x: Value, target: Value, weight: Value | None, reduction: int, ignore_index: int
) -> tuple[Value, Value]:
    rows = x.shape[:-1]
    scores, places = b.reshape(x, (math.prod(rows), x.shape[-1])), b.reshape(target, (math.prod(rows),))
    chosen, counts, share = _weights(b, scores, places, weight, ignore_index)
    picked = b.reshape(b.pick(scores, 1, b.unsqueeze(chosen, 1)), chosen.shape)
    losses = b.where(counts, b.unary("Neg", b.mul(picked, share)), 0)
    if reduction == _NONE and rows:
        return losses, b.number(0, x.dtype)
    total = b.sum(share, [0])
    if reduction == _NONE:
        return b.reshape(losses, ()), total
    loss = b.sum(losses, [0])
    return (b.div(loss, total) if reduction == _MEAN else loss), total


@translates("nll_loss_backward.default")
def _nll_loss_backward(
    b: Builder,
    grad_output: Value,
    x: Value,
    target: Value,
    weight: Value | None,
    reduction: int,
    ignore_index: int,
    total_weight: Value,
) -> Value:
    rows = math.prod(x.shape[:-1])
    scores, places = b.reshape(x, (rows, x.shape[-1])), b.reshape(target, (rows,))
    chosen, counts, share = _weights(b, scores, places, weight, ignore_index)
    grad = b.reshape(grad_output, (grad_output.size,))
    each = b.unary("Neg", b.mul(share, grad))
    if reduction == _MEAN:
        each = b.div(each, total_weight)
    each = b.where(counts, each, 0)
    zeros = b.full(scores.shape, 0, x.dtype)
    made = b.put(zeros, 1, b.unsqueeze(chosen, 1), b.unsqueeze(each, 1))
    return b.reshape(made, x.shape)
