"""Users, roles and groups of a node (PyGrid 0.5: ``.users``, ``.roles``, ``.groups``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from syft_ext.client.listing import Listing
from syft_ext.display.table import when
from syft_ext.errors import Forbidden, NotFound
from syft_ext.ids import is_id
from syft_ext.messages.accounts import (
    CreateGroup,
    CreateRole,
    CreateUser,
    DeleteGroup,
    DeleteRole,
    DeleteUser,
    Flag,
    GetGroup,
    GetRole,
    GetUser,
    GroupList,
    GroupView,
    ListGroups,
    ListRoles,
    ListUsers,
    ResetTotp,
    RevokeUser,
    RoleList,
    RoleView,
    SearchUsers,
    UpdateGroup,
    UpdateRole,
    UpdateUser,
    UserList,
    UserView,
)
from syft_ext.messages.own_account import (
    AccountSessionList,
    AccountSessionView,
    EndAccountSession,
    EndAccountSessionOf,
    ListAccountSessions,
    ListAccountSessionsOf,
)
from syft_ext.messages.permissions import FLAGS

__all__ = ["Groups", "Roles", "Sessions", "Users"]

_PAGE = 1000


class Users(Listing[UserView]):
    """The people who have an account at this node."""

    title = "Users"
    headings = ("e-mail", "role", "groups", "may", "codes", "disabled", "since", "id")

    def _fetch(self) -> list[UserView]:
        return self._pages(ListUsers(limit=_PAGE))

    def search(self, email: str = "", role: str = "", group: str = "") -> list[UserView]:
        """Users whose e-mail contains ``email``, with that role, in that group."""
        return self._pages(SearchUsers(email=email, role=role, group=group, limit=_PAGE))

    def _pages(self, message: ListUsers | SearchUsers) -> list[UserView]:
        users: list[UserView] = []
        while True:
            message.offset = len(users)
            page: UserList = self.client.call(message)
            users += page.users
            if not page.users or len(users) >= page.total:
                return users

    def get(self, user_id: str) -> UserView:
        """By id, how that begins, or e-mail address."""
        user: UserView = self.client.call(GetUser(user_id=self.id_of(user_id)))
        return user

    def create(
        self, email: str, password: str, *, role: str = "User", groups: list[str] | None = None
    ) -> UserView:
        """Make an account for somebody, with a role that carries no flag which you lack."""
        message = CreateUser(email=email, password=password, role=role, groups=groups or [])
        user: UserView = self.client.call(message)
        return user

    def update(self, user_id: str, **changes: Any) -> UserView:
        """Change ``email``, ``password``, ``role``, ``groups`` or ``disabled`` of somebody else."""
        user: UserView = self.client.call(UpdateUser(user_id=self.id_of(user_id), **changes))
        return user

    def delete(self, user_id: str) -> None:
        """Delete somebody else's account; what they own stays. The owner's cannot be deleted."""
        self.client.call(DeleteUser(user_id=self.id_of(user_id)))

    def revoke(self, user_id: str) -> None:
        """End all sessions of a user and forget all their keys."""
        self.client.call(RevokeUser(user_id=self.id_of(user_id)))

    def reset_totp(self, user_id: str) -> None:
        """Forget a user's one-time codes, because they lost their device; their sessions and keys end."""
        self.client.call(ResetTotp(user_id=self.id_of(user_id)))

    def sessions(self, user_id: str) -> list[AccountSessionView]:
        """A user's logins that are still good."""
        reply: AccountSessionList = self.client.call(ListAccountSessionsOf(user_id=self.id_of(user_id)))
        return reply.sessions

    def end_session(self, user_id: str, session_id: str) -> None:
        """End a session of somebody who has no power that you lack."""
        user_id = self.id_of(user_id)
        if not is_id(session_id):
            session_id = Sessions(self.client).choose(self.sessions(user_id), session_id).id
        self.client.call(EndAccountSessionOf(user_id=user_id, session_id=session_id))

    def addresses(self) -> dict[str, str]:
        """The e-mail addresses of users by their ids: what may stand in a table instead of an id. Of who may not
        list users only their own."""
        session = self.client.session
        own = {} if session is None else {session.user_id: session.email}
        try:
            return own | {user.id: user.email for user in self}
        except (Forbidden, NotFound):  # they may not, or the node has no accounts
            return own

    def key(self, item: UserView) -> tuple[str, ...]:
        return (item.id, item.email)

    def row(self, item: UserView) -> tuple[Any, ...]:
        codes, disabled = "yes" if item.totp else "", "yes" if item.disabled else ""
        may, since = _words(item.flags), when(item.created_at)
        return (item.email, item.role, item.groups, may, codes, disabled, since, item.id)


