"""Operations whose result shares memory with their operand: how to read them anew, and how to write through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from syft_ext.pointers.cells import Cell, Handle, Meta, ViewStep
from syft_ext.pointers.record import call, encode
from syft_ext.pointers.routes import add_routes
from syft_ext.pointers.session import RemoteSession
from syft_ext.pointers.shapes import results_of
from syft_ext.pointers.tensor import RemoteTensor

__all__ = ["VIEWS", "view"]

aten = torch.ops.aten
_Writer = Callable[[list[Any], Meta], tuple[str, list[Any]]]
"""From the wire arguments and the form of the parent: the operation that gives the parent's new value, and its
arguments, where _PARENT and _NEW stand for the two values."""

_PARENT, _NEW = object(), object()


def _reshaped(args: list[Any], parent: Meta) -> tuple[str, list[Any]]:
    return "aten.reshape.default", [_NEW, ["l", *parent.shape]]


def _permuted(args: list[Any], parent: Meta) -> tuple[str, list[Any]]:
    rank = len(parent.shape)
    order = [dim % rank for dim in args[1][1:]]
    return "aten.permute.default", [_NEW, ["l", *(order.index(dim) for dim in range(rank))]]


def _transposed(args: list[Any], parent: Meta) -> tuple[str, list[Any]]:
    return "aten.transpose.int", [_NEW, *args[1:]]


def _t(args: list[Any], parent: Meta) -> tuple[str, list[Any]]:
    return "aten.t.default", [_NEW]


def _sliced(args: list[Any], parent: Meta) -> tuple[str, list[Any]]:
    return "aten.slice_scatter.default", [_PARENT, _NEW, *args[1:]]


def _selected(args: list[Any], parent: Meta) -> tuple[str, list[Any]]:
    return "aten.select_scatter.default", [_PARENT, _NEW, *args[1:]]


# What torch calls -> (what is recorded, how to write through it).
VIEWS: dict[Any, tuple[str, _Writer | None]] = {
    aten.view.default: ("aten.reshape.default", _reshaped),
    aten._reshape_alias.default: ("aten.reshape.default", _reshaped),
    aten.squeeze.default: ("aten.reshape.default", _reshaped),
    aten.squeeze.dim: ("aten.reshape.default", _reshaped),
    aten.squeeze.dims: ("aten.reshape.default", _reshaped),
    aten.unsqueeze.default: ("aten.unsqueeze.default", _reshaped),
    aten.permute.default: ("aten.permute.default", _permuted),
    aten.transpose.int: ("aten.transpose.int", _transposed),
    aten.t.default: ("aten.t.default", _t),
    aten.slice.Tensor: ("aten.slice.Tensor", _sliced),
    aten.select.int: ("aten.select.int", _selected),
    aten.diagonal.default: ("aten.diagonal.default", None),
    aten.expand.default: ("aten.expand.default", None),
}


def view(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> RemoteTensor:
    """Record a view: a tensor that shares its operand's memory."""
    source: RemoteTensor = args[0]
    session, parent = source._session, source.cell
    encoded = encode(session, args, kwargs)
    (meta,) = results_of(func, encoded.key(func), encoded.abstract, encoded.options)
    assert meta is not None
    op, writer = VIEWS[func]
    wire = encoded.args
    if op == "aten.reshape.default":
        wire = [wire[0], ["l", *meta.shape]]
    step = ViewStep(
        _reader(session, op, wire, encoded.kwargs), _through(session, writer, wire, parent.meta), op
    )
    return RemoteTensor(session, Cell(step.read(parent.now()), meta, parent, step))


def _reader(
    session: RemoteSession, op: str, wire: list[Any], kwargs: dict[str, Any]
) -> Callable[[Handle], Handle]:
    rest = wire[1:]

    def read(parent: Handle) -> Handle:
        return call(session, op, [["r", parent.number], *rest], kwargs)[0]

    return read


def _through(
    session: RemoteSession, writer: _Writer | None, wire: list[Any], meta: Meta
) -> Callable[[Handle, Handle], Handle] | None:
    if writer is None:
        return None
    op, template = writer(wire, meta)

    def write(parent: Handle, new: Handle) -> Handle:
        values = {id(_PARENT): ["r", parent.number], id(_NEW): ["r", new.number]}
        return call(session, op, [values.get(id(part), part) for part in template])[0]

    return write


add_routes(dict.fromkeys(VIEWS, view))
