"""What a host process holds of a session: values, the storages behind them, and what they take."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from syft_ext.errors import TooLarge
from syft_ext.plans.preconditions.results import TensorType

__all__ = ["OVERHEAD", "Opaque", "Poison", "SessionMemory", "Storage", "Value"]

#: Counted for each value beside its elements: what Python and torch need to hold it.
OVERHEAD = 512


@dataclass(slots=True)
class Storage:
    """Memory that one or more values share; ``users`` counts them."""

    nbytes: int
    users: int = 0


@dataclass(slots=True)
class Value:
    """A tensor that is never changed.

    Attributes:
        layout: as announced by the check before the kernel ran; depends on no element.
        label: which of the session's sources it was computed from, as bits.
        failure: that a kernel failed on its operands' elements: says something about them, so it is as
            confidential as the value. The tensor is then a blank of the announced layout.
    """

    tensor: torch.Tensor
    layout: TensorType
    storage: Storage
    label: int
    failure: str = ""


@dataclass(slots=True)
class Opaque:
    """What is no tensor, and never changed either.

    Attributes:
        kind: of an object that holds it. shape: of the numbers in it, as far as anybody may know.
        label, failure: as of a :class:`Value`.
    """

    kind: str
    shape: list[int]
    storage: Storage
    label: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Poison:
    """There is no value, because an action was refused; says nothing about any data."""

    code: str
    detail: str


class SessionMemory:
    """Bytes of a session, beside those of all sessions of the process."""

    def __init__(self, limit: int, whole: SessionMemory | None = None) -> None:
        self.limit, self.used, self._whole = limit, 0, whole

    def check(self, size: int) -> None:
        """Raise :class:`TooLarge` unless there is room for ``size`` more."""
        if self.used + size > self.limit:
            raise TooLarge(
                f"this needs {size} bytes; the session holds {self.used} of {self.limit}", limit=self.limit
            )
        if self._whole is not None and self._whole.used + size > self._whole.limit:
            raise TooLarge("all your sessions in this environment need more than its memory")

    def add(self, size: int) -> None:
        """Count ``size`` bytes more, or less; :meth:`check` was asked before."""
        self.used += size
        if self._whole is not None:
            self._whole.used += size

    def hold(self, storage: Storage) -> None:
        """One more value on ``storage``."""
        self.add(OVERHEAD + (0 if storage.users else storage.nbytes))
        storage.users += 1

    def drop(self, storage: Storage) -> None:
        """One value less on ``storage``, whose bytes are free with the last one."""
        storage.users -= 1
        self.add(-OVERHEAD - (0 if storage.users else storage.nbytes))
