"""How the tracer rewrites operations: to what is in the op set, fast, and safe on hostile arguments.

It knows torch's operators. It must not know what a plan is: whoever lowers the graph refuses what is left over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._decomp import core_aten_decompositions, get_decompositions

from syft_ext.plans.tracing.decompositions.norms import NORMS
from syft_ext.plans.tracing.decompositions.places import PLACES
from syft_ext.plans.tracing.decompositions.pools import POOLS
from syft_ext.plans.tracing.decompositions.scans import SCANS
from syft_ext.plans.tracing.decompositions.strides import STRIDES
from syft_ext.plans.tracing.errors import TraceError, user_line

__all__ = ["first_pass", "second_pass"]

aten = torch.ops.aten
_reshape: Callable[..., torch.Tensor] = aten.view.default
_full: Callable[..., torch.Tensor] = aten.full.default
_index_put: Callable[..., torch.Tensor] = aten.index_put.default
_Table = dict[Any, Callable[..., Any]]

# Fused kernels that are memory-safe under the checker: decomposing them costs 15-60 % and buys nothing.
_KEPT = """
addcmul.default addcdiv.default lerp.Scalar _log_softmax_backward_data.default
_softmax_backward_data.default threshold_backward.default gelu_backward.default tanh_backward.default
sigmoid_backward.default nll_loss_forward.default nll_loss_backward.default t.default transpose.int
zeros_like.default ones_like.default zeros.default ones.default rsub.Scalar mv.default dot.default
select_backward.default slice_backward.default native_batch_norm_backward.default stack.default
index_add.default clamp_min.default masked_fill.Scalar sum.default
"""


def _kept() -> set[Any]:
    return {getattr(getattr(aten, name.split(".")[0]), name.split(".")[1]) for name in _KEPT.split()}


def _batch_norm(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``aten.native_batch_norm`` writes to its running statistics although its schema does not say so."""
    if not training:
        return _batch_norm_eval(x, weight, bias, running_mean, running_var, eps)
    out, mean, rstd = aten._native_batch_norm_legit.no_stats(x, weight, bias, True, momentum, eps)
    if running_mean is not None:
        new_mean, new_var = _running(x, mean, rstd, running_mean, running_var, momentum, eps)
        running_mean.copy_(new_mean)
        running_var.copy_(new_var)
    return out, mean, rstd


