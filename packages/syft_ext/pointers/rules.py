"""Operations that need a rule of their own, beside :mod:`syft_ext.plans.tracing.decompositions`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from syft_ext.errors import Unsupported
from syft_ext.plans.tracing.randomness import Randomness
from syft_ext.pointers.dispatch_context import factories_at
from syft_ext.pointers.inplace import write
from syft_ext.pointers.record import bring_along, needs_value, record, session_of
from syft_ext.pointers.routes import Route, add_routes, dispatch
from syft_ext.pointers.tensor import RemoteTensor

__all__ = ["RULES"]

aten = torch.ops.aten


def _alias(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> RemoteTensor:
    """The same memory: both see what is written to either."""
    source: RemoteTensor = args[0]
    return RemoteTensor(source._session, source.cell, source._stored)


def _value(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    raise needs_value(args[0])


def _reshape(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return record(aten.reshape.default, func, args, kwargs)


def _copy(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    target, source = args[0], args[1]
    if not isinstance(target, RemoteTensor):
        return write(target, source)
    if not isinstance(source, RemoteTensor):
        source = bring_along(target._session, source)
    if source.dtype != target.dtype:
        source = dispatch(aten._to_copy.default, [source], {"dtype": target.dtype})
    if source.shape != target.shape:
        source = dispatch(aten.expand.default, [source, list(target.shape)], {})
    return write(target, source)


def _zero(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return write(args[0], dispatch(aten.zeros_like.default, [args[0]], {}))


def _fill(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    target, value = args
    if isinstance(value, torch.Tensor):
        return _copy(func, args, kwargs)
    return write(target, dispatch(aten.full_like.default, [target, value], {}))


def _index(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if any(isinstance(part, torch.Tensor) and part.dtype in (torch.bool, torch.uint8) for part in args[1]):
        raise Unsupported(
            "selecting with a boolean mask: how many there are depends on values that are elsewhere\n"
            "  Instead: keep the shape, torch.where(mask, x, 0), or multiply by mask.to(x.dtype)"
        )
    return record(aten.index.Tensor, aten.index.Tensor, args, kwargs)


def _index_put(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    target, indices, values = args[:3]
    accumulate = bool(args[3]) if len(args) > 3 else bool(kwargs.get("accumulate", False))
    mask = indices[0]
    if isinstance(mask, torch.Tensor) and mask.dtype in (torch.bool, torch.uint8):
        if len(indices) > 1 or values.numel() != 1 or accumulate:
            raise Unsupported(
                "writing several values through a boolean mask: how many there are depends on values that are "
                "elsewhere"
            ).noted("Instead: x = torch.where(mask, new, x)")
        shape = [*mask.shape, *[1] * (target.dim() - mask.dim())]
        mask = (
            dispatch(aten.view.default, [mask, shape], {})
            if isinstance(mask, RemoteTensor)
            else mask.view(shape)
        )
        with factories_at(session_of(args, kwargs)):
            return torch.where(mask.to(torch.bool), values.reshape(()).to(target.dtype), target)
    return record(aten.index_put.default, aten.index_put.default, [target, indices, values, accumulate], {})


def _index_put_(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return write(args[0], _index_put(func, args[:4], kwargs))


def _random(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The plans' portable generator; its seed comes from torch's (``torch.manual_seed`` acts)."""
    session = session_of(args, kwargs)
    options = dict(kwargs)
    seed = int(torch.randint(1 << 32, (), generator=options.pop("generator", None)))
    with factories_at(session):
        random = Randomness()
        random.start(dispatch(aten.full.default, [[], seed], {"dtype": torch.int64}))
        return random.table()[func](*args, **options)


def _attention_backward(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Gradients of softmax(q kᵀ·scale + mask) v: the weights are computed again, as flash attention does."""
    grad, q, k, v, out, _, dropout, causal = args[:8]
    mask, scale = kwargs.get("attn_mask"), kwargs.get("scale") or 1.0 / math.sqrt(args[1].shape[-1])
    if dropout:
        raise Unsupported("attention with dropout inside a fused kernel cannot run remotely")
    with factories_at(session_of(args, kwargs)):
        scores = torch.matmul(q, k.transpose(-2, -1)) * scale
        if causal:
            rows, columns = q.shape[-2], k.shape[-2]
            allowed = torch.ones([rows, columns], dtype=torch.bool).tril()
            scores = scores.masked_fill(allowed.logical_not(), -math.inf)
        if mask is not None:
            scores = scores + mask
        weights = torch.softmax(scores, -1)
        grad_weights = torch.matmul(grad, v.transpose(-2, -1))
        inner = (grad * out).sum(-1, keepdim=True)
        grad_scores = weights * (grad_weights - inner) * scale
        return (
            torch.matmul(grad_scores, k),
            torch.matmul(grad_scores.transpose(-2, -1), q),
            torch.matmul(weights.transpose(-2, -1), grad),
        )


def _scalar_first(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """``5 % x``: torch's own rule for it leads back to it."""
    number, tensor = args
    dtype = torch.result_type(torch.empty((1,), dtype=tensor.dtype, device="meta"), number)
    with factories_at(tensor._session):
        first = dispatch(aten.full.default, [[], number], {"dtype": dtype})
    return dispatch(func._overloadpacket.Tensor, [first, tensor], {})


def _same_form(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return tuple(args[0].shape) == tuple(args[1].shape)


def _strided_zeros(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    dtype = kwargs.get("dtype") or args[0].dtype
    with factories_at(args[0]._session):
        return dispatch(aten.full.default, [args[1], 0], {"dtype": dtype})


_DRAWS = list(Randomness().table())

RULES: dict[Any, Route] = {
    aten.detach.default: _alias,
    aten.alias.default: _alias,
    aten.lift_fresh.default: _alias,
    aten._unsafe_view.default: _reshape,
    aten.remainder.Scalar_Tensor: _scalar_first,
    aten.bitwise_and.Scalar_Tensor: _scalar_first,
    aten.bitwise_or.Scalar_Tensor: _scalar_first,
    aten.bitwise_xor.Scalar_Tensor: _scalar_first,
    aten.copy_.default: _copy,
    aten.zero_.default: _zero,
    aten.fill_.Scalar: _fill,
    aten.fill_.Tensor: _fill,
    aten.index.Tensor: _index,
    aten._unsafe_index.Tensor: _index,
    aten.index_put.default: _index_put,
    aten._unsafe_index_put.default: _index_put,
    aten.index_put_.default: _index_put_,
    aten._index_put_impl_.default: _index_put_,
    aten.new_empty_strided.default: _strided_zeros,
    aten.is_same_size.default: _same_form,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _attention_backward,
    aten._local_scalar_dense.default: _value,
    aten.equal.default: _value,
    aten.is_nonzero.default: _value,
    **dict.fromkeys(_DRAWS, _random),
}
add_routes(RULES)
