"""Who counts as somebody in a training: users of this Domain, and Workers that it accepted.

Tokens, devices, keys and what a token of the training's host says are anybody's to make; a number of those says
nothing about how many people stand behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, func, select

from grid.federated.state import tables as t
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.store import Unit
from grid.storage.sql.prepared import PreparedSizes, PreparedStatement, places
from syft_ext.messages.policy import CyclePolicy

__all__ = ["SELF", "Slots", "participants", "subject_of"]

SELF = "self:"
"""Before identities that nobody here knows: see :mod:`grid.federated.consent.participants`."""

_HOLDING = [str(status) for status in assignments.HOLDING]
_HOLDERS = PreparedSizes(
    lambda size: (
        select(t.Worker.identity)
        .join(t.Assignment, t.Assignment.worker_id == t.Worker.id)
        .where(
            t.Assignment.cycle_id == bindparam("cycle_id"),
            t.Assignment.status.in_(places("status", len(_HOLDING))),
            t.Worker.identity.in_(places("identity", size)),
        )
    )
)
_STATUSES = {place.key: status for place, status in zip(places("status", 9), _HOLDING, strict=False)}
_BEHIND = PreparedStatement(
    select(func.count(t.Worker.identity.distinct()))
    .select_from(t.Assignment)
    .join(t.Worker, t.Worker.id == t.Assignment.worker_id)
    .where(
        t.Assignment.cycle_id == bindparam("cycle_id"),
        t.Assignment.status == str(assignments.AssignmentStatus.REPORTED),
        t.Worker.identity != bindparam("host"),
        t.Worker.identity.not_like(f"{SELF}%"),
    )
)


def subject_of(identity: str, key: str, claim: str | None) -> str | None:
    """What makes a worker the same one when it comes again; None: nothing does.

    Args:
        identity: who it is to this Domain, or "". key: that it signs with, or "".
        claim: what a token says that the training's host let somebody have. It tells workers of one identity
            apart, and is never taken for one: else a host could make a token for somebody else's worker.
    """
    device = f"sub:{claim}" if claim else f"key:{key}" if key else ""
    return "|".join(filter(None, [identity, device])) or None


class Slots:
    """Who may have a slot of a cycle, by who they are.

    Where the policy demands several participants, each identity has one slot, so that reports are people; and the
    host has none, who would know the others' sum without their own.

    Args:
        workers: id → row with the ``identity`` of those who ask in this round.
    """

    def __init__(self, policy: CyclePolicy, owner: str, unit: Unit, workers: Mapping[str, Any]) -> None:
        self._accepted = policy.participation == "accepted"
        self._distinct = self._accepted and policy.min_participants > 1
        self._host = f"user:{owner}"
        self._taken: set[str] = set()
        identities = sorted({row.identity for row in workers.values() if row.identity})
        if self._distinct and identities and unit.cycle is not None:
            values = {"cycle_id": unit.cycle.id, **_STATUSES}
            found = _HOLDERS.run(unit.connection, values, identity=identities).all()
            self._taken.update(row.identity for row in found)

    def refusal(self, identity: str | None) -> str:
        """Why this one gets no slot; "" where they may. Then it is kept for them in this round."""
        if self._accepted and not identity:
            return "not-accepted"
        if self._distinct and identity:
            if identity.startswith(SELF):
                return "not-accepted"
            if identity == self._host:
                return "own-training"
            if identity in self._taken:
                return "taking-part"
            self._taken.add(identity)
        return ""


def participants(unit: Unit, policy: CyclePolicy, owner: str) -> int:
    """How many are behind the reports of the unit's cycle: distinct accepted identities other than the host.

    Where anybody takes part nobody knows, and reports are all there is to count.
    """
    cycle = unit.cycle
    assert cycle is not None
    if policy.participation == "open" or policy.min_participants <= 1:
        return cycle.reported
    row = unit.run(_BEHIND, {"cycle_id": cycle.id, "host": f"user:{owner}"}).first()
    return int(row[0])
