"""``tensor.send`` and ``module.send``/``module.get``: methods of torch's own classes, where torch is loaded.

Nothing here imports torch: a command line that has no tensors does not wait for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from syft_ext.plans.tracing.sender import use_sender

__all__ = ["install"]


def _send(
    self: Any, target: Any, *, tags: Sequence[str] = (), description: str = "", searchable: bool = False
) -> Any:
    """Send it to a Domain; a pointer to it (see :func:`syft_ext.send`)."""
    from syft_ext.pointers.sending import send

    return send(self, target, tags=tags, description=description, searchable=searchable)


def _get(self: Any, request_block: bool = False, timeout_secs: float = 600.0, reason: str = "") -> Any:
    """Fetch the parameters of a module that was sent; the same module, here again."""
    from syft_ext.pointers.modules import get_module

    return get_module(self, request_block=request_block, timeout_secs=timeout_secs, reason=reason)


def install() -> None:
    """Give torch's classes the methods, if torch is loaded. May be called often."""
    use_sender(_send)
    torch = sys.modules.get("torch")
    nn = sys.modules.get("torch.nn")
    if torch is None or nn is None or not hasattr(torch, "Tensor") or not hasattr(nn, "Module"):
        return
    for owner, name, method in (
        (torch.Tensor, "send", _send),
        (nn.Module, "send", _send),
        (nn.Module, "get", _get),
    ):
        if not hasattr(owner, name):
            setattr(owner, name, method)
