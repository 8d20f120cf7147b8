"""The services of people: set-up and settings, login, users, roles, groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grid.accounts.dashboard import DashboardService
from grid.accounts.managers import PASSWORDS, AccountService
from grid.accounts.own_account import OwnAccountService, SecondFactorService
from grid.accounts.tables import Setup
from grid.accounts.throttle import Subject
from grid.node import Context, Node, Principal, Service, handles
from syft_ext.errors import Conflict, Forbidden, TotpRequired
from syft_ext.messages import FLAGS, Empty, Message
from syft_ext.messages import accounts as m

__all__ = [
    "PASSWORDS",
    "SERVICES",
    "AuthService",
    "GroupService",
    "RoleService",
    "SetupService",
    "UserService",
]


class SetupService(AccountService):
    """The first owner, and the settings."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._started_as = node.name
        self._configured = False
        self._apply(self._managers.settings.load())

    def _apply(self, row: Setup | None) -> None:
        """The name in the settings, once there is one, is the node's name."""
        self._configured = row is not None
        self.node.name = (row.node_name if row else "") or self._started_as

    def configured(self) -> bool:
        if not self._configured:  # another replica may have been asked
            self._apply(self._managers.settings.load())
        return self._configured

    @handles(m.GetSetupStatus)
    def status(self, ctx: Context, message: m.GetSetupStatus) -> m.SetupStatus:
        row = self._managers.settings.load()
        self._apply(row)
        return m.SetupStatus(
            node_name=self.node.name,
            configured=row is not None,
            allow_user_signup=row is not None and row.allow_user_signup,
        )

    @handles(m.CreateOwner)
    def create_owner(self, ctx: Context, message: m.CreateOwner) -> m.UserView:
        user_id = self._managers.settings.create_owner(self._managers.passwords, message)
        self._apply(self._managers.settings.load())
        return self._managers.users.get(user_id)

    @handles(m.GetSettings)
    def get(self, ctx: Context, message: m.GetSettings) -> m.SettingsView:
        row = self._managers.settings.load()
        if row is None:
            raise Conflict("the node is not set up yet")
        return self._view(row)

    @handles(m.UpdateSettings)
    def update(self, ctx: Context, message: m.UpdateSettings) -> m.SettingsView:
        ctx.note(changed=_changed(message))
        return self._view(self._managers.settings.update(ctx.principal, message))

    def _view(self, row: Setup) -> m.SettingsView:
        self._apply(row)
        return m.SettingsView(
            node_name=self.node.name,
            allow_user_signup=row.allow_user_signup,
            session_lifetime=row.session_lifetime,
            key_lifetime=row.key_lifetime,
            require_totp=row.require_totp,
        )


class AuthService(AccountService):
    """Login and what follows from it: vouches for the tokens and the keys of users."""

    token_kind = "user"  # noqa: S105 - the kind of a token, not a token

    def principal_of_token(self, claims: Mapping[str, Any]) -> Principal:
        return self._managers.sessions.of_token(claims)

    def principal_of_key(self, verify_key: str) -> Principal | None:
        return self._managers.sessions.of_key(verify_key)

    @handles(m.Login)
    def login(self, ctx: Context, message: m.Login) -> m.SessionView:
        throttle = self._managers.throttle
        subjects = [Subject.email(message.email), Subject.remote(ctx.remote)]
        throttle.admit(*subjects)
        try:
            user_id, token, expires_at = self._managers.sessions.open(
                message.email,
                message.password,
                ctx.principal.verify_key,
                code=message.totp,
                remote=ctx.remote,
            )
        except TotpRequired:
            if not message.totp:  # half a login is no guess: a whole office may log in in two steps
                throttle.succeeded(Subject.remote(ctx.remote))
            raise
        throttle.succeeded(*subjects)
        return m.SessionView(
            token=token,
            expires_at=expires_at,
            bound=bool(ctx.principal.verify_key),
            user=self._managers.users.get(user_id),
        )

    @handles(m.Logout)
    def logout(self, ctx: Context, message: m.Logout) -> Empty:
        self._managers.sessions.close(ctx.principal)
        return Empty()

    @handles(m.RevokeSessions)
    def revoke(self, ctx: Context, message: m.RevokeSessions) -> Empty:
        self._managers.users.end_sessions(ctx.principal.id)
        return Empty()

    @handles(m.RevokeUser)
    def revoke_user(self, ctx: Context, message: m.RevokeUser) -> Empty:
        ctx.note(user=message.user_id)
        self._managers.users.end_sessions(message.user_id, actor=ctx.principal)
        return Empty()


