"""Connections to the compute hosts of environments, and what is learnt from what passes over them.

An environment is used when a request passes; its open sessions are those that were begun and not ended. So nobody
has to ask the host, which answers nothing while it computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self, TypeVar

from grid.compute import protocol as p
from grid.compute.host_channel import HostChannel
from syft_ext.clock import Clock
from syft_ext.errors import NotFound

__all__ = ["EnvironmentChannel", "Use"]

R = TypeVar("R")


class Use:
    """Attributes:
    at: when something last ran in the environment, by the node's clock.
    sessions: the ids of its open sessions.
    """

    def __init__(self, clock: Clock, at: float) -> None:
        self._clock, self.at = clock, at
        self.sessions: set[str] = set()

    def request(self) -> None:
        """Something is about to run."""
        self.at = self._clock.now()

    def reply(self, request: p.Request, reply: object) -> None:
        """Take in what the host answered."""
        if isinstance(request, p.Begin):
            self.sessions.add(request.session_id)
        elif isinstance(request, p.End):
            self.sessions.discard(request.session_id)
        elif isinstance(reply, p.Sessions):
            self.sessions = {state.session_id for state in reply.sessions}


class EnvironmentChannel(HostChannel):
    """A channel that tells ``use`` what passes, and begins no session for anybody but the environment's user."""

    user_id: str
    use: Use

    @classmethod
    def to(cls, path: Path, user_id: str, use: Use) -> Self:
        """To the host that listens at ``path``; raises :class:`SessionLost` when there is none."""
        host_channel = cls.connect(path)
        assert isinstance(host_channel, cls)
        host_channel.user_id, host_channel.use = user_id, use
        return host_channel

    def ask(self, request: p.Request, kind: type[R], *, seconds: float = 0.0) -> tuple[R, bytearray]:
        if isinstance(request, p.Begin) and request.user_id != self.user_id:
            raise NotFound("there is no such environment of yours")
        self.use.request()
        answer = super().ask(request, kind, seconds=seconds)
        self.use.request()  # what took long was use until its end
        self.use.reply(request, answer[0])
        return answer
