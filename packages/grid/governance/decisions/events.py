"""What the desk tells those whose requests it decides: rooms above, which it does not know."""

from __future__ import annotations

from dataclasses import dataclass

from grid.governance.decisions.machine import RequestState
from grid.node.events import TransactionEvent
from grid.storage.sql.followed import FollowedTransaction

__all__ = ["TrainingRequestDecided"]


@dataclass(frozen=True, slots=True)
class TrainingRequestDecided(TransactionEvent):
    """A request to run a training was made or decided, in ``transaction``.

    Whoever runs trainings acts on it in the same transaction, or raises, and so keeps it from being decided
    (:class:`~syft_ext.errors.Conflict`: the training is not any more what was asked for).

    Attributes:
        process_id, digest: the training, and the definition that the word is for.
        state: where the request is now.
        people: e-mail addresses of whose word it is: who asked, all who approved, or who denied, revoked or
            withdrew it.
        reason: what the last of them said.
    """

    transaction: FollowedTransaction
    request_id: str
    process_id: str
    digest: str
    state: RequestState
    people: list[str]
    reason: str