class UserService(AccountService):
    @handles(m.SignUp)
    def sign_up(self, ctx: Context, message: m.SignUp) -> m.UserView:
        settings = self._managers.settings.load()
        if settings is None or not settings.allow_user_signup:
            raise Forbidden("this node takes no sign-ups; ask its owner for an account")
        self._managers.throttle.admit(Subject.sign_up(ctx.remote))
        return self._managers.users.create(message.email, message.password)

    @handles(m.CreateUser)
    def create(self, ctx: Context, message: m.CreateUser) -> m.UserView:
        return self._managers.users.create(
            message.email,
            message.password,
            actor=ctx.principal,
            role=message.role,
            groups=message.groups,
        )

    @handles(m.ListUsers)
    def list(self, ctx: Context, message: m.ListUsers) -> m.UserList:
        users, total = self._managers.users.search(offset=message.offset, limit=message.limit)
        return m.UserList(users=users, total=total)

    @handles(m.SearchUsers)
    def search(self, ctx: Context, message: m.SearchUsers) -> m.UserList:
        users, total = self._managers.users.search(
            email=message.email,
            role=message.role,
            group=message.group,
            offset=message.offset,
            limit=message.limit,
        )
        return m.UserList(users=users, total=total)

    @handles(m.GetUser)
    def get(self, ctx: Context, message: m.GetUser) -> m.UserView:
        return self._managers.users.get(message.user_id)

    @handles(m.UpdateUser)
    def update(self, ctx: Context, message: m.UpdateUser) -> m.UserView:
        ctx.note(user=message.user_id, changed=_changed(message))
        return self._managers.users.update(ctx.principal, message)

    @handles(m.DeleteUser)
    def delete(self, ctx: Context, message: m.DeleteUser) -> Empty:
        ctx.note(user=message.user_id)
        self._managers.users.delete(ctx.principal, message.user_id)
        return Empty()


class RoleService(AccountService):
    @handles(m.CreateRole)
    def create(self, ctx: Context, message: m.CreateRole) -> m.RoleView:
        flags = {name: bool(getattr(message, name)) for name in FLAGS}
        return self._managers.roles.create(ctx.principal, message.name, flags)

    @handles(m.ListRoles)
    def list(self, ctx: Context, message: m.ListRoles) -> m.RoleList:
        return m.RoleList(roles=self._managers.roles.all())

    @handles(m.GetRole)
    def get(self, ctx: Context, message: m.GetRole) -> m.RoleView:
        return self._managers.roles.get(message.role_id)

    @handles(m.UpdateRole)
    def update(self, ctx: Context, message: m.UpdateRole) -> m.RoleView:
        flags = {name: getattr(message, name) for name in FLAGS}
        ctx.note(role=message.role_id, changed=_changed(message))
        return self._managers.roles.update(ctx.principal, message.role_id, message.name, flags)

    @handles(m.DeleteRole)
    def delete(self, ctx: Context, message: m.DeleteRole) -> Empty:
        ctx.note(role=message.role_id)
        self._managers.roles.delete(ctx.principal, message.role_id)
        return Empty()


class GroupService(AccountService):
    @handles(m.CreateGroup)
    def create(self, ctx: Context, message: m.CreateGroup) -> m.GroupView:
        return self._managers.groups.create(ctx.principal, message.name, message.users, message.flags)

    @handles(m.ListGroups)
    def list(self, ctx: Context, message: m.ListGroups) -> m.GroupList:
        return m.GroupList(groups=self._managers.groups.all())

    @handles(m.GetGroup)
    def get(self, ctx: Context, message: m.GetGroup) -> m.GroupView:
        return self._managers.groups.get(message.group_id)

    @handles(m.UpdateGroup)
    def update(self, ctx: Context, message: m.UpdateGroup) -> m.GroupView:
        ctx.note(group=message.group_id, changed=_changed(message))
        return self._managers.groups.update(
            ctx.principal, message.group_id, message.name, message.users, message.flags
        )

    @handles(m.DeleteGroup)
    def delete(self, ctx: Context, message: m.DeleteGroup) -> Empty:
        ctx.note(group=message.group_id)
        self._managers.groups.delete(ctx.principal, message.group_id)
        return Empty()


def _changed(message: Message) -> str:
    """Which fields of an account, a role, a group or the settings a message changes, for the audit log."""
    names = [name for name in message.__struct_fields__ if not name.endswith("_id")]
    return ", ".join(name for name in names if getattr(message, name) is not None)


#: What a node needs to have users.
SERVICES: tuple[type[Service], ...] = (
    SetupService,
    AuthService,
    UserService,
    OwnAccountService,
    SecondFactorService,
    RoleService,
    GroupService,
    DashboardService,
)
