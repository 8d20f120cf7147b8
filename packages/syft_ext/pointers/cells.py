"""Remote values and the places that hold them.

A *value* never changes (:mod:`syft_ext.messages.compute`). A *cell* is what a tensor of torch has beside its
shape: memory that in-place operations write to and that views share. Writing puts another value into the cell;
a view is a cell with a parent and the step that leads from there to it: it is read anew when the parent was
written to, and what is written to it is written back to the parent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from syft_ext.errors import Unsupported

if TYPE_CHECKING:
    import torch

__all__ = ["Cell", "Handle", "Holder", "Meta", "Stored", "ViewStep", "meta_of"]


class Meta(NamedTuple):
    """What is known of a tensor here: everything but its values."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_metas: dict[Meta, Meta] = {}


def meta_of(tensor: torch.Tensor) -> Meta:
    """The tensor's :class:`Meta`; equal ones are the same object."""
    meta = Meta(tensor.dtype, tuple(tensor.shape), tensor.stride())
    if len(_metas) > 1 << 14:
        _metas.clear()
    return _metas.setdefault(meta, meta)


class Holder(Protocol):
    """Who wants to know when a value is not needed any more."""

    def forget(self, number: int) -> None:
        """Called by the garbage collector in any thread, at any moment: must not take a lock."""


class Handle:
    """Ownership of one remote value: when the last reference dies, so does the value.

    A finaliser, not a weak reference: torch swaps the contents of tensors only if nothing refers to them weakly.
    """

    __slots__ = ("number", "owner")

    def __init__(self, owner: Holder, number: int) -> None:
        self.owner, self.number = owner, number

    def __del__(self) -> None:
        self.owner.forget(self.number)

    def __deepcopy__(self, memo: Any) -> Handle:
        return self  # values are never changed, so they can be shared


class ViewStep(NamedTuple):
    """How a view comes from its parent: ``read(parent's handle)`` and ``write(parent's handle, new value)``,
    which gives the parent's new value. ``write`` is None where a view cannot be written to."""

    read: Callable[[Handle], Handle]
    write: Callable[[Handle, Handle], Handle] | None
    name: str


class Cell:
    """A mutable place for a remote value."""

    __slots__ = ("_handle", "_root", "_seen", "meta", "parent", "step", "version")

    def __init__(
        self, handle: Handle, meta: Meta, parent: Cell | None = None, step: ViewStep | None = None
    ) -> None:
        self._handle, self.meta, self.parent, self.step = handle, meta, parent, step
        # None for itself: a cycle would keep values alive until the garbage collector comes by.
        self._root: Cell | None = None if parent is None else parent.root
        self.version = 0
        self._seen = self.root.version

    @property
    def root(self) -> Cell:
        """The cell whose memory this is."""
        return self if self._root is None else self._root

    def now(self) -> Handle:
        """The value that it holds now."""
        if self._seen != self.root.version:
            assert self.parent is not None and self.step is not None
            self._handle = self.step.read(self.parent.now())
            self._seen = self.root.version
        return self._handle

    def write(self, handle: Handle) -> None:
        """Put another value in, here and in everything that shares this memory.

        Raises :class:`~syft_ext.errors.Unsupported` for a view that cannot be written to.
        """
        if self.parent is None:
            self.version += 1
        else:
            assert self.step is not None
            if self.step.write is None:
                raise _cannot_write(self.step.name)
            self.parent.write(self.step.write(self.parent.now(), handle))
        self._handle, self._seen = handle, self.root.version


@dataclass(frozen=True, slots=True)
class Stored:
    """The object of the store that holds a pointer's value. ``number``: that of the value, -1 for several; what
    was written to the pointer since is another value. ``loaded``: it came from there, so fetching it does not use
    it up."""

    object_id: str
    number: int
    loaded: bool = False


def _cannot_write(name: str) -> Exception:
    return Unsupported(
        f"a view made by {name} cannot be changed in place remotely.",
    ).noted("Instead: make a new tensor of it, x = torch.where(condition, new, x) for instance")
