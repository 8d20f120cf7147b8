"""The life of a compute environment, sans-IO.

CREATING ─started→ RUNNING ─gone→ LOST ─────┐
   │                  └────── destroy ──────┤
   ├─failed→ FAILED ─────── destroy ────────┤
   └─────────────────────── destroy ────────┴→ DESTROYING ─done→ DESTROYED

An intention to destroy is written down before anything is ended, so that a node that dies half-way goes on
where it was. PyGrid 0.5 called RUNNING "success" and knew neither LOST nor DESTROYING.
"""

from __future__ import annotations

from enum import StrEnum

from syft_ext.errors import Conflict

__all__ = ["ENDED", "LIVE", "EnvironmentEvent", "EnvironmentState", "decide"]


class EnvironmentState(StrEnum):
    """LIVE ones take part of what the node has. FAILED never ran; LOST ran, and ended without being told to."""

    CREATING = "creating"
    RUNNING = "running"
    FAILED = "failed"
    LOST = "lost"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


class EnvironmentEvent(StrEnum):
    """What the provider reports, and DESTROY, which a user or the node's keeper asks for."""

    STARTED = "started"
    FAILED = "failed"
    GONE = "gone"
    DESTROY = "destroy"
    DONE = "done"


#: States in which something may be running, and so takes part of what the node has.
LIVE = frozenset({EnvironmentState.CREATING, EnvironmentState.RUNNING, EnvironmentState.DESTROYING})
#: States in which nothing runs.
ENDED = frozenset(EnvironmentState) - LIVE

_TABLE: dict[tuple[EnvironmentState, EnvironmentEvent], EnvironmentState] = {
    (EnvironmentState.CREATING, EnvironmentEvent.STARTED): EnvironmentState.RUNNING,
    (EnvironmentState.CREATING, EnvironmentEvent.FAILED): EnvironmentState.FAILED,
    (EnvironmentState.CREATING, EnvironmentEvent.DESTROY): EnvironmentState.DESTROYING,
    (EnvironmentState.RUNNING, EnvironmentEvent.GONE): EnvironmentState.LOST,
    (EnvironmentState.RUNNING, EnvironmentEvent.DESTROY): EnvironmentState.DESTROYING,
    (EnvironmentState.FAILED, EnvironmentEvent.DESTROY): EnvironmentState.DESTROYING,
    (EnvironmentState.LOST, EnvironmentEvent.DESTROY): EnvironmentState.DESTROYING,
    (EnvironmentState.DESTROYING, EnvironmentEvent.DONE): EnvironmentState.DESTROYED,
}


def decide(state: EnvironmentState, event: EnvironmentEvent) -> EnvironmentState:
    """The next state. Raises :class:`Conflict` when ``state`` forbids ``event``."""
    if (state, event) not in _TABLE:
        raise Conflict(f"an environment that is {state} cannot be changed so: {event}", state=str(state))
    return _TABLE[state, event]
