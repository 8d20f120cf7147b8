"""Parts of reports: they are kept no longer than their assignment waits for its report, and in somebody's quota.

A report that comes whole is refused or counted at once; parts of one wait. So they are held to what bounds reports
(an assignment that is open, the size that its report may have), and those of a user to that user's uploads too.
Whoever is no user here has no quota: what they keep is one report for each slot that a training gave them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.orm import Session

from grid.federated.consent.identities import SELF
from grid.federated.intake.parts import Parts
from grid.federated.state import tables as t
from grid.federated.state.machines.assignment import AssignmentStatus
from grid.quotas.enforcing import require_room
from grid.quotas.usage import OWNER, count_with
from grid.storage.objects.tables import UploadRow
from grid.storage.sql.database import Database
from syft_ext.transport import PayloadReader

__all__ = ["REPORT_PARTS", "ReportParts", "require_room_for_report"]

REPORT_PARTS = "report:"
"""Before an assignment's id: for what parts of its report are kept."""
_USER = "user:"

_PARTS = UploadRow.owner.startswith(REPORT_PARTS, autoescape=True)
_ASSIGNMENT = func.substr(UploadRow.owner, len(REPORT_PARTS) + 1)

count_with(
    "uploads",
    "parts of reports",
    select(func.coalesce(func.sum(UploadRow.size), 0).label("size"))
    .join(t.Assignment, t.Assignment.id == _ASSIGNMENT)
    .join(t.Worker, t.Worker.id == t.Assignment.worker_id)
    .where(
        _PARTS,
        t.Worker.identity.in_(
            [literal(_USER) + bindparam(OWNER), literal(f"{SELF}{_USER}") + bindparam(OWNER)]
        ),
    ),
)


def require_room_for_report(session: Session, purpose: str) -> None:
    """As the last thing of the transaction that begins to keep parts of a report.

    Raises :class:`QuotaExceeded` where it is a user's, and more than their uploads may have.
    """
    identity = session.scalar(
        select(t.Worker.identity)
        .join(t.Assignment, t.Assignment.worker_id == t.Worker.id)
        .where(t.Assignment.id == purpose.removeprefix(REPORT_PARTS))
    )
    known = (identity or "").removeprefix(SELF)
    if known.startswith(_USER):
        require_room(session, known.removeprefix(_USER), "uploads")


class ReportParts:
    """What has come of reports that are not whole yet."""

    def __init__(self, database: Database, parts: Parts) -> None:
        self._database, self._parts = database, parts

    def handed_in(self, assignment_id: str, digest: str) -> AbstractContextManager[PayloadReader]:
        """The whole report, as :meth:`Parts.handed_in` has it."""
        return self._parts.handed_in(f"{REPORT_PARTS}{assignment_id}", digest)

    def forget(self, assignment_id: str) -> None:
        """Drop what is kept of this report."""
        self._parts.forget(f"{REPORT_PARTS}{assignment_id}")

    def forget_ended(self, process_id: str = "") -> int:
        """Drop what nobody can hand in any more, of this training or of all; of how many reports that was.

        A slot that is given up is free again at once: who begins a report in each would keep them all.
        """
        open_ones = select(t.Assignment.id).where(
            t.Assignment.id == _ASSIGNMENT, t.Assignment.status == str(AssignmentStatus.ASSIGNED)
        )
        statement = select(UploadRow.owner).distinct().where(_PARTS, ~open_ones.exists())
        if process_id:
            of_training = select(t.Assignment.id).where(t.Assignment.process_id == process_id)
            statement = statement.where(_ASSIGNMENT.in_(of_training))
        with self._database.read() as session:
            ended = session.scalars(statement).all()
        for purpose in ended:
            self._parts.forget(purpose)
        return len(ended)
