"""A session as the node sees it: whose it is, what its values come from, and in which order batches run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from grid.compute.host_channel import HostChannel
from grid.compute.labels import Labels
from grid.compute.lineage import Lineage
from grid.compute.protocol import Ran, SessionState
from syft_ext.errors import Conflict, SessionLost
from syft_ext.messages.compute import ComputeSessionView, Failure

__all__ = ["MAX_FAILURES", "PATIENCE", "ComputeSession"]

PATIENCE = 30.0
"""Seconds that a batch which came too early waits for the one before it, while nothing else is going on."""
MAX_FAILURES = 4096
"""A session that had so many of its actions refused has to be closed."""


class ComputeSession:
    """Attributes:
    environment: id of the compute environment; "" for one in a child of this node.
    spent: the grants that lost a use for this session.
    plans: the operations of each plan that was brought.
    used_at: when it was last used, by the node's clock.
    """

    def __init__(
        self,
        session_id: str,
        user_id: str,
        environment: str,
        created_at: float,
        limit: int,
        host_channel: HostChannel,
    ) -> None:
        self.id, self.user_id, self.environment = session_id, user_id, environment
        self.created_at, self.used_at, self.limit = created_at, created_at, limit
        self.channel = host_channel
        self.labels = Labels()
        self.lineage = Lineage()
        self.spent: set[str] = set()
        self.plans: dict[str, frozenset[str]] = {}
        self.failures: list[Failure] = []
        self.done = self.values = self.memory = 0
        self._turn = threading.Condition()
        self._running = False
        self._users = 0
        self._ended = False

    @classmethod
    def restored(cls, state: SessionState, environment: str, host_channel: HostChannel) -> ComputeSession:
        """A session that a host kept while this node was away."""
        session = cls(
            state.session_id, state.user_id, environment, state.created_at, state.limit, host_channel
        )
        session.labels = Labels(state.last)
        session.labels.restore(state.sources, state.labels)
        session.spent = set(state.grants)
        session.plans = {plan_id: frozenset(names) for plan_id, names in state.plans.items()}
        session.failures = list(state.failures)
        session.done, session.values, session.memory = state.done, state.values, state.memory
        return session

    def view(self) -> ComputeSessionView:
        """The session as its user sees it; ``memory`` and ``limit`` in bytes."""
        return ComputeSessionView(
            session_id=self.id,
            environment=self.environment,
            created_at=self.created_at,
            done=self.done,
            values=self.values,
            memory=self.memory,
            limit=self.limit,
        )

    # -- use ----------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether somebody is using it, so that it must not expire."""
        return self._users > 0

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep it from expiring; raises :class:`SessionLost` when it has ended."""
        with self._turn:
            if self._ended or self.channel.over:
                raise SessionLost("the session has ended, and its values are gone")
            self._users += 1
        try:
            yield
        finally:
            with self._turn:
                self._users -= 1

    def end(self) -> None:
        """Nobody gets a turn any more."""
        with self._turn:
            self._ended = True
            self._turn.notify_all()

    # -- order --------------------------------------------------------------------------------------

    @contextmanager
    def turn(self, first: int) -> Iterator[None]:
        """Wait until ``first`` actions have run and nothing runs; then nothing else does.

        Raises :class:`Conflict` when what comes before does not come.
        """
        with self._turn:
            self._wait(first, alone=True)
            self._running = True
        try:
            yield
        finally:
            with self._turn:
                self._running = False
                self._turn.notify_all()

    def wait_for(self, after: int) -> None:
        """Wait until ``after`` actions have run; raises as :meth:`turn`."""
        with self._turn:
            self._wait(after, alone=False)

    def _wait(self, count: int, *, alone: bool) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.done < count or (alone and self._running):
            if self._ended or self.channel.over:
                raise SessionLost("the session has ended, and its values are gone")
            if self._running:  # something happens, and is bounded by limits of its own
                deadline = time.monotonic() + PATIENCE
            elif time.monotonic() >= deadline:
                raise Conflict(
                    f"{self.done} actions of this session have come, not the {count} that were to come before",
                    done=self.done,
                )
            self._turn.wait(min(1.0, max(deadline - time.monotonic(), 0.001)))

    def ran(self, result: Ran) -> None:
        """Take a host's answer in, and let those go on who waited for it."""
        with self._turn:
            self.done, self.values, self.memory = result.done, result.values, result.memory
            self.failures += result.failures
            self._turn.notify_all()

    def failed(self, first: int, stop: int) -> Sequence[Failure]:
        """The failures of the actions from ``first`` to ``stop`` (exclusive)."""
        return [failure for failure in self.failures if first <= failure.action < stop]
