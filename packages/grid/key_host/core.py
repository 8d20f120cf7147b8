"""What all rules of a key host stand on: its key, database, time, and whether it is halted."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from grid.key_host.epochs import EpochKeys
from grid.key_host.tables import KeyHostState, KeyHostSuccession
from grid.spending.keeping import check_newest
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.confidential.canonical import key_of
from syft_ext.errors import KeyRefused, LedgerRolledBack
from syft_ext.identity import Identity

__all__ = ["HostCore", "HostLimits", "Turn"]

_OVERWRITE = text("PRAGMA secure_delete=ON")  # of this connection: what is replaced or removed becomes zeros


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What the operator allows.

    Attributes:
        simulator: policies may be approved that take simulated evidence.
        policies: how many may wait for a decision at once.
        rounds: how many of one Domain may be open or granted at once.
    """

    simulator: bool = False
    policies: int = 64
    rounds: int = 1024


@dataclass(slots=True)
class Turn:
    """One transaction of the host, alone on its state.

    Attributes:
        at: the host's time, whole seconds since the epoch: never before what it was in an earlier turn.
        state: the host's one row of state, locked until the transaction ends.
        host: the host's verify key.
    """

    session: Session
    state: KeyHostState
    at: int
    host: bytes

    @property
    def incarnation(self) -> bytes:
        """The host's incarnation, 32 bytes."""
        return bytes.fromhex(self.state.incarnation)

    def require_running(self) -> None:
        """As :meth:`require_standing`; and raise :class:`LedgerRolledBack` while the host is halted."""
        self.require_standing()
        if self.state.halted:
            raise LedgerRolledBack(self.state.halted)

    def require_standing(self) -> None:
        """Raise :class:`KeyRefused` (``given-up``) where another key follows this host's."""
        given_up = self.session.get(KeyHostSuccession, self.host.hex())
        if given_up is not None:
            raise KeyRefused(f"this host was given up: the key {given_up.new} follows it", reason="given-up")


@dataclass(slots=True)
class HostCore:
    """Args: as a node has them. ``epochs``: seals the seeds.

    Attributes:
        key: the host's verify key, raw: what policies name it by.
    """

    db: Database
    identity: Identity
    clock: Clock
    epochs: EpochKeys
    limits: HostLimits = HostLimits()
    key: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.key = key_of(self.identity)

    def prepare(self) -> None:
        """Make the row of state where there is none: this host's first start."""
        with self.db.transaction(durable=True) as session:
            if session.get(KeyHostState, 1) is None:
                session.add(KeyHostState(id=1, incarnation=secrets.token_hex(32), past="", time=0, halted=""))

    @contextmanager
    def turn(self, *, spends: bool = False) -> Iterator[Turn]:
        """A transaction in which nobody else changes anything here; durable when it returns.

        Everything that leaves the host is made after it has returned. ``spends``: it waits, as all that is counted
        does, while the node's database was restored and nobody has said so.
        """
        with self.db.transaction(durable=True) as session:
            if self.db.dialect == "sqlite":
                session.execute(_OVERWRITE)
            state = session.scalars(select(KeyHostState).with_for_update()).one()
            if spends:
                check_newest(session)
            state.time = max(state.time, int(self.clock.now()))
            yield Turn(session, state, state.time, self.key)

    def now(self) -> int:
        """The host's time, without a transaction."""
        with self.db.read() as session:
            reached = session.scalar(select(KeyHostState.time)) or 0
        return max(reached, int(self.clock.now()))

    def halt(self, why: str) -> None:
        """Grant nothing from now on, until the operator recovers the ledger; the first reason is kept."""
        with self.turn() as turn:
            turn.state.halted = turn.state.halted or why
