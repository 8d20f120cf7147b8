"""Pointers to objects of a Domain's store: what was sent, registered, or kept before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from syft_ext.encrypted.frames import KINDS as ENCRYPTED_KINDS
from syft_ext.errors import Unsupported
from syft_ext.messages.compute import ContentLayout, DescribeContent, Load, TensorLayout
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.pointers import operations as operations  # what is loaded can be computed with
from syft_ext.pointers.cells import Cell, Meta, Stored, meta_of
from syft_ext.pointers.containers import RemoteDict, RemoteList, RemoteTable
from syft_ext.pointers.encrypted.values import load_encrypted
from syft_ext.pointers.install import install
from syft_ext.pointers.location import location_of
from syft_ext.pointers.tensor import RemoteTensor

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.pointers.session import RemoteSession

__all__ = ["pointer"]


def pointer(client: Caller, object_id: str, environment: str = "") -> Any:
    """A pointer to a stored object that you may compute on: nothing is moved.

    A tensor or a number is a :class:`RemoteTensor`; several are a :class:`RemoteList`, :class:`RemoteDict`, or,
    of one length, a :class:`RemoteTable`.

    Raises:
        Forbidden: you may find it, and not compute on it: ``.request(reason, "compute")``.
        NotFound: there is no such object for you.
    """
    layout: ContentLayout = client.call(DescribeContent(object_id=object_id))
    session = location_of(client, environment).session
    if layout.kind in ENCRYPTED_KINDS:
        return load_encrypted(session, layout)
    tensors = {item.name: _load(session, object_id, item) for item in layout.tensors}
    if not tensors:
        raise Unsupported(f"the object holds {layout.kind}, no tensors", kind=layout.kind)
    if layout.kind in ("tensor", "int", "float", "bool"):
        return next(iter(tensors.values()))
    found: RemoteDict | RemoteList
    if layout.kind == "list":
        found = RemoteList(list(tensors.values()))
    else:
        lengths = {tensor.shape[0] if tensor.dim() else -1 for tensor in tensors.values()}
        found = RemoteTable(tensors) if len(lengths) == 1 and lengths != {-1} else RemoteDict(tensors)
    found._stored = Stored(object_id, -1, loaded=True)
    return found


def _load(session: RemoteSession, object_id: str, item: TensorLayout) -> RemoteTensor:
    (handle,) = session.record(1, lambda out: Load(out=out[0], object_id=object_id, name=item.name))
    alone = Stored(object_id, handle.number, loaded=True) if not item.name else None
    tensor = RemoteTensor(session, Cell(handle, _meta(item)), alone)
    tensor._column = (object_id, item.name or "0", handle)
    return tensor


def _meta(item: TensorLayout) -> Meta:
    shape = tuple(item.shape)
    strides = tuple(math.prod(max(size, 1) for size in shape[dim + 1 :]) for dim in range(len(shape)))
    return meta_of(torch.empty_strided(shape, strides, dtype=DTYPES[item.dtype], device="meta"))


install()  # this has loaded torch
