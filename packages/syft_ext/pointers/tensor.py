"""``RemoteTensor``: a torch tensor whose values are somewhere else.

Torch's methods, operators, functions, modules, optimisers and its autograd work on it as on any tensor; every
operation of the op set becomes an action of the session (:mod:`syft_ext.pointers.routes`). What is known here
is its form. What would need a value says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import torch

from syft_ext.client.requestable import Requestable
from syft_ext.errors import BadRequest, GridError
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.pointers import fetching
from syft_ext.pointers.cells import Cell, Handle, Meta, Stored
from syft_ext.pointers.location import Location, location_of
from syft_ext.pointers.routes import FUNCTIONS, dispatch
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.dp.tensors import PrivateTensor
    from syft_ext.messages.compute import ValueAccess
    from syft_ext.pointers.session import RemoteSession

__all__ = ["RemoteTensor", "wrap"]


class RemoteTensor(Requestable, torch.Tensor):
    """A pointer to a tensor at a Domain, or in a compute environment.

    Make one with ``tensor.send(domain)`` or ``asset.pointer()``; what is computed from it stays where it is.
    """

    _session: RemoteSession
    _cell: Cell | None
    _stored: Stored | None
    _column: tuple[str, str, Handle] | None = None
    """Object and column that it was loaded from, and the value that it was then."""

    @staticmethod
    def __new__(cls, session: RemoteSession, cell: Cell, stored: Stored | None = None) -> RemoteTensor:
        meta = cell.meta
        tensor: RemoteTensor = torch.Tensor._make_wrapper_subclass(
            cls, meta.shape, strides=meta.strides, dtype=meta.dtype, device=_CPU
        )
        tensor._session, tensor._cell, tensor._stored = session, cell, stored
        return tensor

    def __init__(self, session: RemoteSession, cell: Cell, stored: Stored | None = None) -> None:
        """Made in ``__new__``; torch calls this with the same arguments."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        rule = FUNCTIONS.get(func)
        if rule is not None:
            return rule(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return dispatch(func, args, kwargs or {})

    # -- where it is --------------------------------------------------------------------------------

    @property
    def cell(self) -> Cell:
        """The place that holds its value. Raises :class:`GridError` after :meth:`get`."""
        if self._cell is None:
            raise GridError(
                "this pointer's value was fetched with .get(), which removes it there; .get_copy() leaves it"
            )
        return self._cell

    @property
    def location(self) -> Location:
        """The Domain or environment that holds the values: ``location.id`` names it, and things are sent to it."""
        return location_of(self._session.client, self._session.environment)

    @property
    def id_at_location(self) -> str:
        """The id of the stored object, or session and number of a value that no object keeps."""
        stored = fetching.stored_of(self)
        if stored is not None:
            return stored.object_id
        return f"{self._session.id}/{self.cell.now().number}"

    def stored_column(self) -> tuple[Caller, str, str]:
        """The Domain's client, and object and name of the stored column that this is.

        Raises :class:`~syft_ext.errors.BadRequest` for what was computed or changed: of that a Domain knows no
        bounds.
        """
        if self._column is None or self.cell.now() is not self._column[2] or self.dim() != 1:
            raise BadRequest("this is no column of a stored table: it was computed, changed, or is no vector")
        return self._session.client, self._column[0], self._column[1]

    def annotate(
        self, lower: float | None = None, upper: float | None = None, subjects: str = ""
    ) -> PrivateTensor:
        """A private tensor of this stored column: see :func:`syft_ext.dp.tensors.annotate`."""
        from syft_ext.dp.tensors import annotate

        return annotate(self, lower, upper, subjects)

    def leaves(self) -> list[RemoteTensor]:
        """Itself: what containers have several of."""
        return [self]

    def stored_names(self) -> None:
        """In the store it has no name beside its object's id."""

    # -- bringing it here ---------------------------------------------------------------------------

    def get(
        self,
        request_block: bool = False,
        timeout_secs: float = 600.0,
        reason: str = "",
        delete_obj: bool = True,
    ) -> torch.Tensor:
        """Fetch the values, and let them go there; the pointer is used up unless ``delete_obj`` is False.

        With ``request_block`` you ask the owners if you may not read them, and wait ``timeout_secs`` for a
        decision. The gradient of a leaf comes along. Stored objects are not deleted by this.

        Raises:
            Forbidden: you may not read something that it was computed from.
            GridError: what went wrong with an action before, with the line that recorded it.
        """
        return fetching.get(self, request_block, timeout_secs, reason, delete_obj)

    def get_copy(
        self, request_block: bool = False, timeout_secs: float = 600.0, reason: str = ""
    ) -> torch.Tensor:
        """Fetch the values, and leave them there too."""
        return fetching.get(self, request_block, timeout_secs, reason, False)

    def _object_to_request(self, reason: str) -> tuple[Caller, str]:
        return fetching.object_to_request(self, reason)

    def check_access(self) -> ValueAccess:
        """Whether you may fetch the values now, and if not, the objects that stand in the way."""
        return self._session.check([self.cell.now()])

    def update_searchability(self, searchable: bool = True) -> RemoteTensor:
        """Let every user of the Domain find it (or not). A value that no object keeps becomes one."""
        fetching.stored_object(self).update(searchable=searchable)
        return self

    def send(self, *_: Any, **__: Any) -> RemoteTensor:
        """Raises :class:`~syft_ext.errors.GridError`: ``.get()`` it first, then send it elsewhere."""
        raise GridError(f"it is at {self.location.name} already; .get() it first, then send it elsewhere")

    # -- how it shows itself ------------------------------------------------------------------------

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        if self._cell is None:
            return "<RemoteTensor, fetched>"
        gradient = ", requires_grad" if self.requires_grad else ""
        form = f"{dtype_name(self.dtype)}{list(self.shape)}"
        return readable(f"<RemoteTensor {form} at {self.location.name}{gradient}, id {self.id_at_location}>")

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __deepcopy__(self, memo: dict[int, Any]) -> RemoteTensor:
        if id(self) in memo:
            return memo[id(self)]  # type: ignore[no-any-return]
        copied: Any = self.detach().clone().requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        if self.grad is not None:
            copied.grad = self.grad.detach().clone()
        memo[id(self)] = copied
        return copied  # type: ignore[no-any-return]

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GridError("a pointer cannot be pickled or saved; .get() its values first")

    def run_plan(self, plan: Any, flat: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Run a plan where this is (see :meth:`syft_ext.plans.Plan.__call__`)."""
        results: tuple[torch.Tensor, ...] = FUNCTIONS[RemoteTensor.run_plan](plan, flat)
        return results


_CPU = torch.device("cpu")


def wrap(session: RemoteSession, handle: Handle, meta: Meta) -> RemoteTensor:
    """A pointer to a value of its own."""
    return RemoteTensor(session, Cell(handle, meta))
