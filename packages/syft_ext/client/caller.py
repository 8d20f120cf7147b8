"""Who calls a node: what collections and single views need of a client, and all that they know of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from syft_ext.messages import Message, NodeMetadata
from syft_ext.profile.credentials import SavedLogin
from syft_ext.transport import Connection, IncomingFrame
from syft_ext.transport.base import Buffers

__all__ = ["Caller", "Closeable", "DomainCaller"]


class Closeable(Protocol):
    """What can be closed. A :class:`GridError` of it is passed over, since the node may be gone."""

    def close(self) -> None:
        """Give up what it holds, at the node too."""


class Caller(Protocol):
    """A client of any node.

    Attributes:
        connection: to the node, with your key and perhaps a token.
        session: the login, or None.
        resources: what is kept with this client by others and closed with it, by what it is called.
    """

    connection: Connection
    session: SavedLogin | None
    resources: dict[tuple[str, ...], Closeable]

    @property
    def id(self) -> str:
        """The node's id."""

    @property
    def name(self) -> str:
        """How people call the node."""

    @property
    def kind(self) -> str:
        """Which kind of node it is."""

    @property
    def address(self) -> str:
        """The URL under which it was reached."""

    @property
    def verify_key(self) -> str:
        """The node's public key, 64 hex digits."""

    @property
    def metadata(self) -> NodeMetadata:
        """What the node says of itself now."""

    def call(self, message: Message, payload: Buffers = (), *, timeout: float | None = None) -> Any:
        """Send a message; return its reply or raise its error."""

    def open(self, message: Message, *, timeout: float | None = None) -> IncomingFrame:
        """The head of the answer; errors and payload are still in it."""

    def explained(self) -> AbstractContextManager[None]:
        """Turn "this token is no good" into an error that says how to log in again."""

    def close(self) -> None:
        """Close what is kept with it, and release the sockets."""


class DomainCaller(Caller, Protocol):
    """A client of a Domain, where objects are."""

    def pointer(self, object_id: str, environment: str = "") -> Any:
        """A pointer to a stored object, to compute with where it is."""
