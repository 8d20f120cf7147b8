"""What a Worker's owner decided about each training of the Domain, and what became of it.

A decision is for a definition, by its digest. Names and versions are shown, and narrow down what is looked
at; they are the asking side's choice, and decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from grid.storage.sql.database import Database
from grid.worker.tables import SeenTraining
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, NotFound
from syft_ext.messages.training_reviews import TrainingReview
from syft_ext.messages.worker import OpenTraining

__all__ = ["OWNER", "TrainingBoard", "Trust", "narrowed", "whose_word"]

#: Whose word, beside that of the Worker's owner, lets a training run.
Trust = Literal["nobody", "domain", "owner"]

OWNER = "owner"

_WAITS = (SeenTraining.decision == "waiting") & (SeenTraining.state == "idle")

MOST_WAITING = 1000
"""Trainings of one Domain that wait for this Worker's owner; of more, the latest are kept."""


def narrowed(patterns: Sequence[str], name: str, version: str) -> bool:
    """Whether a training is among those that are looked at: all are where there is no pattern.

    A pattern is ``NAME/VERSION``, or ``NAME`` for every version; ``*``, ``?`` and ``[…]`` match as in a shell.
    """
    for pattern in patterns:
        wanted, separator, of_version = pattern.rpartition("/")
        if not separator:
            wanted, of_version = pattern, "*"
        if fnmatchcase(name, wanted) and fnmatchcase(version, of_version):
            return True
    return not patterns


def whose_word(review: TrainingReview, trust: Trust) -> str:
    """Who has said yes to exactly what ``review`` is about, of those whose word the Worker's owner takes; "":
    nobody.

    The Domain's reviewers count when they are named. That a Domain asks nobody counts never: then anybody decides
    what runs here.
    """
    reviewers = [each for each in review.reviewers if each]
    if trust != "nobody" and review.state == "approved" and reviewers:
        return f"reviewers of the Domain: {', '.join(reviewers)}"
    if trust == "owner" and review.state == "own":
        return "the Domain's owner, whose own it is"
    return ""


