"""How a module is sent to a node: said by whoever knows nodes (:mod:`syft_ext.pointers.install`), asked here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["send_module", "use_sender"]

_senders: list[Callable[..., Any]] = []


def use_sender(send: Callable[..., Any]) -> None:
    """From now on, ``send(module, target, **options)`` sends modules."""
    _senders[:] = [send]


def send_module(module: Any, target: Any, **options: Any) -> Any:
    """Send ``module`` to ``target``; raises ``RuntimeError`` where nobody said how."""
    if not _senders:
        raise RuntimeError("nothing here can send modules to nodes: import syft_ext first")
    return _senders[0](module, target, **options)
