"""``torch.utils.checkpoint`` inside a plan: a plain call.

Checkpointing runs a part of the forward pass again in the backward pass, to save memory. A plan is one straight
line and keeps what it needs, so a second run would only draw other dropout masks than the first, and give the
gradient of another function.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.utils._pytree as pytree
import torch.utils.checkpoint as torchs

__all__ = ["as_plain_calls"]


class _Reentrant:
    @staticmethod
    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        # As torch has it: where no argument wants a gradient, nothing behind it gets one.
        wanted = any(isinstance(a, torch.Tensor) and a.requires_grad for a in pytree.tree_leaves(args))
        with contextlib.nullcontext() if wanted else torch.no_grad():
            return function(*args)


def _nothing_around(*_: Any, **__: Any) -> Iterator[None]:
    """What :func:`torch.utils.checkpoint.checkpoint` runs before and after the function."""
    yield


@contextlib.contextmanager
def as_plain_calls() -> Iterator[None]:
    """While this lasts, however ``checkpoint`` was imported."""
    module: Any = torchs
    kept = module.CheckpointFunction, module._checkpoint_without_reentrant_generator
    module.CheckpointFunction, module._checkpoint_without_reentrant_generator = _Reentrant, _nothing_around
    try:
        yield
    finally:
        module.CheckpointFunction, module._checkpoint_without_reentrant_generator = kept
