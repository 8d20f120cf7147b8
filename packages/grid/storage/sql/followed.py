"""A transaction of several rooms, and what each of them does once it is committed, or undone.

A room that is called inside another's transaction cannot know when that ends; what it has to say to others must
wait until it is true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from sqlalchemy.orm import Session

from grid.storage.sql.database import Database

__all__ = ["FollowedTransaction", "call_all", "followed"]

Action = Callable[[], None]


class FollowedTransaction:
    """An open transaction: ``session`` is in it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.committed: list[Action] = []
        self.undone: list[Action] = []

    def after_commit(self, action: Action) -> None:
        """Call ``action`` once this is committed, outside of it."""
        self.committed.append(action)

    def after_rollback(self, action: Action) -> None:
        """Call ``action`` if this fails, outside of it."""
        self.undone.append(action)


@contextmanager
def followed(database: Database) -> Iterator[FollowedTransaction]:
    """A transaction as :meth:`Database.transaction`, after which all that was asked for is called."""
    transaction: FollowedTransaction | None = None
    try:
        with database.transaction() as session:
            transaction = FollowedTransaction(session)
            yield transaction
    except BaseException:
        if transaction is not None:
            call_all(transaction.undone)
        raise
    call_all(transaction.committed)


def call_all(actions: Sequence[Action]) -> None:
    """Call each of them, whatever becomes of the others; raises the first error."""
    with ExitStack() as stack:
        for action in reversed(actions):
            stack.callback(action)
