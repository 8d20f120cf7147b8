"""What takes offers at a node, as those who bring them see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn, Protocol

from syft_ext.errors import Unavailable
from syft_ext.messages.peers import IceServer

__all__ = ["Found", "Gateways", "IceServersNow"]

IceServersNow = Callable[[], Sequence[IceServer]]
"""The servers, with credentials that are good now; none where nobody tells any. It may ask another node, and wait
some seconds for it."""


class Found(NamedTuple):
    """Candidates of the gateway that were not told yet; ``done``: there will be no more."""

    candidates: Sequence[str]
    done: bool


class Gateways(Protocol):
    """Ends sessions of peers, and hands what comes over them to the node. Safe to call from several threads.

    A session is known by the key that offered it and the name that it gave: another key's is another session.
    """

    def offer(self, session: str, sdp: str, caller_key: str, timeout: float, *, origin: str = "") -> str:
        """The answer to an offer that came from the address ``origin``. Called once for a session.

        Raises :class:`BadRequest` for a description that is none, :class:`TooManyRequests` when no more sessions
        fit, :class:`Unavailable` when no gateway answers within ``timeout`` seconds.
        """

    def candidates(self, session: str, caller_key: str, candidates: Sequence[str], *, done: bool) -> Found:
        """Take candidates of the caller, and tell new ones. Raises :class:`NotFound` for a session that is over,
        :class:`BadRequest` for what is no candidate."""

    def answer(self, session: str, caller_key: str) -> str | None:
        """The answer that this session got, while it is open; None when it is over or there never was one."""


class NoGateways:
    """At a node that takes no sessions. Implements :class:`Gateways`."""

    def offer(self, session: str, sdp: str, caller_key: str, timeout: float, *, origin: str = "") -> NoReturn:
        raise Unavailable("this node takes no WebRTC sessions")

    def candidates(self, session: str, caller_key: str, candidates: Sequence[str], *, done: bool) -> NoReturn:
        raise Unavailable("this node takes no WebRTC sessions")

    def answer(self, session: str, caller_key: str) -> None:
        return None
