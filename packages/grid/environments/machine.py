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

__all__ = ["ENDED", "LIVE", "Event", "State", "decide"]


class State(StrEnum):
    CREATING = "creating"
    RUNNING = "running"
    FAILED = "failed"
    LOST = "lost"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


class Event(StrEnum):
    STARTED = "started"
    FAILED = "failed"
    GONE = "gone"
    DESTROY = "destroy"
    DONE = "done"


#: States in which something may be running, and so takes part of what the node has.
LIVE = frozenset({State.CREATING, State.RUNNING, State.DESTROYING})
#: States in which nothing runs.
ENDED = frozenset(State) - LIVE

_TABLE: dict[tuple[State, Event], State] = {
    (State.CREATING, Event.STARTED): State.RUNNING,
    (State.CREATING, Event.FAILED): State.FAILED,
    (State.CREATING, Event.DESTROY): State.DESTROYING,
    (State.RUNNING, Event.GONE): State.LOST,
    (State.RUNNING, Event.DESTROY): State.DESTROYING,
    (State.FAILED, Event.DESTROY): State.DESTROYING,
    (State.LOST, Event.DESTROY): State.DESTROYING,
    (State.DESTROYING, Event.DONE): State.DESTROYED,
}


def decide(state: State, event: Event) -> State:
    """The next state. Raises :class:`Conflict` when ``state`` forbids ``event``."""
    if (state, event) not in _TABLE:
        raise Conflict(f"an environment that is {state} cannot be changed so: {event}", state=str(state))
    return _TABLE[state, event]
