"""``x.send(domain)``: what is here gets a pointer to a copy there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from syft_ext.errors import BadRequest, GridError, TooLarge, Unsupported
from syft_ext.messages.compute import Put
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.pointers import fetching
from syft_ext.pointers.cells import meta_of
from syft_ext.pointers.containers import RemoteDict, RemoteList, RemoteTable, is_table
from syft_ext.pointers.location import target_of
from syft_ext.pointers.tensor import RemoteTensor, wrap
from syft_ext.sources.frames import content_of
from syft_ext.store.content import Data, decode

if TYPE_CHECKING:
    from syft_ext.pointers.session import Session

__all__ = ["bring_along", "put", "send"]

LARGEST = 16 << 20  # bytes of a local operand that are sent along without being asked to


def send(
    value: Any, target: Any, *, tags: Sequence[str] = (), description: str = "", searchable: bool = False
) -> Any:
    """Send a value to a Domain (or to the ``location`` of a pointer); a pointer to it.

    Tensors, arrays and numbers become a :class:`RemoteTensor`; lists and tuples a :class:`RemoteList`; mappings a
    :class:`RemoteDict`; data frames a :class:`RemoteTable` of columns. A ``torch.nn.Module`` is sent in place.
    The values live in your session there. With tags, a description or ``searchable`` they are kept as an object
    of the Domain's store, too, which others may find.

    Raises:
        BadRequest: something that is no number.
    """
    location = target_of(target)
    if isinstance(value, torch.nn.Module):
        from syft_ext.pointers.modules import send_module

        return send_module(value, location)
    pointer = _send(value, location.session)
    if tags or description or searchable:
        fields = {"tags": list(tags), "description": description, "searchable": searchable}
        fetching.keep(pointer, **fields)
    return pointer


def _send(value: Any, session: Session) -> Any:
    if isinstance(value, RemoteTensor):
        return value.send()
    if isinstance(value, torch.Tensor):
        return _leaf(value, put(session, value))
    if isinstance(value, bool | int | float):
        return put(session, torch.tensor(value))
    if is_table(value):
        columns = _as_data(value)
        assert isinstance(columns, Mapping)
        return RemoteTable({name: put(session, column) for name, column in columns.items()})
    if isinstance(value, Mapping):
        return RemoteDict({str(key): _send(part, session) for key, part in value.items()})
    if isinstance(value, list | tuple):
        return RemoteList([_send(part, session) for part in value])
    if not hasattr(value, "__array__"):
        raise BadRequest(f"a {type(value).__name__} cannot be sent: tensors, numbers, tables, modules can")
    data = _as_data(value)
    assert isinstance(data, torch.Tensor)
    return put(session, data)


def _as_data(value: Any) -> Data:
    """A frame or an array as the catalogue would keep it."""
    content = content_of(value, {}, "the value")
    return decode(content.kind, memoryview(b"".join(content.pieces())))


def _leaf(source: torch.Tensor, pointer: RemoteTensor) -> RemoteTensor:
    if source.requires_grad:
        pointer.requires_grad_()
    return pointer


def put(session: Session, tensor: torch.Tensor) -> RemoteTensor:
    """A copy of ``tensor`` there, as it is now."""
    dtype = dtype_name(tensor.dtype)
    if dtype is None or tensor.layout != torch.strided or tensor.device.type == "meta":
        raise Unsupported(f"a {tensor.layout} tensor of {tensor.dtype} cannot be sent; dense real ones can")
    with torch._C.DisableTorchFunctionSubclass():
        # A copy: the caller may write to the tensor before the queue is sent.
        flat = tensor.detach().cpu().contiguous().clone().reshape(-1)
        raw = flat.view(torch.uint8) if flat.numel() else torch.empty(0, dtype=torch.uint8)
        meta = meta_of(tensor.detach().contiguous())
        data = memoryview(raw.numpy().data) if flat.numel() else memoryview(b"")
    shape = list(tensor.shape)
    (handle,) = session.record(1, lambda out: Put(out=out[0], dtype=dtype, shape=shape, offset=0), data)
    return wrap(session, handle, meta)


def bring_along(session: Session, tensor: torch.Tensor) -> RemoteTensor:
    """A local operand of a remote operation, sent along. Raises :class:`GridError` if it should be sent first."""
    if tensor.requires_grad and torch.is_grad_enabled():
        raise GridError(
            f"a tensor that is here and needs a gradient meets values at {session.client.name}.\n"
            "  Instead: send it there first (model.send(data.location)), or use torch.no_grad()"
        )
    size = tensor.numel() * tensor.element_size()
    if size > LARGEST:
        raise TooLarge(
            f"a local tensor of {size / 1e6:,.0f} MB meets values at {session.client.name}.\n"
            "  Instead: send it there once, x = x.send(data.location)",
            limit=LARGEST,
        )
    return put(session, tensor)
