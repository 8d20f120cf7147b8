"""The outbox: work that a transition asks for, written in the transition's own transaction.

At least once: a message stays until the transaction that carries its results removes it. One at a time:
taking it is a lease, and each taking has a new token, without which no result is accepted (fencing). A
message that failed too often is a dead letter: kept, never taken again.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Integer, bindparam, delete, insert, literal_column, select, update

from grid.concurrency.passing import passing_pause
from grid.federated.state import tables as t
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import Conflict
from syft_ext.ids import new_id

__all__ = ["Message", "Outbox"]

LEASE = 60.0
MAX_ATTEMPTS = 5

_TAKE = (
    update(t.OutboxMessage)
    .where(
        t.OutboxMessage.id == bindparam("b_id"),
        t.OutboxMessage.status == "pending",
        t.OutboxMessage.available_at <= bindparam("b_now"),
    )
    .values(token=t.OutboxMessage.token + 1, attempts=t.OutboxMessage.attempts + 1)
    .returning(t.OutboxMessage.token, t.OutboxMessage.attempts)
)
_OWN = (t.OutboxMessage.id == bindparam("b_id"), t.OutboxMessage.token == bindparam("b_token"))
_DONE = PreparedStatement(delete(t.OutboxMessage).where(*_OWN, t.OutboxMessage.status == "pending"))
_PUT = PreparedStatement(insert(t.OutboxMessage))
_FAILED = PreparedStatement(update(t.OutboxMessage).where(*_OWN))
_PENDING = select(
    t.OutboxMessage.id,
    t.OutboxMessage.topic,
    t.OutboxMessage.key,
    t.OutboxMessage.process_id,
    literal_column("0", Integer),  # no lease
    t.OutboxMessage.attempts,
    t.OutboxMessage.token,
).where(t.OutboxMessage.status == "pending", t.OutboxMessage.available_at <= bindparam("now"))
_NEXT = select(t.OutboxMessage.available_at).where(t.OutboxMessage.status == "pending")
_RELEASE = update(t.OutboxMessage).where(
    t.OutboxMessage.holder == bindparam("b_holder"), t.OutboxMessage.status == "pending"
)


@dataclass(frozen=True, slots=True)
class Message:
    """``key`` names what the work is about: the same topic and key is never queued twice. ``token`` is that of the
    lease, 0 without one; ``attempts`` counts those that were begun and did not fail for what passes by itself;
    ``taken`` is how often it was taken."""

    id: str
    topic: str
    key: str
    process_id: str
    token: int = 0
    attempts: int = 0
    taken: int = 0


class Outbox:
    """Args: ``holder``: the name of this replica; after a restart it takes up its own leases at once."""

    def __init__(self, store: TrainingStore, holder: str) -> None:
        self._store, self._holder = store, holder

    def put(self, unit: Unit, topic: str, key: str) -> Message:
        """A new message. Who puts it holds its first lease, and can begin after the commit without taking it."""
        message = Message(new_id(), topic, key, unit.process.id, token=1, attempts=1, taken=1)
        unit.run(
            _PUT,
            {
                "id": message.id,
                "topic": topic,
                "key": key,
                "process_id": unit.process.id,
                "status": "pending",
                "attempts": message.attempts,
                "available_at": unit.now + LEASE,
                "holder": self._holder,
                "token": message.token,
                "error": "",
                "created_at": unit.now,
            },
        )
        return message

    def take(self, message: Message) -> Message | None:
        """The message under a lease; None when somebody else holds it or it is done."""
        now = self._store.clock.now()
        with self._store.database.transaction() as session:
            row = (
                session.connection()
                .execute(
                    _TAKE,
                    {"b_id": message.id, "b_now": now, "holder": self._holder, "available_at": now + LEASE},
                )
                .one_or_none()
            )
        if row is None:
            return None
        return Message(
            message.id, message.topic, message.key, message.process_id, row.token, row.attempts, row.token
        )

    def done(self, unit: Unit, message: Message) -> None:
        """Remove it. Raises :class:`Conflict` (and so undoes the unit) when another holder took it over."""
        if unit.run(_DONE, {"b_id": message.id, "b_token": message.token}).rowcount != 1:
            raise Conflict("the lease of this work was taken over", reason="fenced")

    def retry(self, unit: Unit, message: Message, error: str) -> float:
        """Let it be taken again after a pause that grows; returns when."""
        when = unit.now + min(0.1 * 4.0 ** min(message.attempts, 6), LEASE)  # a float overflows at 512
        self._fail(unit, message, "pending", error, when)
        return when

    def wait(self, unit: Unit, message: Message, error: str) -> float:
        """As :meth:`retry`, after a failure that passes by itself: it is not counted, and the pause is short."""
        when = unit.now + passing_pause(message.token)
        self._fail(unit, message, "pending", error, when, attempts=message.attempts - 1)
        return when

    def bury(self, unit: Unit, message: Message, error: str) -> None:
        """Make it a dead letter."""
        self._fail(unit, message, "dead", error, unit.now)

    def _fail(
        self, unit: Unit, message: Message, status: str, error: str, when: float, **values: int
    ) -> None:
        unit.run(
            _FAILED,
            {
                "b_id": message.id,
                "b_token": message.token,
                "status": status,
                "error": error[:2000],
                "available_at": when,
                **values,
            },
        )

    def release_own(self) -> None:
        """Give back what this replica held when it died."""
        with self._store.database.transaction() as session:
            values = {"b_holder": self._holder, "available_at": self._store.clock.now()}
            session.connection().execute(_RELEASE, values)

    def due(self) -> list[Message]:
        """What can be taken now."""
        return [Message(*row) for row in self._store.read(_PENDING, {"now": self._store.clock.now()})]

    def next_times(self) -> list[float]:
        """When each pending message can be taken: now or before, or when its lease ends."""
        return [row[0] for row in self._store.read(_NEXT)]