def _batch_norm_eval(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shape = [1, -1] + [1] * (x.dim() - 2)
    scale = torch.rsqrt(running_var + eps)
    out = (x - running_mean.view(shape)) * scale.view(shape)
    if weight is not None:
        out = out * weight.view(shape)
    if bias is not None:
        out = out + bias.view(shape)
    return out, x.new_zeros(0), x.new_zeros(0)


def _running(
    x: torch.Tensor,
    mean: torch.Tensor,
    rstd: torch.Tensor,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    count = x.numel() / x.shape[1]
    variance = (1.0 / (rstd * rstd) - eps) * (count / (count - 1))
    return (
        (1 - momentum) * running_mean + momentum * mean,
        (1 - momentum) * running_var + momentum * variance,
    )


def _batch_norm_functional(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, ...]:
    if not training:
        out = _batch_norm_eval(x, weight, bias, running_mean, running_var, eps)
        return (*out, running_mean, running_var)
    out, mean, rstd = aten._native_batch_norm_legit.no_stats(x, weight, bias, True, momentum, eps)
    return out, mean, rstd, *_running(x, mean, rstd, running_mean, running_var, momentum, eps)


def _batch_norm_no_training(
    x: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return _batch_norm_eval(x, weight, bias, running_mean, running_var, eps)


def _split_with_sizes(x: torch.Tensor, sizes: Sequence[int], dim: int = 0) -> list[torch.Tensor]:
    """Torch's own decomposition yields ``as_strided``, which reads whatever the storage holds."""
    out, offset = [], 0
    for size in sizes:
        out.append(aten.slice.Tensor(x, dim, offset, offset + size))
        offset = offset + size
    return out


def _split(x: torch.Tensor, size: int, dim: int = 0) -> list[torch.Tensor]:
    total = x.shape[dim]
    if not isinstance(total, int):
        raise TraceError(
            f"{user_line()} splits along a dimension of variable size",
            hint="split along a fixed dimension, or call the plan once per piece",
        )
    return _split_with_sizes(x, [min(size, total - start) for start in range(0, total, size)], dim)


def _empty(size: Sequence[int], *_: Any, dtype: torch.dtype | None = None, **__: Any) -> torch.Tensor:
    """Never uninitialised memory: it is what the process held before."""
    return _full(size, 0, dtype=dtype or torch.get_default_dtype())


def _squeeze(x: torch.Tensor, dims: int | Sequence[int]) -> torch.Tensor:
    wanted = {d % x.dim() for d in ([dims] if isinstance(dims, int) else dims)} if x.dim() else set()
    sizes = [size for dim, size in enumerate(x.shape) if not (dim in wanted and size == 1)]
    return _reshape(x, sizes)


def _embedding_backward(
    grad: torch.Tensor, indices: torch.Tensor, rows: int, padding_idx: int, scale_by_freq: bool
) -> torch.Tensor:
    """ATen's kernel aborts the process on hostile sizes; index_put checks its indices."""
    if scale_by_freq:
        raise TraceError(
            f"{user_line()} uses Embedding(scale_grad_by_freq=True)", hint="scale_grad_by_freq=False"
        )
    if padding_idx >= 0:
        grad = torch.where((indices == padding_idx).unsqueeze(-1), torch.zeros_like(grad), grad)
    zeros = _full([rows, grad.shape[-1]], 0, dtype=grad.dtype)
    return _index_put(zeros, [indices], grad, True)


def _rrelu(
    x: torch.Tensor,
    noise: torch.Tensor,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    *_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    if training:
        raise TraceError(
            f"{user_line()} draws a slope for each element", hint="torch.nn.LeakyReLU or torch.nn.PReLU"
        )
    return aten.leaky_relu.default(x, (lower + upper) / 2), noise


def _rrelu_backward(
    grad: torch.Tensor, x: torch.Tensor, noise: torch.Tensor, lower: float, upper: float, *_: Any
) -> torch.Tensor:
    return torch.where(x > 0, grad, grad * ((lower + upper) / 2))


def _custom() -> _Table:
    def lerp(a: torch.Tensor, b: torch.Tensor, weight: float) -> torch.Tensor:
        return a + weight * (b - a)  # torch's own table makes six operations of it

    def copy(target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        return source.to(target.dtype).expand(target.shape)

    return {
        aten.split.Tensor: _split,
        aten.unsafe_split.Tensor: _split,
        aten.split_with_sizes.default: _split_with_sizes,
        aten.embedding_dense_backward.default: _embedding_backward,
        aten.lerp.Scalar: lerp,
        aten.rrelu_with_noise_functional.default: _rrelu,
        aten.rrelu_with_noise_backward.default: _rrelu_backward,
        aten.empty.memory_format: _empty,
        aten.empty_permuted.default: lambda size, order, *a, dtype=None, **k: _empty(size, dtype=dtype),
        aten.new_empty.default: lambda x, size, **k: _empty(size, dtype=k.get("dtype") or x.dtype),
        aten.empty_like.default: lambda x, **k: aten.full_like.default(x, 0, dtype=k.get("dtype")),
        aten.fill.Scalar: lambda x, value: aten.full_like.default(x, value),
        aten.copy.default: copy,
        torch.ops.prims.squeeze.default: _squeeze,
        aten.squeeze.dim: _squeeze,
        aten.squeeze.dims: _squeeze,
        aten.native_batch_norm.default: _batch_norm,
        aten._native_batch_norm_legit_functional.default: _batch_norm_functional,
        aten._native_batch_norm_legit_no_training.default: _batch_norm_no_training,
    }


def first_pass() -> _Table:
    """What must not survive in any plan, rewritten while autograd and the optimiser are still running."""
    table: _Table = get_decompositions(
        [
            *(aten._foreach_add, aten._foreach_mul, aten._foreach_div, aten._foreach_sqrt),
            *(aten._foreach_addcmul, aten._foreach_addcdiv, aten._foreach_lerp),
            *(aten._safe_softmax, aten._scaled_dot_product_flash_attention_for_cpu),
            *(aten.native_dropout, aten.native_dropout_backward, aten.bernoulli, aten.uniform),
            *(aten.rand_like, aten.randn_like, aten.lstm, aten.gru, aten.rnn_tanh),
            *(aten.squeeze.dims, aten.unbind, aten.new_zeros, aten.new_ones, aten.new_full),
            *(aten.empty_like, aten.new_empty, aten.split.Tensor, aten.split_with_sizes),
        ]
    )
    return {**table, **_custom(), **NORMS, **PLACES, **POOLS, **SCANS}


def second_pass() -> _Table:
    """Everything else outside the op set; the fused kernels of the op set stay."""
    kept = _kept()
    return {
        op: f for op, f in {**core_aten_decompositions(), **first_pass(), **STRIDES}.items() if op not in kept
    }
