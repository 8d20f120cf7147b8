"""Logging in to nodes and connecting to them: the first line of every notebook."""

from __future__ import annotations

from pathlib import Path

from syft_ext.client.node_client import NodeClient
from syft_ext.display.prompt import ask
from syft_ext.errors import GridError, TotpRequired
from syft_ext.identity import Identity
from syft_ext.messages import NodeMetadata
from syft_ext.messages.accounts import Login, LoginReply, Logout
from syft_ext.nodes.kinds import client_class
from syft_ext.pointers.install import install
from syft_ext.profile import credentials
from syft_ext.profile.credentials import SavedLogin
from syft_ext.profile.home import user_identity
from syft_ext.profile.known_nodes import meet
from syft_ext.transport import Connection, Transport, open_transport
from syft_ext.transport.address import NodeAddress

__all__ = ["connect", "enter", "join", "login", "logout", "open_session"]


def login(
    url: str,
    email: str,
    password: str,
    *,
    totp: str = "",
    save: bool = False,
    ca_file: str | None = None,
    transport: Transport | None = None,
) -> NodeClient:
    """Log in to a node; later calls in this process (hosting, say) find the session by its address.

    Your key pair is made on this machine at first use and stays here; the node's key is pinned to its
    address. The password is sent to the node and not kept. When the session expires, log in again.

    Args:
        url: ``http(s)://host:port``, ``ws(s)://host:port``, ``host:port``, or an address of another transport.
        totp: the code of your authenticator app, or a recovery code, if your account asks for one. When it
            is not given, a terminal or notebook asks you for it.
        save: keep the session for later processes too (a file that only you can read), as ``grid login``.
        ca_file: a private certificate authority, if the node uses one; kept with the session. By default that of
            ``$GRID_CA_FILE``.
        transport: how to reach the node, if not by its address (in-process, for instance).

    Returns:
        A :class:`DomainClient` or a :class:`NetworkClient`, as the node is.

    Raises:
        Unauthenticated: wrong e-mail or password.
        TotpRequired: the one-time code is missing or wrong.
        BadSignature: the node's key is not the one that was pinned.
        Unavailable: nobody answers at ``url``.
    """
    address = NodeAddress.parse(url)
    connection, metadata = join(address, user_identity(), ca_file=ca_file, transport=transport)
    return enter(
        connection,
        str(address),
        email,
        password,
        totp=totp,
        save=save,
        metadata=metadata,
        ca_file=str(Path(ca_file).absolute()) if ca_file else "",
    )


def enter(
    connection: Connection,
    address: str,
    email: str,
    password: str,
    *,
    totp: str = "",
    save: bool = False,
    metadata: NodeMetadata | None = None,
    ca_file: str = "",
) -> NodeClient:
    """The client for ``connection``, logged in unless ``email`` is empty; remembers the session."""
    metadata = metadata or connection.metadata()
    if not email:
        return _client(connection, metadata, None)
    reply = _log_in(connection, email, password, totp)
    connection.token = reply.token
    session = SavedLogin(
        address=address,
        email=reply.user.email,
        token=reply.token,
        expires_at=reply.expires_at,
        node_id=metadata.node_id,
        node_name=metadata.name,
        node_kind=metadata.kind,
        user_id=reply.user.id,
        ca_file=ca_file,
    )
    credentials.save(session, keep=save)
    return _client(connection, metadata, session)


def _log_in(connection: Connection, email: str, password: str, totp: str) -> LoginReply:
    try:
        reply: LoginReply = connection.call(Login(email=email, password=password, totp=totp))
    except TotpRequired:
        code = None if totp else ask(f"One-time code of {email}")
        if not code:
            raise
        reply = connection.call(Login(email=email, password=password, totp=code))
    return reply


def connect(
    url: str,
    *,
    identity: Identity | None = None,
    ca_file: str | None = None,
    transport: Transport | None = None,
) -> NodeClient:
    """A client without a login: what the node offers to anybody, or to the holder of your key.

    ``identity`` is the key that signs; by default your own. Otherwise as :func:`login`.
    """
    connection, metadata = join(
        NodeAddress.parse(url), identity or user_identity(), ca_file=ca_file, transport=transport
    )
    return _client(connection, metadata, None)


def logout(url: str, *, transport: Transport | None = None) -> None:
    """End the session at ``url``, at the node (if it can be reached) and on this machine."""
    address = NodeAddress.parse(url)
    session = credentials.load(str(address))
    if session is None:
        return
    try:
        if not session.expired:
            connection, _ = join(
                address, user_identity(), ca_file=session.ca_file or None, transport=transport
            )
            connection.token = session.token
            connection.call(Logout(), timeout=10.0)
            connection.close()
    except GridError:
        pass  # the token dies by itself; what matters is that this machine forgets it
    finally:
        credentials.forget(str(address))


def join(
    address: NodeAddress,
    identity: Identity,
    *,
    ca_file: str | None = None,
    transport: Transport | None = None,
) -> tuple[Connection, NodeMetadata]:
    """A connection to the node at ``address`` whose key was checked against the pinned one."""
    carrier = transport or open_transport(address.url, ca_file=ca_file)
    connection = Connection(carrier, identity)
    try:
        return connection, meet(connection, str(address))
    except GridError:
        if transport is None:
            carrier.close()
        raise


def open_session(
    address: NodeAddress, *, ca_file: str | None = None, transport: Transport | None = None
) -> tuple[Connection, NodeMetadata]:
    """A connection with the credentials of an earlier login in this process, or of ``grid login``.

    Raises :class:`~syft_ext.errors.NotLoggedIn` when there are none, or they have expired.
    """
    session = credentials.require(address)
    connection, metadata = join(
        address, user_identity(), ca_file=ca_file or session.ca_file or None, transport=transport
    )
    connection.token = session.token
    return connection, metadata


def _client(connection: Connection, metadata: NodeMetadata, session: SavedLogin | None) -> NodeClient:
    install()  # torch may have been loaded since
    return client_class(metadata.kind)(connection, metadata, session)
