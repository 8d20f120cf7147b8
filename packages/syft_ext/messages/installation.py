"""That a node's database was restored: what is known of it, and the owner's word that it is so."""

from __future__ import annotations

from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import flag

__all__ = ["AcknowledgeRestore", "DatabaseHead", "GetRestore", "RestoreView"]

_OWNER = flag("can_manage_infrastructure")


class DatabaseHead(Reply):
    """How far a database had come: its epoch (which grows with each start, stop and sweep), and the number of the
    last entry of its audit log with its time (seconds since the epoch). -1: nobody can tell."""

    epoch: int
    entry: int
    at: float


class RestoreView(Reply):
    """What is known of the last restore of a node's database.

    Attributes:
        waiting: it is not acknowledged: nothing that is counted is spent, nothing is swept or released.
        noticed_at: seconds since the epoch; 0.0 where there was none.
        database: how far the database that is there had come when that was noticed.
        known: how far the node had seen it come before.
        complete: the record beside the contents has all that was spent between the two: just that stays spent.
            Otherwise nobody can tell, and all that is left of counted grants, budgets, ledgers and rules counts as
            spent.
        spent: how many grants, budgets, ledgers and rules that changes.
        reason: what said so.
    """

    waiting: bool
    noticed_at: float
    database: DatabaseHead
    known: DatabaseHead
    complete: bool
    spent: int
    reason: str


@operation("restore.get", rest="GET /restore", reply=RestoreView, permission=_OWNER)
class GetRestore(Message):
    """Whether the node's database was restored, and what acknowledging that would change."""


@operation("restore.acknowledge", rest="POST /restore/acknowledgement", reply=RestoreView, permission=_OWNER)
class AcknowledgeRestore(Message):
    """Go on with the database that was restored. What was spent since it was copied stays spent."""
