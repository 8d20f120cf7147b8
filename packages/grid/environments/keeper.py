"""Reconciliation: what the rows say and what really runs are made the same, at the node's start and regularly.

- What runs is adopted: a restarted node goes on with it. What does not run any more is lost, with the reason.
- What was half made or half destroyed when the node died is ended.
- What is abandoned is destroyed: nothing ran in it for a while, its time is up, its user is gone or disabled.
- What runs and no row tells of is ended, after a grace.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from grid.accounts.tables import User
from grid.environments.machine import ENDED, EnvironmentEvent, EnvironmentState
from grid.environments.manager import EnvironmentManager
from grid.environments.provider import EnvironmentHealth
from grid.environments.tables import EnvironmentRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock

__all__ = ["Keeper", "why_it_ended"]

logger = logging.getLogger(__name__)

_STRAYS = 60.0  # seconds between two looks for what no row tells of
# The kernel ends a process by counting clock ticks, and tells of its time exactly: several percent less when the
# machine is loaded (measured: 3.7 s of 4).
_NEARLY = 0.8


def why_it_ended(cpu_seconds: int, status: EnvironmentHealth, seen: EnvironmentHealth | None) -> str:
    """Why an environment ended that may use ``cpu_seconds``, by its provider and by how it was seen last."""
    used = max(status.cpu_seconds, seen.cpu_seconds if seen else 0.0)
    if used >= _NEARLY * cpu_seconds:
        return f"it used up its {cpu_seconds} s of CPU time"
    if status.reason or seen:
        return status.reason or "it ended by itself"
    return "it ended while the Domain did not run, which it does when nobody comes back for its lease"


class Keeper:
    """Args:
    idle: seconds without an operation after which an environment is destroyed.
    grace: seconds for which what no row tells of is left alone.
    ended: told of each environment that the node ended or found ended: id, what happened, reason.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        manager: EnvironmentManager,
        *,
        idle: float,
        ended: Callable[[str, str, str], None],
        grace: float,
    ) -> None:
        self._grace = grace
        self._unknown: dict[str, float] = {}  # when what no row tells of was first seen
        self._db, self._clock, self._manager = db, clock, manager
        self._idle, self._ended = idle, ended
        self._next_strays = 0.0
        self._seen: dict[str, EnvironmentHealth] = {}  # how each was when it was last seen alive

    def round(self) -> None:
        """Once over everything; what fails for one environment does not keep the others from their turn."""
        for row in self._manager.rows():
            if self._manager.busy(row.id):
                continue
            try:
                self._look_after(row)
            except Exception:
                logger.exception("environment %s cannot be looked after", row.id)
        if time.monotonic() >= self._next_strays:
            self._next_strays = time.monotonic() + _STRAYS
            self._end_strays()

    def _look_after(self, row: EnvironmentRow) -> None:
        if row.state == EnvironmentState.CREATING:
            self._manager.providers[row.provider].destroy(row.id, row.handle)
            self._over(row, EnvironmentEvent.FAILED, "the node stopped while it was being made")
        elif row.state == EnvironmentState.DESTROYING:
            self._manager.end(row.id, row.provider, row.handle)
        else:
            status = self._manager.status(row)
            if status.alive:
                self._seen[row.id] = status
                if reason := self._abandoned(row):
                    self._destroy(row, reason)
            else:
                reason = why_it_ended(row.cpu_seconds, status, self._seen.get(row.id))
                self._manager.providers[row.provider].tidy(row.id)
                self._over(row, EnvironmentEvent.GONE, reason)

    def _abandoned(self, row: EnvironmentRow) -> str:
        """Why an environment that runs should not; "" when it should."""
        now = self._clock.now()
        if now >= row.created_at + row.seconds:
            return f"its time of {row.seconds:g} s was up"
        with self._db.read() as session:
            user = session.get(User, row.user_id) if row.user_id else None
        if user is None:
            return "its user was deleted"
        if user.disabled_at is not None:
            return "its user was disabled"
        if now >= self._manager.used_at(row) + self._idle:
            return f"nothing ran in it for {self._idle:g} s"
        return ""

    def _destroy(self, row: EnvironmentRow, reason: str) -> None:
        if self._manager.step(row.id, EnvironmentEvent.DESTROY, reason):
            self._manager.end(row.id, row.provider, row.handle)
            self._tell(row, "destroy", reason)

    def _over(self, row: EnvironmentRow, event: EnvironmentEvent, reason: str) -> None:
        if self._manager.step(row.id, event, reason):
            self._tell(row, "lost" if event is EnvironmentEvent.GONE else "failed", reason)

    def _tell(self, row: EnvironmentRow, what: str, reason: str) -> None:
        self._seen.pop(row.id, None)
        logger.info("environment %s: %s, %s", row.id, what, reason)
        self._ended(row.id, what, reason)

    def _end_strays(self) -> None:
        for provider in self._manager.providers.values():
            for environment_id in provider.running():
                try:
                    self._end_stray(provider.name, environment_id)
                except Exception:
                    logger.exception("what no environment belongs to cannot be ended: %s", environment_id)

    def _end_stray(self, provider: str, environment_id: str) -> None:
        """Asked for each one: it may have been made after the rows were read."""
        if self._manager.busy(environment_id):
            return
        with self._db.read() as session:
            row = session.get(EnvironmentRow, environment_id)
        if row is not None and row.state not in ENDED:
            self._unknown.pop(environment_id, None)
        elif row is not None or self._has_waited(environment_id):
            self._manager.providers[provider].destroy(environment_id, row.handle if row else None)

    def _has_waited(self, environment_id: str) -> bool:
        """Whether what no row tells of was left alone for a grace: the database may be the wrong or an older one,
        and what runs ends by its lease."""
        now = time.monotonic()
        return now - self._unknown.setdefault(environment_id, now) >= self._grace