class Roles(Listing[RoleView]):
    """What people may do here: each role carries some of the seven permission flags."""

    title = "Roles"
    headings = ("id", "name", "may")

    def _fetch(self) -> list[RoleView]:
        reply: RoleList = self.client.call(ListRoles())
        return reply.roles

    def get(self, role_id: int) -> RoleView:
        """By number; ``roles["Data owner"]`` finds by name too."""
        role: RoleView = self.client.call(GetRole(role_id=role_id))
        return role

    def create(self, name: str, **flags: bool) -> RoleView:
        """Make a role; ``flags`` are those of :data:`syft_ext.messages.FLAGS`, among your own."""
        role: RoleView = self.client.call(CreateRole(name=name, **flags))
        return role

    def update(self, role_id: int, **changes: Any) -> RoleView:
        """Change ``name`` or flags (``can_upload_data=True``); it acts at the next call of who has the role."""
        role: RoleView = self.client.call(UpdateRole(role_id=role_id, **changes))
        return role

    def delete(self, role_id: int) -> None:
        """Delete a role that nobody has; those that came with the node stay."""
        self.client.call(DeleteRole(role_id=role_id))

    def key(self, item: RoleView) -> tuple[str, ...]:
        return (str(item.id), item.name)

    def row(self, item: RoleView) -> tuple[Any, ...]:
        return (item.id, item.name, _words(flag for flag in FLAGS if getattr(item, flag)))


class Groups(Listing[GroupView]):
    """Groups of users; what a group may, beside their role, each of its users may."""

    title = "Groups"
    headings = ("name", "users", "may", "id")

    def _fetch(self) -> list[GroupView]:
        reply: GroupList = self.client.call(ListGroups())
        return reply.groups

    def get(self, group_id: str) -> GroupView:
        """By id, how that begins, or name."""
        group: GroupView = self.client.call(GetGroup(group_id=self.id_of(group_id)))
        return group

    def create(self, name: str, users: Sequence[str] = (), *, flags: Sequence[Flag] = ()) -> GroupView:
        """Make a group of users (ids). ``flags``, which must be among your own, become theirs at once."""
        group: GroupView = self.client.call(CreateGroup(name=name, users=list(users), flags=list(flags)))
        return group

    def update(
        self,
        group_id: str,
        *,
        name: str | None = None,
        users: Sequence[str] | None = None,
        flags: Sequence[Flag] | None = None,
    ) -> GroupView:
        """Change what is not None. It acts at everybody's next call."""
        message = UpdateGroup(
            group_id=self.id_of(group_id),
            name=name,
            users=None if users is None else list(users),
            flags=None if flags is None else list(flags),
        )
        group: GroupView = self.client.call(message)
        return group

    def delete(self, group_id: str) -> None:
        """Delete it; its users stay, and lose what it permitted."""
        self.client.call(DeleteGroup(group_id=self.id_of(group_id)))

    def key(self, item: GroupView) -> tuple[str, ...]:
        return (item.id, item.name)

    def row(self, item: GroupView) -> tuple[Any, ...]:
        return (item.name, len(item.users), _words(item.flags), item.id)


class Sessions(Listing[AccountSessionView]):
    """Your logins that are still good."""

    title = "Sessions"
    headings = ("id", "since", "until", "from", "key", "this one")

    def _fetch(self) -> list[AccountSessionView]:
        reply: AccountSessionList = self.client.call(ListAccountSessions())
        return reply.sessions

    def end(self, session_id: str) -> None:
        """End one of your logins, this one too; its key is forgotten, unless another login uses it."""
        self.client.call(EndAccountSession(session_id=self.id_of(session_id)))

    def key(self, item: AccountSessionView) -> tuple[str, ...]:
        return (item.id,)

    def row(self, item: AccountSessionView) -> tuple[Any, ...]:
        since, until = when(item.created_at), when(item.expires_at)
        return (item.id, since, until, item.remote, item.verify_key[:16], "yes" if item.current else "")


def _words(flags: Iterable[str]) -> list[str]:
    """``can_triage_requests`` → ``triage requests``."""
    return [flag.removeprefix("can_").replace("_", " ") for flag in flags]
