"""``x.send(domain)``: what is here gets a pointer to a copy there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from syft_ext.encrypted.context import EncryptionKeys, PublicContext
from syft_ext.encrypted.values import Encrypted
from syft_ext.errors import BadRequest
from syft_ext.pointers import fetching
from syft_ext.pointers import operations as operations  # what is sent can be computed with
from syft_ext.pointers.containers import RemoteDict, RemoteList, RemoteTable, is_table
from syft_ext.pointers.encrypted.values import EncryptedPointer, put_context, put_encrypted
from syft_ext.pointers.location import target_of
from syft_ext.pointers.modules import send_module
from syft_ext.pointers.record import put
from syft_ext.pointers.tensor import RemoteTensor
from syft_ext.sources.frames import content_of
from syft_ext.store.content import Data, decode

if TYPE_CHECKING:
    from syft_ext.pointers.session import RemoteSession

__all__ = ["send"]


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
    if isinstance(value, EncryptionKeys):
        value.send()
    if isinstance(value, torch.nn.Module):
        return send_module(value, location)
    pointer = _send(value, location.session)
    if tags or description or searchable:
        fields = {"tags": list(tags), "description": description, "searchable": searchable}
        if isinstance(pointer, EncryptedPointer):
            pointer.keep(**fields)
            return pointer
        fetching.keep(pointer, **fields)
    return pointer


def _send(value: Any, session: RemoteSession) -> Any:
    if isinstance(value, RemoteTensor):
        return value.send()
    if isinstance(value, PublicContext):
        return put_context(session, value)
    if isinstance(value, Encrypted):
        return put_encrypted(session, value)
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
