"""What a Worker's owner decided about each training of the Domain, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from grid.storage.sql.database import Database
from grid.worker.tables import SeenTraining
from syft_ext.clock import Clock
from syft_ext.errors import NotFound
from syft_ext.messages.worker import OpenTraining

__all__ = ["TrainingBoard", "allowed"]


def allowed(patterns: Sequence[str], name: str, version: str) -> bool:
    """Whether one of the owner's patterns names this training.

    A pattern is ``NAME/VERSION``, or ``NAME`` for every version; ``*``, ``?`` and ``[…]`` match as in a
    shell; ``all`` is everything.
    """
    for pattern in patterns:
        wanted, separator, of_version = pattern.rpartition("/")
        if not separator:
            wanted, of_version = pattern, "*"
        if pattern == "all" or (fnmatchcase(name, wanted) and fnmatchcase(version, of_version)):
            return True
    return False


class TrainingBoard:
    """One row per training and Domain (by the Domain's key)."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def rows(self) -> Sequence[SeenTraining]:
        """All, the latest first."""
        with self._db.read() as session:
            order = (SeenTraining.seen_at.desc(), SeenTraining.name, SeenTraining.version)
            return session.scalars(select(SeenTraining).order_by(*order)).all()

    def see(
        self, domain_key: str, trainings: Sequence[OpenTraining], *, everything: bool, patterns: Sequence[str]
    ) -> Sequence[SeenTraining]:
        """Record the trainings that are open at a Domain now; returns their rows.

        New ones are approved when ``everything`` is, or when a pattern names them; else they wait. What the
        owner decided once stays decided; a training that waits is approved when a pattern is added.
        """

        def record(session: Session) -> list[SeenTraining]:
            return [self._seen(session, domain_key, each, everything, patterns) for each in trainings]

        return self._db.run(record)

    def _seen(
        self, session: Session, key: str, training: OpenTraining, everything: bool, patterns: Sequence[str]
    ) -> SeenTraining:
        now = self._clock.now()
        approved = everything or allowed(patterns, training.name, training.version)
        row = session.get(SeenTraining, (key, training.name, training.version))
        if row is None:
            row = SeenTraining(
                domain_key=key,
                name=training.name,
                version=training.version,
                decision="approved" if approved else "waiting",
                state="idle",
                reports=0,
                last_cycle=0,
                last_loss=None,
                last_error="",
                seen_at=now,
                updated_at=now,
            )
            session.add(row)
        elif row.decision == "waiting" and approved:
            row.decision, row.updated_at = "approved", now
        return row

    def decide(self, name: str, version: str, decision: str) -> SeenTraining:
        """Keep the owner's decision; of several Domains', the one seen last. Raises :class:`NotFound`."""

        def decide(session: Session) -> SeenTraining:
            query = select(SeenTraining).where(SeenTraining.name == name, SeenTraining.version == version)
            row = session.scalar(query.order_by(SeenTraining.seen_at.desc()).limit(1))
            if row is None:
                raise NotFound("this Worker has seen no such training")
            row.decision, row.updated_at = decision, self._clock.now()
            if decision == "approved" and row.state == "failed":
                row.state, row.last_error = "idle", ""  # the owner wants it tried again
            return row

        return self._db.run(decide)

    def update(self, domain_key: str, name: str, version: str, **values: Any) -> None:
        """Record what the participant tells."""

        def write(session: Session) -> None:
            session.execute(
                update(SeenTraining)
                .where(
                    SeenTraining.domain_key == domain_key,
                    SeenTraining.name == name,
                    SeenTraining.version == version,
                )
                .values(updated_at=self._clock.now(), **values)
            )

        self._db.run(write)

    def begin(self) -> None:
        """After a start nothing is joined yet; what failed before is tried again."""

        def reset(session: Session) -> None:
            session.execute(
                update(SeenTraining).where(SeenTraining.state.in_(("joined", "failed"))).values(state="idle")
            )

        self._db.run(reset)
