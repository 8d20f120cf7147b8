"""What is told of a request that left a state, to those who do what follows from it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from grid.accounts.tables import User
from grid.governance.decisions.approval import standing
from grid.governance.decisions.events import TrainingRequestDecided
from grid.governance.decisions.machine import RequestState
from grid.governance.decisions.tables import RequestRow, TrainingRequest
from grid.node.events import EventBus
from grid.storage.sql.followed import FollowedTransaction

__all__ = ["tell"]


def tell(
    bus: EventBus,
    transaction: FollowedTransaction,
    row: RequestRow,
    by: Collection[str],
    reason: str = "",
) -> None:
    """Publish where a request is now, within ``transaction``: so far those to run a training have followers.

    Args:
        by: user ids of whose word it is; nobody: of all whose words stand, which say so by themselves.
    """
    if row.scope != "training":
        return
    session = transaction.session
    session.flush()
    subject = session.get_one(TrainingRequest, row.id)
    if not by:
        said = [each for each, _ in standing(session, row)]
        said = [each for each in said if each.approved == (row.state == RequestState.APPROVED)]
        by, reason = [each.reviewer_id for each in said], reason or next((s.reason for s in said), "")
    emails = {
        row.id: row.email for row in session.execute(select(User.id, User.email).where(User.id.in_(by)))
    }
    bus.publish(
        TrainingRequestDecided(
            transaction,
            request_id=row.id,
            process_id=subject.process_id,
            digest=subject.digest,
            state=RequestState(row.state),
            people=[emails[each] for each in by if each in emails],
            reason=reason,
        )
    )
