"""What a grant is worth at a time, in Python and as SQL, side by side."""

from __future__ import annotations

from typing import Literal, Protocol

from sqlalchemy import ColumnElement, or_

from grid.access.tables import Grant

__all__ = ["GrantConditions", "GrantState", "has_room", "is_live", "live", "state_of"]

GrantState = Literal["live", "used up", "expired", "revoked"]


class GrantConditions(Protocol):
    """A grant, or what is known of one. ``expires_at`` and ``uses_left`` are None when unlimited."""

    @property
    def revoked_at(self) -> float | None:
        """When it was taken back, in seconds since the epoch; None while it was not."""

    @property
    def expires_at(self) -> float | None:
        """From when on it counts no more, in seconds since the epoch."""

    @property
    def uses_left(self) -> int | None:
        """How often it may still be used; 0 once the last use was spent."""


def state_of(grant: GrantConditions, now: float) -> GrantState:
    """What the grant is at ``now`` (seconds since the epoch). It expires at ``expires_at``, not after it."""
    if grant.revoked_at is not None:
        return "revoked"
    if grant.expires_at is not None and grant.expires_at <= now:
        return "expired"
    return "used up" if grant.uses_left is not None and grant.uses_left <= 0 else "live"


def is_live(grant: GrantConditions, now: float, *, used: bool = False) -> bool:
    """Whether the grant is worth something now; ``used``: also to whoever is having its last use."""
    state = state_of(grant, now)
    return state == "live" or (used and state == "used up")


def live(now: float, *, used: bool = False) -> ColumnElement[bool]:
    """:func:`is_live` as an SQL condition on :class:`Grant`."""
    alive = Grant.revoked_at.is_(None) & or_(Grant.expires_at.is_(None), Grant.expires_at > now)
    return alive if used else alive & or_(Grant.uses_left.is_(None), Grant.uses_left > 0)


def has_room(max_output_bytes: int | None, output_bytes: int) -> bool:
    """Whether a grant with this cap lets so much out at once."""
    return max_output_bytes is None or output_bytes <= max_output_bytes
