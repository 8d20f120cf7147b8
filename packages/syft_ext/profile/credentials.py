"""Sessions: who this process is logged in as, at which node; kept in a file when the user wants it.

A session is a node's short-lived token. Passwords are never kept, in memory or on disk: when a token has
expired, the user logs in again.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec

from syft_ext.errors import NotLoggedIn
from syft_ext.profile.home import locked, read_json, user_home, write_private
from syft_ext.transport.address import NodeAddress

__all__ = ["SavedLogin", "forget", "list_sessions", "load", "require", "save"]


class SavedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """A user's login at one node. Times are seconds since the epoch.

    Attributes:
        address: ``http(s)://host:port``.
        token: the node's token; it is good for messages signed with this user's key.
        ca_file: the private certificate authority that the login named; "" for none.
    """

    address: str
    email: str
    token: str
    expires_at: float
    node_id: str
    node_name: str
    node_kind: str
    user_id: str = ""
    ca_file: str = ""

    @property
    def expired(self) -> bool:
        """Whether its time is over; the node may have ended it before."""
        return time.time() >= self.expires_at

    def __repr__(self) -> str:  # the token must not end up in notebooks and logs
        return f"<SavedLogin {self.email} at {self.node_name} ({self.address})>"


_sessions: dict[str, SavedLogin] = {}
_lock = threading.Lock()


def _path() -> Path:
    return user_home() / "credentials.json"


def _stored() -> dict[str, SavedLogin]:
    return read_json(_path(), dict[str, SavedLogin], {})


def save(session: SavedLogin, *, keep: bool = True) -> None:
    """Use ``session`` in this process; with ``keep`` also in later ones (credentials file, 0600)."""
    with _lock:
        _sessions[session.address] = session
    if keep:
        with locked(_path()):
            write_private(_path(), msgspec.json.encode({**_stored(), session.address: session}))


def load(address: str) -> SavedLogin | None:
    """The session for ``address``: from this process, else from the credentials file; maybe expired."""
    with _lock:
        session = _sessions.get(address)
    if session is not None and not session.expired:
        return session
    stored = _stored().get(address)
    return stored if stored is not None and not stored.expired else session or stored


def list_sessions() -> list[SavedLogin]:
    """All sessions, of the file and of this process, by address."""
    with _lock:
        merged = {**_stored(), **_sessions}
    return [merged[address] for address in sorted(merged)]


def forget(address: str) -> bool:
    """Drop the session for ``address`` here and in the file; False if there was none."""
    with _lock:
        found = _sessions.pop(address, None) is not None
    with locked(_path()):
        stored = _stored()
        if stored.pop(address, None) is not None:
            found = True
            write_private(_path(), msgspec.json.encode(stored))
    return found


def require(address: NodeAddress | str) -> SavedLogin:
    """A session for ``address`` that is still valid.

    Raises :class:`~syft_ext.errors.NotLoggedIn`, which says how to log in.
    """
    session = load(str(address))
    if session is not None and not session.expired:
        return session
    how = (
        f'Log in with sy.login("{address}", email, password) in this process, '
        f"or once with: grid login {address}"
    )
    if session is None:
        raise NotLoggedIn(f"you are not logged in to {address}. {how}", address=str(address))
    raise NotLoggedIn(
        f"your session of {session.email} at {address} has expired (no password is kept). {how}",
        address=str(address),
    )
