"""The services of people: login and users here, the others in their own modules; :data:`SERVICES` lists all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grid.accounts.events import UserDisabled
from grid.accounts.managers import PASSWORDS, AccountService, changed_fields
from grid.accounts.own_account import OwnAccountService, SecondFactorService
from grid.accounts.roles_and_groups import GroupService, RoleService
from grid.accounts.setup import SetupService
from grid.accounts.throttle import Subject
from grid.accounts.turns import Turns
from grid.node import Context, Principal, Service, handles
from grid.node.networks import network_of
from syft_ext.errors import Forbidden, TotpRequired, Unauthenticated
from syft_ext.messages import Empty
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


#: Kinds of subject that many people share.
_SHARED = ("remote", "teller")
#: One for the process, as the hashing that it guards.
TURNS = Turns()


class AuthService(AccountService):
    """Login and what follows from it: vouches for the tokens and the keys of users."""

    token_kind = "user"  # noqa: S105 - the kind of a token, not a token

    def principal_of_token(self, claims: Mapping[str, Any]) -> Principal:
        return self._managers.sessions.of_token(claims)

    def principal_of_key(self, verify_key: str) -> Principal | None:
        return self._managers.sessions.of_key(verify_key)

    @handles(m.Login)
    def login(self, ctx: Context, message: m.Login) -> m.LoginReply:
        throttle = self._managers.throttle
        subjects = self._counted(ctx, message.email)
        throttle.admit(*subjects)
        try:
            with TURNS.turn(network_of(ctx.remote)):
                user_id, token, expires_at = self._managers.sessions.open(
                    message.email,
                    message.password,
                    ctx.principal.verify_key,
                    code=message.totp,
                    remote=ctx.remote,
                )
        except Unauthenticated as error:
            # Only names of ours: what people type into the wrong field (passwords, too) is not kept.
            if email := self._managers.users.email_of(message.email):
                ctx.note(email=email)
            # Half a login is no guess: a whole office may log in in two steps.
            if isinstance(error, TotpRequired) and not message.totp:
                throttle.succeeded(*(subject for subject in subjects if subject.kind in _SHARED))
            raise
        throttle.succeeded(*subjects)
        self._managers.origins.remember(user_id, ctx.remote)
        user = self._managers.users.get(user_id)
        ctx.note(user_id, email=user.email)
        return m.LoginReply(
            token=token, expires_at=expires_at, bound=bool(ctx.principal.verify_key), user=user
        )

    def _counted(self, ctx: Context, email: str) -> list[Subject]:
        """What an attempt counts for: where its user is known, for nothing that strangers can fill."""
        origins, known_as = self._managers.origins, email.strip().casefold()
        if origins.knows_device(known_as, ctx.principal.verify_key):
            return [Subject.device(email, ctx.principal.verify_key)]
        own = Subject.login(email, ctx.remote)
        if origins.knows_network(known_as, ctx.remote):
            return [own]
        return [own, Subject.strangers(email), Subject.remote(ctx.remote), Subject.teller(ctx.remote)]

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
    """The operations on accounts: sign-up, and what administrators do with the accounts of others."""

    @handles(m.SignUp)
    def sign_up(self, ctx: Context, message: m.SignUp) -> m.UserView:
        settings = self._managers.settings.load()
        if settings is None or not settings.allow_user_signup:
            raise Forbidden("this node takes no sign-ups; ask its owner for an account")
        self._managers.throttle.admit(Subject.sign_up(ctx.remote), Subject.teller(ctx.remote, "sign-up"))
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
        ctx.note(user=message.user_id, changed=changed_fields(message))
        view = self._managers.users.update(ctx.principal, message)
        if message.disabled:
            self._tell_disabled(message.user_id)
        return view

    @handles(m.DeleteUser)
    def delete(self, ctx: Context, message: m.DeleteUser) -> Empty:
        ctx.note(user=message.user_id)
        self._managers.users.delete(ctx.principal, message.user_id)
        self._tell_disabled(message.user_id)
        return Empty()

    def _tell_disabled(self, user_id: str) -> None:
        self.node.events.publish(UserDisabled(user_id))


#: What a node needs to have users.
SERVICES: tuple[type[Service], ...] = (
    SetupService,
    AuthService,
    UserService,
    OwnAccountService,
    SecondFactorService,
    RoleService,
    GroupService,
)
