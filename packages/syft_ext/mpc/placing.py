"""Operations of plans that move numbers and sum them: on shares what they are on numbers, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch

from syft_ext.errors import Unsupported
from syft_ext.mpc.engine import ShareEngine, Steps
from syft_ext.mpc.shares import ShareTensor

__all__ = ["PLACING", "Handler", "Value", "as_share"]

Value: TypeAlias = Any  # a ShareTensor, a public torch.Tensor, or a literal
Handler: TypeAlias = Callable[..., Steps[Any]]


def as_share(engine: ShareEngine, value: Value) -> ShareTensor:
    """A share of whatever it is: public tensors and numbers with the session's bits behind the point."""
    if isinstance(value, ShareTensor):
        return value
    if isinstance(value, torch.Tensor) and value.dtype is torch.bool:
        return engine.constant(value.to(engine.device, torch.int64), 0, 1)
    return engine.public(value, engine.precision)


def _moved(change: Callable[..., torch.Tensor]) -> Handler:
    """``change(tensor, ...)`` on every part."""

    def handle(engine: ShareEngine, value: ShareTensor, *args: Any, **kwargs: Any) -> Steps[ShareTensor]:
        return value.each(lambda part: change(part, *args, **kwargs))
        yield

    return handle


def _joined(join: Callable[[Sequence[torch.Tensor], int], torch.Tensor]) -> Handler:
    def handle(engine: ShareEngine, values: Sequence[Value], dim: int = 0) -> Steps[ShareTensor]:
        shares = [as_share(engine, value) for value in values]
        fraction = max(share.fraction for share in shares)
        shares = [engine.aligned(share, fraction) for share in shares]
        parts = tuple(join(parts, dim) for parts in zip(*(each.parts for each in shares), strict=True))
        return replace(shares[0], parts=parts, bound=max(each.bound for each in shares))
        yield

    return handle


def _sum(
    engine: ShareEngine,
    value: ShareTensor,
    dims: Sequence[int] | None = None,
    keepdim: bool = False,
    **_: Any,
) -> Steps[ShareTensor]:
    return engine.total(value, list(dims or []), keep=keepdim)
    yield


def _mean(
    engine: ShareEngine,
    value: ShareTensor,
    dims: Sequence[int] | None = None,
    keepdim: bool = False,
    **_: Any,
) -> Steps[ShareTensor]:
    total = engine.total(value, list(dims or []), keep=keepdim)
    count = value.numel // max(total.numel, 1)
    return (yield from engine.multiply_public(total, 1 / max(count, 1)))


def _padded(
    engine: ShareEngine, value: ShareTensor, pad: Sequence[int], fill: float = 0.0
) -> Steps[ShareTensor]:
    if fill:
        raise Unsupported("on shares, tensors are padded with zeros only")
    return value.each(lambda part: torch.constant_pad_nd(part, list(pad), 0))
    yield


def _slice_backward(
    engine: ShareEngine, value: ShareTensor, sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Steps[ShareTensor]:
    return value.each(lambda part: torch.ops.aten.slice_backward(part, list(sizes), dim, start, end, step))
    yield


def _select_backward(
    engine: ShareEngine, value: ShareTensor, sizes: Sequence[int], dim: int, index: int
) -> Steps[ShareTensor]:
    return value.each(lambda part: torch.ops.aten.select_backward(part, list(sizes), dim, index))
    yield


def _cumsum(engine: ShareEngine, value: ShareTensor, dim: int, **_: Any) -> Steps[ShareTensor]:
    count = max(value.shape[dim], 1)
    value = engine.within(value, ((1 << 62) - 1) // count)
    return value.each(lambda part: part.cumsum(dim), value.bound * count)
    yield


def _copied(engine: ShareEngine, value: ShareTensor, **_: Any) -> Steps[ShareTensor]:
    """A copy, also as another dtype of floating point: there is one on shares."""
    return value
    yield


def _like(fill: float | None) -> Handler:
    def handle(engine: ShareEngine, value: ShareTensor, *args: Any, **_: Any) -> Steps[torch.Tensor]:
        return torch.full(value.shape, args[0] if fill is None else fill, dtype=torch.float32)
        yield

    return handle


_aten = torch.ops.aten
PLACING: dict[str, Handler] = {
    "aten.reshape.default": _moved(lambda part, shape: part.reshape(tuple(shape))),
    "aten.permute.default": _moved(lambda part, dims: part.permute(tuple(dims))),
    "aten.transpose.int": _moved(torch.transpose),
    "aten.t.default": _moved(torch.t),
    "aten.unsqueeze.default": _moved(torch.unsqueeze),
    "aten.squeeze.dim": _moved(torch.squeeze),
    "aten.squeeze.dims": _moved(lambda part, dims: torch.squeeze(part, tuple(dims))),
    "aten.expand.default": _moved(lambda part, shape, **_: part.expand(tuple(shape))),
    "aten.slice.Tensor": _moved(lambda part, *args: _aten.slice(part, *args)),
    "aten.select.int": _moved(torch.select),
    "aten.flip.default": _moved(lambda part, dims: torch.flip(part, tuple(dims))),
    "aten.repeat.default": _moved(lambda part, counts: part.repeat(tuple(counts))),
    "aten.diagonal.default": _moved(torch.diagonal),
    "aten.tril.default": _moved(torch.tril),
    "aten.triu.default": _moved(torch.triu),
    "aten.index_select.default": _moved(torch.index_select),
    "aten.cat.default": _joined(lambda parts, dim: torch.cat(list(parts), dim)),
    "aten.stack.default": _joined(lambda parts, dim: torch.stack(list(parts), dim)),
    "aten.clone.default": _copied,
    "aten._to_copy.default": _copied,
    "aten.constant_pad_nd.default": _padded,
    "aten.slice_backward.default": _slice_backward,
    "aten.select_backward.default": _select_backward,
    "aten.sum.default": _sum,
    "aten.sum.dim_IntList": _sum,
    "aten.mean.default": _mean,
    "aten.mean.dim": _mean,
    "aten.cumsum.default": _cumsum,
    "aten.full_like.default": _like(None),
    "aten.zeros_like.default": _like(0.0),
    "aten.ones_like.default": _like(1.0),
}
