"""Slows down guessing: failed attempts per e-mail and per network address, with exponential delays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import blake3
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from grid.accounts.tables import LoginFailures
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import TooManyRequests

__all__ = ["Subject", "Throttle"]

#: After so many seconds without an attempt everything is forgotten.
WINDOW = 900.0
MAX_DELAY = 300.0


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose attempts are counted: ``free`` of them cost nothing, then each doubles the delay."""

    kind: str
    name: str
    free: int

    @classmethod
    def email(cls, email: str) -> Subject:
        """By the address that was given, whether or not somebody has it; spelling in capitals is the same one."""
        return cls("email", email.strip().casefold(), 10)

    @classmethod
    def remote(cls, address: str) -> Subject:
        """More, because a whole office may stand behind one address. IPv6 counts by /64: that is one network.

        Nothing is counted for this machine itself: what comes from there is ours, or came through a proxy
        that the setting ``trusted_proxies`` does not name.
        """
        return cls("remote", _network_of(address), 50)

    @classmethod
    def sign_up(cls, address: str) -> Subject:
        """By network address, as :meth:`remote`, and counted apart from logins."""
        return cls("sign-up", cls.remote(address).name, 50)

    @property
    def key(self) -> str:
        """A hash: names that people mistype (passwords among them) are not kept."""
        return str(blake3.blake3(f"{self.kind}\0{self.name}".encode()).hexdigest())


def _network_of(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if parsed.is_loopback:
        return ""
    return str(parsed) if parsed.version == 4 else str(ip_network((parsed, 64), strict=False))


class Throttle:
    """Counts in the database, so that it holds for all replicas and over restarts."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def admit(self, *subjects: Subject) -> None:
        """Count an attempt as failed before it is tried: parallel guesses gain nothing.

        Raises :class:`TooManyRequests` with ``retry_after`` (seconds) while a subject is blocked.
        """
        named = [subject for subject in subjects if subject.name]
        self._db.run(lambda session: self._count(session, named))

    def succeeded(self, *subjects: Subject) -> None:
        """The attempt was right: forget the e-mail's failures, take back the address's one."""
        named = [subject for subject in subjects if subject.name]
        self._db.run(lambda session: self._take_back(session, named))

    def _count(self, session: Session, subjects: list[Subject]) -> None:
        now = self._clock.now()
        session.execute(delete(LoginFailures).where(LoginFailures.changed_at < now - WINDOW))
        rows = [_locked(session, subject, now) for subject in subjects]
        blocked = max((row.blocked_until for row in rows), default=0.0)
        if blocked > now:
            wait = math.ceil(blocked - now)
            raise TooManyRequests(f"too many attempts; try again in {wait} seconds", retry_after=wait)
        for subject, row in zip(subjects, rows, strict=True):
            row.failures += 1
            row.changed_at = now
            if row.failures >= subject.free:
                delay = 2.0 ** min(row.failures - subject.free, 16)
                row.blocked_until = now + min(delay, MAX_DELAY)

    def _take_back(self, session: Session, subjects: list[Subject]) -> None:
        now = self._clock.now()
        for subject in subjects:
            row = _locked(session, subject, now)
            row.failures = 0 if subject.kind == "email" else max(0, row.failures - 1)
            if row.failures < subject.free:
                row.blocked_until = 0.0


def _locked(session: Session, subject: Subject, now: float) -> LoginFailures:
    """The subject's row, which no other transaction changes until this one ends."""
    from sqlalchemy.dialects import postgresql, sqlite

    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    fresh = {"subject": subject.key, "failures": 0, "blocked_until": 0.0, "changed_at": now}
    insert = dialect.insert(LoginFailures).values(fresh)
    lock = {"subject": insert.excluded.subject}
    session.execute(insert.on_conflict_do_update(index_elements=["subject"], set_=lock))
    return session.scalars(select(LoginFailures).where(LoginFailures.subject == subject.key)).one()
