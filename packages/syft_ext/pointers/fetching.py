"""Values on their way here: fetched where the owners allow it, asked for where they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch

from syft_ext.client.objects import Objects, RemoteObject
from syft_ext.client.requests import Requests
from syft_ext.errors import DeadlineExceeded, Forbidden
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.pointers.cells import Cell, Stored

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.pointers.location import Location
    from syft_ext.pointers.session import RemoteSession

__all__ = [
    "Pointer",
    "TensorPointer",
    "get",
    "get_all",
    "keep",
    "object_to_request",
    "stored_object",
    "stored_of",
]


class TensorPointer(Protocol):
    """What is used here of a :class:`~syft_ext.pointers.tensor.RemoteTensor`.

    Attributes:
        grad: a remote tensor too, if there is one.
    """

    _session: RemoteSession
    _cell: Cell | None
    _stored: Stored | None
    dtype: torch.dtype
    shape: torch.Size
    grad: Any
    requires_grad: bool

    @property
    def is_leaf(self) -> bool:
        """Whether autograd keeps gradients for it."""

    @property
    def cell(self) -> Cell:
        """The place that holds its value."""


class Pointer(Protocol):
    """A remote tensor, or a container of several."""

    _stored: Stored | None

    @property
    def location(self) -> Location:
        """Where the values are."""

    def leaves(self) -> Sequence[TensorPointer]:
        """All tensors in it, in order."""

    def stored_names(self) -> list[str] | None:
        """What its leaves are called in the store; None for one without a name, or where the order says it."""


def get(pointer: Pointer, request_block: bool, timeout: float, reason: str, delete: bool) -> torch.Tensor:
    """See :meth:`~syft_ext.pointers.tensor.RemoteTensor.get`."""
    return get_all(pointer, request_block, timeout, reason, delete)[0]


def get_all(
    whole: Pointer, request_block: bool, timeout: float, reason: str, delete: bool
) -> list[torch.Tensor]:
    """The values of all leaves of ``whole``, in one answer."""
    leaves = whole.leaves()
    if not leaves:
        return []
    try:
        values = _fetch(leaves)
    except Forbidden as refused:
        if request_block:
            values = _ask(whole, timeout, reason)
        else:
            values = _granted(whole, refused)
    if delete:
        for leaf in leaves:
            if leaf._stored is None or not leaf._stored.loaded:
                leaf._cell = None
    return values


def _fetch(leaves: Sequence[TensorPointer]) -> list[torch.Tensor]:
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


def _ask(whole: Pointer, timeout: float, reason: str) -> list[torch.Tensor]:
    client, object_id = object_to_request(whole, reason)
    asked = Requests(client).create(object_id, reason, "read")
    try:
        asked.wait(timeout)
    except DeadlineExceeded:
        asked.withdraw()
        raise
    if asked.state != "approved":
        said = "; ".join(decision.reason for decision in asked.view.decisions if decision.reason)
        raise Forbidden(f"the request was {asked.state}{': ' + said if said else ''}", request=asked.id)
    return _download(whole)


def _granted(whole: Pointer, refused: Forbidden) -> list[torch.Tensor]:
    """What was asked for before and allowed since."""
    if stored_of(whole) is None:
        raise refused
    try:
        return _download(whole)
    except Forbidden:
        raise refused from None


def _download(whole: Pointer) -> list[torch.Tensor]:
    data = stored_object(whole).get()
    if isinstance(data, torch.Tensor):
        return [data.clone()]
    return [tensor.clone() for tensor in (data.values() if isinstance(data, dict) else data)]


def object_to_request(whole: Pointer, reason: str) -> tuple[Caller, str]:
    """Where ``whole`` is, and the object that holds it; it becomes one first, if it is none yet."""
    leaves = whole.leaves()
    stored = stored_of(whole) or keep(whole, description=_described(leaves), note=reason)
    return leaves[0]._session.client, stored.object_id


def _described(leaves: Sequence[TensorPointer]) -> str:
    """What reviewers read beside the reason."""
    forms = [f"{dtype_name(leaf.dtype)}{list(leaf.shape)}" for leaf in leaves]
    more = f" and {len(forms) - 8} more" if len(forms) > 8 else ""
    return f"Computed remotely: {', '.join(forms[:8])}{more}"


def stored_of(whole: Pointer) -> Stored | None:
    """The object that holds what ``whole`` is now, if one does."""
    stored = whole._stored
    if stored is None or stored.number < 0:
        return stored
    (leaf,) = whole.leaves()
    return stored if leaf.cell.now().number == stored.number else None


def keep(whole: Pointer, **fields: Any) -> Stored:
    """Make it an object of the store; ``fields`` are those of :class:`~syft_ext.messages.compute.KeepValues`."""
    leaves = whole.leaves()
    handles = [leaf.cell.now() for leaf in leaves]
    view = leaves[0]._session.keep(handles, whole.stored_names(), **fields)
    whole._stored = Stored(view.id, handles[0].number if isinstance(whole, torch.Tensor) else -1)
    return whole._stored


def stored_object(whole: Pointer) -> RemoteObject:
    """The object of the store that holds it; made now if there is none."""
    stored = stored_of(whole) or keep(whole)
    return Objects(whole.location.client).describe(stored.object_id)
