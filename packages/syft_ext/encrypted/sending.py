"""How what is encrypted is sent to a node: said by whoever knows nodes (:mod:`syft_ext.nodes.domain`),
asked here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Sendable", "use_sender"]

_senders: list[Callable[..., Any]] = []


def use_sender(send: Callable[..., Any]) -> None:
    """From now on, ``send(value, target, **options)`` sends what is encrypted."""
    _senders[:] = [send]


class Sendable:
    """An encrypted value, or a public context."""

    def send(self, target: Any, **options: Any) -> Any:
        """Send it to a Domain; a pointer to it (see :func:`syft_ext.send`)."""
        if not _senders:
            raise RuntimeError("nothing here can send to nodes: log in first")
        return _senders[0](self, target, **options)
