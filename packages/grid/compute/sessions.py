"""The sessions that this node knows of: opening, finding, ending."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import defaultdict

from grid.compute import protocol as p
from grid.compute.host_channel import HostChannel
from grid.compute.hosts import ChildHosts, Environments
from grid.compute.session import ComputeSession
from grid.config import DomainSettings
from syft_ext.clock import Clock
from syft_ext.confinement.gate import Gate
from syft_ext.confinement.lockdown import in_words
from syft_ext.errors import GridError, NotFound, SessionLost, TooManyRequests, Unconfined
from syft_ext.ids import new_id

__all__ = ["SessionRegistry"]

logger = logging.getLogger(__name__)


class SessionRegistry:
    """Attributes:
    environments: knows the hosts of compute environments; None where there are none.
    """

    def __init__(self, clock: Clock, settings: DomainSettings, gate: Gate) -> None:
        self._clock, self.settings, self._gate = clock, settings, gate
        self._children = ChildHosts(
            settings.compute_memory, settings.compute_threads, permissive=gate.permissive
        )
        self.environments: Environments | None = None
        self._lock = threading.Lock()
        self._connecting: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._sessions: dict[str, ComputeSession] = {}
        self._channels: dict[str, HostChannel] = {}  # of environments
        self._opening: list[str] = []
        self._used_at = 0.0

    # -- opening ------------------------------------------------------------------------------------

    def open(self, user_id: str, environment: str) -> ComputeSession:
        """Raises :class:`TooManyRequests` where there are enough, :class:`Unconfined` where none may be, and what
        :class:`Environments` raises."""
        self._gate.check()
        self._reserve(user_id)
        try:
            host_channel = self._environment(environment, user_id) if environment else self._children.take()
            begin = p.Begin(new_id(), user_id, self._clock.now(), host_channel.memory)
            try:
                host_channel.call(begin, p.Done)
            except BaseException:
                if not environment:
                    host_channel.close()
                raise
            session = ComputeSession(
                begin.session_id, user_id, environment, begin.created_at, host_channel.memory, host_channel
            )
            with self._lock:
                self._sessions[session.id] = session
            self._used_at = session.used_at
            return session
        finally:
            with self._lock:
                self._opening.remove(user_id)

    def _reserve(self, user_id: str) -> None:
        with self._lock:
            users = [s.user_id for s in self._sessions.values() if not s.channel.over] + self._opening
            if users.count(user_id) >= self.settings.compute_sessions_per_user:
                raise TooManyRequests("you have as many sessions as one user may have; close one")
            if len(users) >= self.settings.compute_sessions:
                raise TooManyRequests("this node has as many sessions as it takes; try again later")
            self._opening.append(user_id)

    # -- environments -------------------------------------------------------------------------------

    def _environment(self, environment: str, user_id: str) -> HostChannel:
        """The connection to an environment, with the sessions that its host kept while nobody was connected."""
        if self.environments is None:
            raise NotFound("this node has no compute environments")
        if environment not in self.environments.of(
            user_id
        ):  # asked each time: another may have connected before
            self.environments.connect(environment, user_id).close()  # says what is in the way
        with self._connecting[environment]:
            host_channel = self._channels.get(environment)
            if host_channel is not None and not host_channel.over:
                return host_channel
            host_channel = self.environments.connect(environment, user_id)
            if host_channel.missing and not self._gate.permissive:  # it was made while less was asked for
                host_channel.close()
                raise Unconfined(f"this environment is not confined: {in_words(host_channel.missing)}")
            states = host_channel.call(p.Attach(), p.Sessions).sessions
            with self._lock:
                self._channels[environment] = host_channel
                self._forget(environment)
                for state in (each for each in states if each.user_id == user_id):
                    self._sessions[state.session_id] = ComputeSession.restored(
                        state, environment, host_channel
                    )
                    self._sessions[state.session_id].used_at = self._clock.now()
            return host_channel

    def _forget(self, environment: str) -> None:
        for session in [s for s in self._sessions.values() if s.environment == environment]:
            del self._sessions[session.id]

    def _adopt(self, user_id: str) -> None:
        """Connect to all environments of the user."""
        if self.environments is None:
            return
        for environment in self.environments.of(user_id):
            with contextlib.suppress(GridError):
                self._environment(environment, user_id)

    # -- finding ------------------------------------------------------------------------------------

    def find(self, session_id: str, user_id: str) -> ComputeSession:
        """The user's session; :class:`SessionLost` for one that is gone, never was, or is somebody else's."""
        session = self._sessions.get(session_id)
        if session is None or (session.environment and session.channel.over):
            self._adopt(user_id)
            session = self._sessions.get(session_id)
        if session is None or session.user_id != user_id:
            raise SessionLost("there is no such session: it was closed, expired, or ended with its process")
        session.used_at = self._used_at = self._clock.now()
        return session

    def of(self, user_id: str) -> list[ComputeSession]:
        """The user's sessions, the oldest first."""
        self._adopt(user_id)
        mine = [s for s in self._sessions.values() if s.user_id == user_id and not s.channel.over]
        return sorted(mine, key=lambda session: session.created_at)

    def spent(self, user_id: str) -> set[str]:
        """The grants that lost a use for one of the user's sessions."""
        mine = [s.spent for s in list(self._sessions.values()) if s.user_id == user_id]
        return set().union(*mine)

    # -- ending -------------------------------------------------------------------------------------

    def close(self, session: ComputeSession) -> None:
        """Its values are gone. Idempotent."""
        with self._lock:
            self._sessions.pop(session.id, None)
        session.end()
        if not session.environment:
            session.channel.close()
        elif not session.channel.over:
            with contextlib.suppress(SessionLost):
                session.channel.call(p.End(session.id), p.Done)

    def sweep(self) -> None:
        """Close what nobody used for a while; end the spare process when there is nothing left."""
        oldest = self._clock.now() - self.settings.compute_idle
        for session in list(self._sessions.values()):
            if not session.environment and not session.busy and session.used_at < oldest:
                logger.info("compute session %s was idle and is closed", session.id)
                self.close(session)
        if self._used_at < oldest and not self._sessions:
            self._children.rest()

    def stop(self) -> None:
        """End the sessions of this node; those in environments go on without it."""
        for session in list(self._sessions.values()):
            session.end()
        self._children.close()
        for host_channel in list(self._channels.values()):
            host_channel.close()
