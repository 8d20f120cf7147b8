"""Values on their way here: fetched where the owners allow it, asked for where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from syft_ext.errors import DeadlineExceeded, Forbidden
from syft_ext.plans.graph.dtypes import dtype_name

if TYPE_CHECKING:
    from syft_ext.client.objects import RemoteObject
    from syft_ext.client.requests import DataRequest
    from syft_ext.pointers.containers import RemoteContainer
    from syft_ext.pointers.stored import Stored
    from syft_ext.pointers.tensor import RemoteTensor

__all__ = ["get", "get_all", "keep", "request", "stored_object", "stored_of"]


def get(
    pointer: RemoteTensor, request_block: bool, timeout: float, reason: str, delete: bool
) -> torch.Tensor:
    """See :meth:`RemoteTensor.get`."""
    return get_all(pointer, [pointer], request_block, timeout, reason, delete)[0]


def get_all(
    whole: RemoteTensor | RemoteContainer,
    leaves: Sequence[RemoteTensor],
    request_block: bool,
    timeout: float,
    reason: str,
    delete: bool,
) -> list[torch.Tensor]:
    """The values of ``leaves``, the parts of ``whole``, in one answer."""
    if not leaves:
        return []
    try:
        values = _fetch(leaves)
    except Forbidden as refused:
        if request_block:
            values = _ask(whole, leaves, timeout, reason)
        else:
            values = _granted(whole, refused)
    if delete:
        for leaf in leaves:
            if leaf._stored is None or not leaf._stored.loaded:
                leaf._cell = None
    return values


def _fetch(leaves: Sequence[RemoteTensor]) -> list[torch.Tensor]:
    """Values and gradients in one request; leaves come back as leaves."""
    gradients = [leaf.grad if leaf.is_leaf and leaf.requires_grad else None for leaf in leaves]
    wanted: list[Any] = [*leaves, *(gradient for gradient in gradients if gradient is not None)]
    found = iter(leaves[0]._session.fetch([tensor.cell.now() for tensor in wanted]))
    values = [next(found).clone() for _ in leaves]
    for leaf, value, gradient in zip(leaves, values, gradients, strict=True):
        value.requires_grad_(leaf.is_leaf and leaf.requires_grad)
        if gradient is not None:
            value.grad = next(found).clone()
    return values


def _ask(
    whole: RemoteTensor | RemoteContainer, leaves: Sequence[RemoteTensor], timeout: float, reason: str
) -> list[torch.Tensor]:
    asked = request(leaves, reason, "read", whole)
    try:
        asked.wait(timeout)
    except DeadlineExceeded:
        asked.withdraw()
        raise
    if asked.state != "approved":
        said = "; ".join(decision.reason for decision in asked.view.decisions if decision.reason)
        raise Forbidden(f"the request was {asked.state}{': ' + said if said else ''}", request=asked.id)
    return _download(whole)


def _granted(whole: RemoteTensor | RemoteContainer, refused: Forbidden) -> list[torch.Tensor]:
    """What was asked for before and allowed since."""
    if stored_of(whole) is None:
        raise refused
    try:
        return _download(whole)
    except Forbidden:
        raise refused from None


def _download(whole: RemoteTensor | RemoteContainer) -> list[torch.Tensor]:
    data = stored_object(whole).get()
    if isinstance(data, torch.Tensor):
        return [data.clone()]
    return [tensor.clone() for tensor in (data.values() if isinstance(data, dict) else data)]


def request(
    leaves: Sequence[RemoteTensor],
    reason: str,
    scope: Literal["read", "compute", "statistics"],
    whole: RemoteTensor | RemoteContainer | None = None,
) -> DataRequest:
    """Ask for ``whole``; it becomes an object of the store first, if it is none yet."""
    from syft_ext.client.requests import Requests

    target = whole if whole is not None else leaves[0]
    stored = stored_of(target) or keep(target, description=_described(leaves), note=reason)
    return Requests(leaves[0]._session.client).create(stored.object_id, reason, scope)


def _described(leaves: Sequence[RemoteTensor]) -> str:
    """What reviewers read beside the reason."""
    forms = [f"{dtype_name(leaf.dtype)}{list(leaf.shape)}" for leaf in leaves]
    more = f" and {len(forms) - 8} more" if len(forms) > 8 else ""
    return f"Computed remotely: {', '.join(forms[:8])}{more}"


def stored_of(whole: RemoteTensor | RemoteContainer) -> Stored | None:
    """The object that holds what ``whole`` is now, if one does."""
    stored = whole._stored
    if stored is None or stored.number < 0:
        return stored
    assert isinstance(whole, torch.Tensor)
    return stored if whole.cell.now().number == stored.number else None


def keep(whole: RemoteTensor | RemoteContainer, **fields: Any) -> Stored:
    """Make it an object of the store; ``fields`` are those of :class:`~syft_ext.messages.compute.KeepValues`."""
    from syft_ext.pointers.containers import RemoteContainer, RemoteList
    from syft_ext.pointers.stored import Stored

    if isinstance(whole, RemoteContainer):
        leaves, names = whole.leaves(), whole.names()
        handles = [leaf.cell.now() for leaf in leaves]
        flat = isinstance(whole, RemoteList) and all("." not in name for name in names)
        view = leaves[0]._session.keep(handles, None if flat and len(leaves) > 1 else names, **fields)
        whole._stored = Stored(view.id, -1)
    else:
        handle = whole.cell.now()
        view = whole._session.keep([handle], None, **fields)
        whole._stored = Stored(view.id, handle.number)
    return whole._stored


def stored_object(whole: RemoteTensor | RemoteContainer) -> RemoteObject:
    """The object of the store that holds it; made now if there is none."""
    from syft_ext.client.objects import Objects

    stored = stored_of(whole) or keep(whole)
    return Objects(whole.location.client).describe(stored.object_id)
