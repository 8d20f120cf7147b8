"""What an encoder speaks with its node over: the job's session, with its patience."""

from __future__ import annotations

import threading
from typing import Any

from syft_ext.confidential.trust import Trust
from syft_ext.federated.retry import Persistence, Stopped
from syft_ext.federated.session import WorkerSession
from syft_ext.identity import Identity
from syft_ext.messages import Message
from syft_ext.profile.vouching import own_certificate, pinned_authorities

__all__ = ["SessionLine"]


class SessionLine:
    """A :class:`~syft_ext.federated.formats.encoder.NodeLine` of a job.

    Args:
        trust: what its client pins; None: what is in the user's own folder.
    """

    def __init__(
        self, session: WorkerSession, persistence: Persistence, stop: threading.Event, trust: Trust | None
    ) -> None:
        self._session, self._persistence, self._stop = session, persistence, stop
        self._trust = trust

    @property
    def identity(self) -> Identity:
        """This worker's."""
        return self._session.transports.identity

    @property
    def node_key(self) -> str:
        """The node's, that every answer is held to."""
        return self._session.node_key

    @property
    def authorities(self) -> frozenset[str]:
        """Whose word on participants counts."""
        if self._trust is None:
            return pinned_authorities()
        return frozenset(key.hex() for key in self._trust.authority_keys)

    @property
    def certificate(self) -> bytes:
        """For this worker's key."""
        return own_certificate() if self._trust is None else self._trust.own_certificate.encode()

    def call(self, message: Message, timeout: float) -> Any:
        """The node's answer, in the end."""
        return self._persistence.call(lambda: self._session.call(message, timeout=timeout))

    def stay(self) -> None:
        """Raise :class:`~syft_ext.federated.retry.Stopped` where nobody wants to wait any more."""
        if self._stop.is_set():
            raise Stopped
