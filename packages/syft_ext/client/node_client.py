"""What a client of any node can do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from syft_ext.client.account import Me
from syft_ext.client.associations import Associations
from syft_ext.client.audit import Audit
from syft_ext.client.caller import Closeable
from syft_ext.client.people import Groups, Roles, Users
from syft_ext.client.settings import Counters, Settings
from syft_ext.display.table import Table, ago, fields_table
from syft_ext.errors import GridError, InvalidToken, NotLoggedIn
from syft_ext.messages import GetMetadata, Message, NodeMetadata
from syft_ext.messages.accounts import (
    CreateOwner,
    GetSetupStatus,
    SettingsView,
    SetupStatus,
    SignUp,
    UserView,
)
from syft_ext.messages.contents import ContentsView, GetContents
from syft_ext.messages.dashboard import GetDashboard
from syft_ext.messages.installation import AcknowledgeRestore, GetRestore, RestoreView
from syft_ext.profile.credentials import SavedLogin
from syft_ext.readable import readable
from syft_ext.transport import Connection, IncomingFrame
from syft_ext.transport.base import Buffers

__all__ = ["NodeClient"]


class NodeClient:
    """A connection to one node, with your key and perhaps your session.

    Attributes:
        connection: for calling operations that have no method here: ``client.call(message)``.
        session: the login, or None.
        resources: what is kept with this client by others and closed with it, by what it is called.
    """

    def __init__(self, connection: Connection, metadata: NodeMetadata, session: SavedLogin | None) -> None:
        self.connection = connection
        self.session = session
        self._metadata = metadata
        self.resources: dict[tuple[str, ...], Closeable] = {}

    # -- who it is ----------------------------------------------------------------------------------

    @property
    def metadata(self) -> NodeMetadata:
        """What the node says of itself now."""
        self._metadata = self.call(GetMetadata())
        return self._metadata

    @property
    def name(self) -> str:
        """What its owner called the node, as of the last :attr:`metadata`; readable."""
        return readable(self._metadata.name)

    @property
    def id(self) -> str:
        """The node's id: 32 hex digits that follow from its key."""
        return self._metadata.node_id

    @property
    def verify_key(self) -> str:
        """The node's public key, 64 hex digits: what its answers are signed with."""
        return self._metadata.verify_key

    @property
    def kind(self) -> str:
        """ "domain", "network" or "worker"."""
        return self._metadata.kind

    @property
    def address(self) -> str:
        """Where you logged in; without a login, where the connection goes."""
        return self.session.address if self.session else self.connection.address

    # -- the way in ---------------------------------------------------------------------------------

    def setup_status(self) -> SetupStatus:
        """Whether the node has its owner yet, and whether you may sign up."""
        status: SetupStatus = self.call(GetSetupStatus())
        return status

    def setup(self, email: str, password: str, **settings: Any) -> UserView:
        """Become the owner of a fresh node: possible once. ``settings`` are those of :attr:`settings`."""
        owner: UserView = self.call(CreateOwner(email=email, password=password, **settings))
        return owner

    def sign_up(self, email: str, password: str) -> UserView:
        """Make yourself an account, where the node's settings allow it; then log in."""
        user: UserView = self.call(SignUp(email=email, password=password))
        return user

    # -- what it keeps ------------------------------------------------------------------------------

    @property
    def restore(self) -> RestoreView:
        """Whether the node's database was restored, and what acknowledging that would change."""
        view: RestoreView = self.call(GetRestore())
        return view

    def acknowledge_restore(self) -> RestoreView:
        """Go on with a database that was restored. What was spent since it was copied stays spent."""
        view: RestoreView = self.call(AcknowledgeRestore())
        return view

    @property
    def contents(self) -> ContentsView:
        """Which of the node's contents are damaged and what that affects, and how much waits to be gone."""
        view: ContentsView = self.call(GetContents())
        return view

    # -- people -------------------------------------------------------------------------------------

    @property
    def me(self) -> Me:
        """Your own account here: password, keys, sessions, one-time codes."""
        return Me(self)

    @property
    def users(self) -> Users:
        """The people who have an account here, as far as your role lets you see them."""
        return Users(self)

    @property
    def roles(self) -> Roles:
        """Named sets of permissions; each user has one."""
        return Roles(self)

    @property
    def groups(self) -> Groups:
        """Groups of users: to share with, and to give permissions to."""
        return Groups(self)

    @property
    def associations(self) -> Associations:
        """Who asked this node to associate, and whom it asked."""
        return Associations(self)

    @property
    def audit(self) -> Audit:
        """Who did what to which object by which grant."""
        return Audit(self)

    @property
    def settings(self) -> Settings:
        """The node's settings, asked for now."""
        return Settings(self)

    def update_settings(self, **changes: Any) -> SettingsView:
        """As ``client.settings.update(...)``."""
        return self.settings.update(**changes).view

    def dashboard(self) -> Counters:
        """How much there is of what."""
        return Counters(self, self.call(GetDashboard()))

    # -- calling ------------------------------------------------------------------------------------

    def call(self, message: Message, payload: Buffers = (), *, timeout: float | None = None) -> Any:
        """Send any operation's message; return its reply or raise its error.

        Raises :class:`~syft_ext.errors.NotLoggedIn`, saying how to log in, when the session has expired.
        """
        with self.explained():
            return self.connection.call(message, payload, timeout=timeout)

    def open(self, message: Message, *, timeout: float | None = None) -> IncomingFrame:
        """The head of the answer; errors and payload are still in it (``with client.explained()``)."""
        return self.connection.open(message, timeout=timeout)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn "this token is no good" into an error that says how to log in again."""
        try:
            yield
        except InvalidToken as error:
            if self.session is None:
                raise
            raise NotLoggedIn(
                f"your session of {self.session.email} at {self.name} is over ({error.detail}). Log in again: "
                f'sy.login("{self.address}", email, password), or: grid login {self.address}',
                address=self.address,
            ) from error

    def close(self) -> None:
        """End the sessions of remote computation, and release the sockets."""
        for resource in self.resources.values():
            with suppress(GridError):
                resource.close()
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # -- showing itself -----------------------------------------------------------------------------

    def table(self) -> Table:
        """Who the node is, and who you are to it."""
        who = "not logged in"
        if self.session is not None:
            left = self.session.expires_at - time.time()
            who = f"{self.session.email}, " + (f"for {ago(left)}" if left > 0 else "session expired")
        fields = [
            ("address", self.address),
            ("id", self.id),
            ("key", self._metadata.verify_key[:16] + "…"),
            ("version", self._metadata.version),
            ("user", who),
        ]
        return fields_table(f"{self.kind.capitalize()} {self.name}", fields)

    def __repr__(self) -> str:
        return readable(f"<{type(self).__name__} {self.name!r} at {self.address}>")

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