class TrainingBoard:
    """One row per definition and Domain (by the Domain's key)."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def rows(self) -> Sequence[SeenTraining]:
        """All, the latest first."""
        with self._db.read() as session:
            order = (
                SeenTraining.seen_at.desc(),
                SeenTraining.name,
                SeenTraining.version,
                SeenTraining.digest,
            )
            return session.scalars(select(SeenTraining).order_by(*order)).all()

    def see(
        self, domain_key: str, trainings: Sequence[OpenTraining], *, trust: Trust, patterns: Sequence[str]
    ) -> Sequence[SeenTraining]:
        """Record the trainings that are open at a Domain now, as far as they are looked at; returns their rows.

        What those say whose word is taken is approved, as long as they say it; the rest waits. What the owner
        of this Worker decided stays decided.
        """

        def record(session: Session) -> list[SeenTraining]:
            of_key = SeenTraining.domain_key == domain_key
            decided = set(session.scalars(select(SeenTraining.digest).where(of_key, ~_WAITS)))
            sound = [
                each for each in trainings if _sound(each) and narrowed(patterns, each.name, each.version)
            ]
            words = [whose_word(each.review, trust) for each in sound]
            waits = [
                not word and each.review.digest not in decided
                for each, word in zip(sound, words, strict=True)
            ]
            spare = max(sum(waits) - MOST_WAITING, 0)  # they come with the oldest first
            rows = []
            for each, word, waiting in zip(sound, words, waits, strict=True):
                if waiting and spare:
                    spare -= 1
                else:
                    rows.append(self._seen(session, domain_key, each, word))
            session.flush()
            self._make_room(session, domain_key, [row.digest for row in rows])
            return rows

        return self._db.run(record)

    @staticmethod
    def _make_room(session: Session, key: str, offered: Sequence[str]) -> None:
        """Drop the oldest of what only waits, and is not offered any more, beyond :data:`MOST_WAITING`: a Domain
        says whatever it likes, and says something else the next time.

        What was decided, by anybody, and what runs, stays.
        """
        waits = (SeenTraining.domain_key == key, _WAITS)
        count = session.scalar(select(func.count()).select_from(SeenTraining).where(*waits)) or 0
        if count <= MOST_WAITING:
            return
        order = (SeenTraining.seen_at.desc(), SeenTraining.digest)
        waiting = session.scalars(select(SeenTraining.digest).where(*waits).order_by(*order)).all()
        now = set(offered)
        gone = [digest for digest in waiting if digest not in now][MOST_WAITING - len(now & set(waiting)) :]
        for start in range(0, len(gone), 500):
            few = SeenTraining.digest.in_(gone[start : start + 500])
            session.execute(delete(SeenTraining).where(*waits, few))

    def _seen(self, session: Session, key: str, training: OpenTraining, word: str) -> SeenTraining:
        now, review = self._clock.now(), msgspec.to_builtins(training.review)
        row = session.get(SeenTraining, (key, training.review.digest))
        if row is None:
            row = SeenTraining(
                domain_key=key,
                digest=training.review.digest,
                name=training.name,
                version=training.version,
                review=review,
                decision="waiting",
                decided_by="",
                decided_at=None,
                state="idle",
                reports=0,
                last_cycle=0,
                last_loss=None,
                last_error="",
                shown=None,
                seen_at=now,
                updated_at=now,
            )
            session.add(row)
        elif row.review != review:
            row.review, row.updated_at = review, now
        if row.decided_by != OWNER and word != row.decided_by:
            row.decision = "approved" if word else "waiting"
            row.decided_by, row.decided_at, row.updated_at = word, now if word else None, now
        return row

    def find(self, name: str, version: str, digest: str = "", *, domain_key: str = "") -> SeenTraining:
        """The training of that name and version, whose digest begins like this.

        Args:
            domain_key: of the Domain that the Worker is at. What an earlier one offers under the same name and
                digest is found where this one offers nothing like it. "": at any Domain.

        Raises :class:`NotFound`, or :class:`Conflict` where several definitions were seen under that name: one of
        them would be approved in place of another.
        """
        with self._db.read() as session:
            return _find(session, domain_key, name, version, digest)

    def decide(
        self, name: str, version: str, decision: str, digest: str = "", *, domain_key: str = ""
    ) -> SeenTraining:
        """Keep the owner's decision. Raises as :meth:`find`."""

        def decide(session: Session) -> SeenTraining:
            row, now = _find(session, domain_key, name, version, digest), self._clock.now()
            row.decision, row.decided_by, row.decided_at, row.updated_at = decision, OWNER, now, now
            if decision == "approved" and row.state in ("failed", "unfit"):
                row.state, row.last_error = "idle", ""  # the owner wants it tried again
            return row

        return self._db.run(decide)

    def approved_before(self, row: SeenTraining) -> SeenTraining | None:
        """The version of the training that was approved last before ``row``, of those whose text was read."""
        query = (
            select(SeenTraining)
            .where(
                SeenTraining.domain_key == row.domain_key,
                SeenTraining.name == row.name,
                SeenTraining.digest != row.digest,
                SeenTraining.decision == "approved",
                SeenTraining.shown.is_not(None),
            )
            .order_by(SeenTraining.decided_at.desc(), SeenTraining.digest)
            .limit(1)
        )
        if row.decision == "approved" and row.decided_at is not None:
            query = query.where(SeenTraining.decided_at < row.decided_at)
        with self._db.read() as session:
            return session.scalar(query)

    def update(self, domain_key: str, digest: str, **values: Any) -> None:
        """Record what the participant tells."""

        def write(session: Session) -> None:
            session.execute(
                update(SeenTraining)
                .where(SeenTraining.domain_key == domain_key, SeenTraining.digest == digest)
                .values(updated_at=self._clock.now(), **values)
            )

        self._db.run(write)

    def begin(self) -> None:
        """After a start nothing is joined yet; what failed before is tried again, and whether a bound is
        reached is
        asked anew: the owner may have changed it."""

        def reset(session: Session) -> None:
            again = ("joined", "failed", "spent", "unfit")
            session.execute(update(SeenTraining).where(SeenTraining.state.in_(again)).values(state="idle"))

        self._db.run(reset)


def _sound(training: OpenTraining) -> bool:
    """Whether there is something to decide on, in words that a row can hold: the Domain may say anything."""
    digest = training.review.digest
    hexadecimal = len(digest) == 64 and not set(digest) - set("0123456789abcdef")
    return hexadecimal and len(training.name) <= 128 and len(training.version) <= 64


def _find(session: Session, domain_key: str, name: str, version: str, digest: str) -> SeenTraining:
    query = select(SeenTraining).where(
        SeenTraining.name == name, SeenTraining.version == version, SeenTraining.digest.startswith(digest)
    )
    rows = session.scalars(query.order_by(SeenTraining.seen_at.desc())).all()
    if domain_key:
        rows = [row for row in rows if row.domain_key == domain_key] or rows
    if not rows:
        raise NotFound("this Worker has seen no such training")
    if len(rows) > 1:
        raise Conflict(
            f"{len(rows)} definitions of that name and version were seen: say which by its digest",
            digests=[row.digest for row in rows[:20]],
        )
    return rows[0]
