"""Inside a rewriting rule, and while autograd runs, new tensors are made where the operands are."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from syft_ext.pointers.routes import dispatch

if TYPE_CHECKING:
    from syft_ext.pointers.session import RemoteSession

__all__ = ["current", "depth", "factories_at"]

aten = torch.ops.aten
_FACTORIES = frozenset(
    {
        *(aten.full.default, aten.zeros.default, aten.ones.default, aten.scalar_tensor.default),
        *(aten.arange.default, aten.arange.start, aten.arange.start_step, aten.empty.memory_format),
        *(aten.empty_permuted.default, aten.empty_strided.default, aten.rand.default, aten.randn.default),
        *(aten.eye.default, aten.eye.m, aten.linspace.default),
    }
)


class _Local(threading.local):
    def __init__(self) -> None:
        self.sessions: list[RemoteSession] = []


_local = _Local()


class _FactoryMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func not in _FACTORIES:
            return func(*args, **(kwargs or {}))
        return dispatch(func, args, kwargs or {})


def current() -> RemoteSession | None:
    """Where factories make tensors on this thread now; None: here."""
    return _local.sessions[-1] if _local.sessions else None


def depth() -> int:
    """How many rules this thread is inside of."""
    return len(_local.sessions)


@contextlib.contextmanager
def factories_at(session: RemoteSession) -> Iterator[None]:
    """Make tensors at ``session`` in this block, on this thread; torch functions are not looked at again."""
    _local.sessions.append(session)
    try:
        with torch._C.DisableTorchFunctionSubclass(), _FactoryMode():  # type: ignore[no-untyped-call]
            yield
    finally:
        _local.sessions.pop()
