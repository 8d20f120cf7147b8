"""Places where values are: a Domain, or a compute environment of it, each with one session of yours."""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

from syft_ext.errors import BadRequest, GridError, TooManyRequests
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.pointers.session import RemoteSession

__all__ = ["Location", "location_of", "target_of"]


class Location:
    """Where values are, and where to send what is to be computed with them: ``x.send(data.location)``.

    Attributes:
        client: of the node.
        environment: id of the compute environment; "" is the Domain itself.
    """

    def __init__(self, client: Caller, environment: str = "") -> None:
        self.client, self.environment = client, environment
        self._session: RemoteSession | None = None
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        """The id of the environment, or of the node."""
        return self.environment or self.client.id

    @property
    def name(self) -> str:
        """For people: the node's name, and the beginning of the environment's id."""
        inside = f", environment {self.environment[:8]}" if self.environment else ""
        return f"{self.client.name}{inside}"

    @property
    def location(self) -> Location:
        """Itself, so that a location can stand where a pointer can."""
        return self

    @property
    def session(self) -> RemoteSession:
        """Your session here; opened at first use, and anew when the last one is over."""
        with self._lock:
            if self._session is None or not self._session.alive:
                self._session = self._opened()
                _open.add(self._session)
            return self._session

    def _opened(self) -> RemoteSession:
        from syft_ext.pointers.session import (
            RemoteSession,
        )  # loads torch: only where something is sent or loaded

        try:
            return RemoteSession(self.client, self.environment)
        except TooManyRequests as error:
            raise TooManyRequests(f"{error.detail}.", **error.extra).noted(
                "Instead: domain.compute shows them, domain.compute.close() ends them"
            ) from error

    def barrier(self) -> None:
        """Wait until everything that was recorded for this place has run; raises what went wrong."""
        if self._session is not None:
            self._session.barrier()

    def close(self) -> None:
        """End your session here; its values are gone, stored objects stay."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and (self.id, self.client.id) == (other.id, other.client.id)

    def __hash__(self) -> int:
        return hash((self.id, self.client.id))

    def __repr__(self) -> str:
        return readable(f"<Location {self.name}, id {self.id}>")


_open: weakref.WeakSet[RemoteSession] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Free what the nodes hold for this process; they would do so by themselves after a while."""
    for session in list(_open):
        if session.alive:
            with contextlib.suppress(GridError):
                session.close()


def location_of(client: Caller, environment: str = "") -> Location:
    """The one location of this client and environment."""
    key = ("location", environment)
    found = client.resources.get(key)
    if found is None:
        found = client.resources.setdefault(key, Location(client, environment))
    assert isinstance(found, Location)
    return found


def target_of(target: Any) -> Location:
    """The location that ``target`` (a Domain's client, a location, whatever has one) stands for."""
    found = getattr(target, "location", None)
    if not isinstance(found, Location):
        raise BadRequest(f"send to a Domain or to a pointer's .location, not to {type(target).__name__}")
    return found
