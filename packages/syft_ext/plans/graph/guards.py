"""Extra preconditions of kernels that trust their arguments.

The meta implementation of these operations accepts more than the CPU kernel survives (found by fuzzing:
division by zero on empty tensors, reads out of bounds, results of another shape than announced). PyTorch's
security policy leaves valid arguments to the caller, so the caller checks them. Each guard sees the
operation's arguments as fake tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from syft_ext.errors import InvalidPlan

__all__ = ["GUARDS"]


def _same_shapes(*tensors: torch.Tensor) -> None:
    if any(t.shape != tensors[0].shape for t in tensors[1:]):
        raise InvalidPlan("the operands must have equal shapes")


def _softmax_backward(grad: torch.Tensor, output: torch.Tensor, dim: int, dtype: torch.dtype) -> None:
    _same_shapes(grad, output)
    if grad.numel() == 0:
        raise InvalidPlan("an empty operand")
    if grad.dtype != output.dtype or dtype != output.dtype:
        raise InvalidPlan("the operands must have one dtype")


def _pointwise_backward(grad: torch.Tensor, other: torch.Tensor, *_: Any, **__: Any) -> None:
    _same_shapes(grad, other)


def _convolution_backward(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, bias_sizes: list[int] | None, *rest: Any
) -> None:
    *geometry, output_mask = rest
    expected = torch.ops.aten.convolution.default(x, weight, None, *geometry)
    _same_shapes(grad, expected)
    if 0 in (grad.numel(), x.numel(), weight.numel()):
        raise InvalidPlan("an empty operand")
    if len(output_mask) != 3 or (output_mask[2] and list(bias_sizes or ()) != [grad.shape[1]]):
        raise InvalidPlan("the output mask or the bias sizes do not match")


def _batch_norm_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor | None,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    save_mean: torch.Tensor | None,
    save_invstd: torch.Tensor | None,
    train: bool,
    *_: Any,
) -> None:
    _same_shapes(grad, x)
    needed = (save_mean, save_invstd) if train else (running_mean, running_var)
    if x.dim() < 2 or any(t is None for t in needed):
        raise InvalidPlan("statistics are missing")
    for tensor in (weight, *needed):  # the kernel does not look at the other pair
        if tensor is not None and tuple(tensor.shape) != (x.shape[1],):
            raise InvalidPlan("the statistics do not match the channels")


def _group_norm(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    n: int,
    c: int,
    hw: int,
    groups: int,
    eps: float,
) -> None:
    if x.dim() < 2 or (n, c) != tuple(x.shape[:2]) or n * c * hw != x.numel() or x.numel() == 0:
        raise InvalidPlan("the sizes do not match the tensor")
    if groups < 1 or c % groups or any(t is not None and tuple(t.shape) != (c,) for t in (weight, bias)):
        raise InvalidPlan("the groups, weight or bias do not match the channels")


GUARDS: dict[str, Callable[..., None]] = {
    "aten._log_softmax_backward_data.default": _softmax_backward,
    "aten._softmax_backward_data.default": _softmax_backward,
    "aten.threshold_backward.default": _pointwise_backward,
    "aten.gelu_backward.default": _pointwise_backward,
    "aten.sigmoid_backward.default": _pointwise_backward,
    "aten.tanh_backward.default": _pointwise_backward,
    "aten.convolution_backward.default": _convolution_backward,
    "aten.native_batch_norm_backward.default": _batch_norm_backward,
    "aten.native_group_norm.default": _group_norm,
}
