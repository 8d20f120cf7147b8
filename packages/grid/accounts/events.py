"""What other services may have to react to when an account changes."""

from __future__ import annotations

from dataclasses import dataclass

from grid.node.events import Event

__all__ = ["UserDisabled"]


@dataclass(frozen=True, slots=True)
class UserDisabled(Event):
    """An account was disabled or deleted, and that is committed: end what goes on in its name."""

    user_id: str
