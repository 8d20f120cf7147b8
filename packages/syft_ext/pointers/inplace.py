"""Operations that write to their operands: the functional operation, and a write to the cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch.utils._mode_utils import no_dispatch

from syft_ext.errors import GridError, Unsupported
from syft_ext.pointers.record import refuse
from syft_ext.pointers.routes import Order, Route, add_choice, dispatch
from syft_ext.pointers.tensor import RemoteTensor

__all__ = ["functional", "in_place", "reshape_in_place", "write"]

aten = torch.ops.aten


@cache
def functional(func: Any) -> Any:
    """The operation that computes what ``func`` writes: ``aten.add.Tensor`` for ``aten.add_.Tensor`` and for
    ``aten.add.out``. None if there is none."""
    packet, overload = str(func).split(".")[1:]
    first = func._schema.arguments[0].alias_info
    if packet.endswith("_") and first is not None and first.is_write:
        base = getattr(aten, packet.rstrip("_"), None)
        found = getattr(base, overload, None) if base is not None else None
        return found if found is not None and not found._schema.is_mutable else None
    if not _outs(func):
        return None
    wanted = [(a.name, str(a.type)) for a in func._schema.arguments if not a.is_out]
    for name in getattr(aten, packet).overloads():
        candidate = getattr(getattr(aten, packet), name)
        if [(a.name, str(a.type)) for a in candidate._schema.arguments] == wanted:
            return candidate
    return None


@cache
def _outs(func: Any) -> list[str]:
    return [argument.name for argument in func._schema.arguments if argument.is_out]


def in_place(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run the functional operation and write the result to where it belongs."""
    outs = _outs(func)
    given = {name: argument for name, argument in kwargs.items() if name not in outs}
    result = dispatch(functional(func), args, given)
    if outs:
        results = result if isinstance(result, list | tuple) else [result]
        written = [write(kwargs[name], new) for name, new in zip(outs, results, strict=True)]
        return written[0] if len(written) == 1 else tuple(written)
    if isinstance(args[0], list | tuple):
        for target, new in zip(args[0], result, strict=True):
            write(target, new)
        return None
    return write(args[0], result)


_VIEWS = {
    aten.squeeze_.default: aten.squeeze.default,
    aten.squeeze_.dim: aten.squeeze.dim,
    aten.squeeze_.dims: aten.squeeze.dims,
    aten.unsqueeze_.default: aten.unsqueeze.default,
    aten.transpose_.default: aten.transpose.int,
    aten.t_.default: aten.t.default,
}


def reshape_in_place(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """``x.unsqueeze_(0)``: the same tensor is another view of its memory from now on."""
    if func not in _VIEWS:
        return refuse(func, args, kwargs)
    view = dispatch(_VIEWS[func], args, kwargs)
    with no_dispatch():
        func(*args, **kwargs)  # the form that torch knows
    args[0]._cell = view.cell
    return args[0]


def write(target: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Give ``target`` the value of ``new``; everything that shares its memory sees it."""
    if not isinstance(target, RemoteTensor):
        raise GridError(
            "a tensor that is here cannot be changed in place with values that are elsewhere.\n"
            "  Instead: send it first, x.send(location), or make a new tensor, x = x + y"
        )
    if target.shape != new.shape:
        raise RuntimeError(
            f"a result of shape {list(new.shape)} does not fit {list(target.shape)} in place: write x = x.f(…)"
        )
    if target.dtype != new.dtype:
        if not torch.can_cast(new.dtype, target.dtype):
            raise RuntimeError(f"result type {new.dtype} can't be cast to the tensor's {target.dtype}")
        new = dispatch(aten._to_copy.default, [new], {"dtype": target.dtype})
    if not isinstance(new, RemoteTensor):
        raise Unsupported("the operation cannot run in place remotely")
    target.cell.write(new.cell.now())
    return target


def _writing(func: Any) -> Route | None:
    if torch.Tag.inplace_view in func.tags:
        return reshape_in_place
    if not func._schema.is_mutable:
        return None
    return in_place if functional(func) is not None else refuse


add_choice(Order.IN_PLACE, _writing)
