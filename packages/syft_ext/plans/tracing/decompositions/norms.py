"""Norms, distances and what else is a few elementwise operations: the kernels of torch are not in the op set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["NORMS"]

aten = torch.ops.aten


def _vector_norm(
    x: torch.Tensor,
    order: float = 2,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    if dtype is not None:
        x = x.to(dtype)
    dims = list(range(x.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    if x.dim() == 0:
        return (x != 0).to(x.dtype) if order == 0 else x.abs()
    if order == math.inf:
        return torch.amax(x.abs(), dims, keepdim)
    if order == -math.inf:
        return torch.amin(x.abs(), dims, keepdim)
    if order == 0:
        return (x != 0).to(x.dtype).sum(dims, keepdim)
    if order == 1:
        return x.abs().sum(dims, keepdim)
    if order == 2:
        return (x * x).sum(dims, keepdim).sqrt()
    return (x.abs() ** order).sum(dims, keepdim) ** (1.0 / order)


def _foreach_norm(
    tensors: Sequence[torch.Tensor], order: float = 2, dtype: torch.dtype | None = None
) -> list[torch.Tensor]:
    return [_vector_norm(x, order, dtype=dtype) for x in tensors]


def _dist(x: torch.Tensor, y: torch.Tensor, p: float = 2) -> torch.Tensor:
    return _vector_norm(x - y, p)


def _var_mean(
    x: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    dims = list(range(x.dim())) if dim is None else dim
    return aten.var.correction(x, dim, correction=correction, keepdim=keepdim), x.mean(dims, keepdim)


def _differences(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Each row of ``x`` (…, P, M) less each of ``y`` (…, R, M): (…, P, R, M). Exact where rows are close, which
    torch's way over a product of matrices is not."""
    return x.unsqueeze(-2) - y.unsqueeze(-3)


def _cdist_forward(x: torch.Tensor, y: torch.Tensor, p: float, mode: int | None) -> torch.Tensor:
    return _vector_norm(_differences(x, y), p, -1)


def _cdist_backward(
    grad: torch.Tensor, x: torch.Tensor, y: torch.Tensor, p: float, distances: torch.Tensor
) -> torch.Tensor:
    between, grad, far = _differences(x, y), grad.unsqueeze(-1), distances.unsqueeze(-1)
    size, sign = between.abs(), between.sign()
    zero = torch.zeros_like(between)
    if p == 0:
        slope = zero
    elif p == 1:
        slope = grad * sign
    elif p == math.inf:
        slope = torch.where(size == far, grad * sign, zero)
    elif p == 2:
        slope = torch.where(far == 0, zero, grad * between / torch.where(far == 0, torch.ones_like(far), far))
    else:
        safe = torch.where(far == 0, torch.ones_like(far), far)
        power = torch.where(size == 0, zero, sign * torch.where(size == 0, 1.0, size) ** (p - 1))
        slope = torch.where(far == 0, zero, grad * power / safe ** (p - 1))
    return slope.sum(-2)


def _trilinear(
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    expand_a: Sequence[int],
    expand_b: Sequence[int],
    expand_c: Sequence[int],
    sum_over: Sequence[int],
    unroll: int = 1,
) -> torch.Tensor:
    for place in sorted(expand_a):
        a = a.unsqueeze(place)
    for place in sorted(expand_b):
        b = b.unsqueeze(place)
    for place in sorted(expand_c):
        c = c.unsqueeze(place)
    product = a * b * c
    return product.sum(list(sum_over)) if sum_over else product


def _hypot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    x, y = x.abs(), y.abs()
    larger, smaller = torch.maximum(x, y), torch.minimum(x, y)
    ratio = smaller / torch.where(larger == 0, torch.ones_like(larger), larger)  # no square overflows
    return torch.where(torch.isinf(larger), larger, larger * (1 + ratio * ratio).sqrt())


def _addmv(
    x: torch.Tensor, matrix: torch.Tensor, vector: torch.Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Any:
    product = torch.mv(matrix, vector)
    return (x if beta == 1 else beta * x) + (product if alpha == 1 else alpha * product)


def _logit(x: torch.Tensor, eps: float | None = None) -> torch.Tensor:
    if eps is not None:
        x = x.clamp(eps, 1 - eps)
    return torch.log(x / torch.rsub(x, 1))


def _logit_backward(grad: torch.Tensor, x: torch.Tensor, eps: float | None = None) -> torch.Tensor:
    slope = grad / (x * torch.rsub(x, 1))
    if eps is not None:
        return torch.where((x < eps) | (x > 1 - eps), torch.zeros_like(slope), slope)
    return torch.where((x < 0) | (x > 1), torch.full_like(slope, math.nan), slope)


def _weight_norm_backward(
    grad: torch.Tensor, v: torch.Tensor, g: torch.Tensor, norms: torch.Tensor, dim: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of ``v * (g / norms)``, where ``norms`` are those of ``v`` over all dimensions but ``dim``."""
    others = [index for index in range(v.dim()) if index != dim % v.dim()]
    along = (grad * v).sum(others, True)
    return g / norms * (grad - v * (along / (norms * norms))), along / norms


def _signbit(x: torch.Tensor) -> torch.Tensor:
    if not x.dtype.is_floating_point:
        return x < 0
    return torch.where(x == 0, torch.reciprocal(x) < 0, x < 0)


NORMS: dict[Any, Callable[..., Any]] = {
    aten.linalg_vector_norm.default: _vector_norm,
    aten._foreach_norm.Scalar: _foreach_norm,
    aten._foreach_mul.Tensor: lambda tensors, by: [x * by for x in tensors],
    aten.dist.default: _dist,
    aten.var_mean.correction: _var_mean,
    aten._cdist_forward.default: _cdist_forward,
    aten._cdist_backward.default: _cdist_backward,
    aten._trilinear.default: _trilinear,
    aten.hypot.default: _hypot,
    aten.addmv.default: _addmv,
    aten.logit.default: _logit,
    aten.logit_backward.default: _logit_backward,
    aten.exp2.default: lambda x: torch.pow(2.0, x),
    aten._weight_norm_interface_backward.default: _weight_norm_backward,
    aten.signbit.default: _signbit,
    aten._efficientzerotensor.default: lambda size, *, dtype=None, **_: aten.full.default(
        size, 0, dtype=dtype or torch.get_default_dtype()
    ),
}
