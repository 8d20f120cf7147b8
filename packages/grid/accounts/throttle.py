"""Slows down guessing, with exponential delays: whoever guesses, and not the one whose account it is.

What is counted is an e-mail from one network, all e-mails from one network, and one e-mail from everywhere that
its owner is not known to be. Where they are known, by their key or their network, only their own failures count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import blake3
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from grid.accounts.tables import LoginFailures
from grid.node.networks import is_this_machine, network_of, teller_of
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import TooManyRequests

__all__ = ["Subject", "Throttle"]

#: After so many seconds without an attempt everything is forgotten.
WINDOW = 900.0
MAX_DELAY = 300.0
#: Kinds of subject that stand for one caller.
_ONE_CALLER = ("login", "device", "confirmation")
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose attempts are counted: ``free`` of them cost nothing, then each doubles the delay."""

    kind: str
    name: str
    free: int

    @classmethod
    def login(cls, email: str, address: str) -> Subject:
        """Logins of one e-mail from one network, whether or not somebody has it; capitals make no other one."""
        return cls("login", f"{email.strip().casefold()}\0{network_of(address)}", 10)

    @classmethod
    def device(cls, email: str, verify_key: str) -> Subject:
        """Logins of one e-mail by one key, which somebody logged in with before."""
        return cls("device", f"{email.strip().casefold()}\0{verify_key}", 10)

    @classmethod
    def strangers(cls, email: str) -> Subject:
        """Logins of one e-mail from wherever it is not known. NIST SP 800-63B, section 5.2.2: no more than 100."""
        return cls("strangers", email.strip().casefold(), 100)

    @classmethod
    def confirmation(cls, user_id: str) -> Subject:
        """Passwords that somebody who is logged in gave again."""
        return cls("confirmation", user_id, 10)

    @classmethod
    def remote(cls, address: str) -> Subject:
        """All of one network: more, because a whole office may stand behind one address.

        Nothing is counted for this machine itself: what comes from there is ours, or came through a proxy
        that the setting ``trusted_proxies`` does not name.
        """
        network = network_of(address)
        return cls("remote", "" if is_this_machine(network) else network, 50)

    @classmethod
    def teller(cls, address: str, kind: str = "login") -> Subject:
        """All whom one other node carries, of whom only its word says that they are many; "" for all others."""
        name = teller_of(address)
        return cls("teller", name and f"{kind}\0{name}", 500)

    @classmethod
    def sign_up(cls, address: str) -> Subject:
        """By network address, as :meth:`remote`, and counted apart from logins."""
        return cls("sign-up", cls.remote(address).name, 50)

    @classmethod
    def invitation(cls, address: str) -> Subject:
        """Invitations that were redeemed from one network, as :meth:`remote`, and counted apart from logins."""
        return cls("invitation", cls.remote(address).name, 50)

    @property
    def key(self) -> str:
        """A hash: names that people mistype (passwords among them) are not kept."""
        return str(blake3.blake3(f"{self.kind}\0{self.name}".encode()).hexdigest())


class Throttle:
    """Counts in the database, so that it holds for all replicas and over restarts.

    Who is blocked is remembered here as well: to refuse them again costs nothing.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._blocked: dict[str, float] = {}  # key of the subject → until when, as last seen here

    def admit(self, *subjects: Subject) -> None:
        """Count an attempt as failed before it is tried: parallel guesses gain nothing.

        Raises :class:`TooManyRequests` with ``retry_after`` (seconds) while a subject is blocked.
        """
        named = [subject for subject in subjects if subject.name]
        self._refuse(max((self._blocked.get(subject.key, 0.0) for subject in named), default=0.0))
        self._db.run(lambda session: self._count(session, named))

    def succeeded(self, *subjects: Subject) -> None:
        """The attempt was right: forget this caller's failures, take back one of those that others may share."""
        named = [subject for subject in subjects if subject.name]
        self._db.run(lambda session: self._take_back(session, named))
        for subject in named:
            self._blocked.pop(subject.key, None)

    def _refuse(self, until: float) -> None:
        now = self._clock.now()
        if until > now:
            wait = math.ceil(until - now)
            raise TooManyRequests(f"too many attempts; try again in {wait} seconds", retry_after=wait)

    def _count(self, session: Session, subjects: list[Subject]) -> None:
        now = self._clock.now()
        session.execute(delete(LoginFailures).where(LoginFailures.changed_at < now - WINDOW))
        rows = [_locked(session, subject, now) for subject in subjects]
        for row in rows:
            if row.blocked_until > now:
                self._remember(row)
        self._refuse(max((row.blocked_until for row in rows), default=0.0))
        for subject, row in zip(subjects, rows, strict=True):
            row.failures += 1
            row.changed_at = now
            if row.failures >= subject.free:
                delay = 2.0 ** min(row.failures - subject.free, 16)
                row.blocked_until = now + min(delay, MAX_DELAY)

    def _remember(self, row: LoginFailures) -> None:
        if len(self._blocked) >= _REMEMBERED:
            now = self._clock.now()
            self._blocked = {key: until for key, until in self._blocked.items() if until > now}
        if len(self._blocked) < _REMEMBERED:
            self._blocked[row.subject] = row.blocked_until

    def _take_back(self, session: Session, subjects: list[Subject]) -> None:
        now = self._clock.now()
        for subject in subjects:
            row = _locked(session, subject, now)
            row.failures = 0 if subject.kind in _ONE_CALLER else max(0, row.failures - 1)
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
