"""Shapes and dtypes of results, known here without asking: torch's own fake tensors, remembered per call."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import _disable_current_modes

from syft_ext.plans.graph.ops import ALLOWED
from syft_ext.plans.preconditions.announce import announce
from syft_ext.pointers.cells import Meta, meta_of

__all__ = ["results_of"]

_MAX_KNOWN = 1 << 14
_known: dict[Any, tuple[Meta | None, ...]] = {}
_lock = threading.Lock()  # a FakeTensorMode is not made for several threads
_torch_log = logging.getLogger("torch._subclasses.fake_tensor")


def results_of(
    op: torch._ops.OpOverload, key: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Meta | None, ...]:
    """What ``op`` returns on arguments in which a :class:`Meta` stands for each tensor.

    ``key`` names the call: equal keys have equal results. None for a result that the kernel does not compute.
    Raises what torch raises for operands that do not fit, and :class:`~syft_ext.errors.InvalidPlan`.
    """
    found = _known.get(key)
    if found is None:
        found = _propagate(op, args, kwargs)
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[key] = found
    return found


def _propagate(
    op: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Meta | None, ...]:
    with _lock, _disable_current_modes(), FakeTensorMode(), torch.no_grad(), _quiet():
        fake_args = [_fake(argument) for argument in args]
        fake_kwargs = {name: _fake(argument) for name, argument in kwargs.items()}
        results = _results(op, fake_args, fake_kwargs)
        return tuple(None if one is None else meta_of(one) for one in results)


def _results(
    op: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Sequence[torch.Tensor | None]:
    if str(op) in ALLOWED:
        return announce(str(op), args, kwargs).results  # refused here as it would be there
    result = op(*args, **kwargs)  # a form of an operation of the op set, in place or as a view
    return [result] if isinstance(result, torch.Tensor) else list(result)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Torch writes a traceback to its log whenever operands do not fit; the user gets the exception."""
    level = _torch_log.level
    _torch_log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        _torch_log.setLevel(level)


def _fake(argument: Any) -> Any:
    if isinstance(argument, Meta):
        return torch.empty_strided(argument.shape, argument.strides, dtype=argument.dtype)
    if isinstance(argument, list | tuple):
        return [_fake(part) for part in argument]
    return argument
