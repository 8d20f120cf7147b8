"""People of a node: set-up, login, users, roles, groups, settings (PyGrid 0.5, Domain routes 1.1-1.4).

Keys, sessions and one-time codes are in :mod:`syft_ext.messages.own_account`.

Every field of a request says what is wanted; who wants it comes from the verified key or token. No
operation stores, takes or returns a private key: those stay on their owners' machines.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Id, Limit, Name, Offset, Words
from syft_ext.messages.operation import COLUMNS_BODY, Empty, Message, Reply, operation
from syft_ext.messages.permissions import ANYONE, USER, flag

_TEXT = r"^[^\x00]*$"

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=254, pattern=_TEXT)]
Password = Annotated[str, msgspec.Meta(max_length=1024, pattern=_TEXT)]
Code = Annotated[str, msgspec.Meta(max_length=64, pattern=_TEXT)]
Seconds = Annotated[float, msgspec.Meta(ge=60, le=366 * 86400)]
RoleId = Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]

Users = Annotated[list[Id], msgspec.Meta(max_length=10000)]
Groups = Annotated[list[Name], msgspec.Meta(max_length=1000)]
Flag = Literal[
    "can_triage_requests",
    "can_edit_settings",
    "can_create_users",
    "can_create_groups",
    "can_edit_roles",
    "can_manage_infrastructure",
    "can_upload_data",
    "can_host_trainings",
]
Flags = Annotated[list[Flag], msgspec.Meta(max_length=64)]

_TRIAGE = flag("can_triage_requests")
_USERS = flag("can_create_users")
_GROUPS = flag("can_create_groups")
_ROLES = flag("can_edit_roles")
_SETTINGS = flag("can_edit_settings")


class UserView(Reply):
    """A user as others see them.

    Attributes:
        role: name of the role.
        flags: the permission flags that their role and their groups carry.
        groups: names of the groups they belong to.
        verify_keys: public keys that they logged in with or registered; a message signed by one is theirs.
        totp: whether their login asks for a one-time code.
        created_at: seconds since the epoch.
    """

    id: str
    email: str
    role: str
    flags: list[str]
    groups: list[str]
    verify_keys: list[str]
    disabled: bool
    created_at: float
    totp: bool = False


class UserList(Reply):
    """``total`` counts all matches; ``users`` is the page that was asked for, by e-mail."""

    users: list[UserView]
    total: int


class LoginReply(Reply):
    """A login. ``token`` is good until ``expires_at`` (seconds since the epoch), at this node only.

    ``bound`` says that the token is good only in messages signed by the key that logged in.
    """

    token: str
    expires_at: float
    bound: bool
    user: UserView


class RoleView(Reply):
    """A role and its flags. ``seed`` roles came with the node: not renamed, not deleted."""

    id: int
    name: str
    seed: bool
    can_triage_requests: bool
    can_edit_settings: bool
    can_create_users: bool
    can_create_groups: bool
    can_edit_roles: bool
    can_manage_infrastructure: bool
    can_upload_data: bool
    can_host_trainings: bool = False


class RoleList(Reply):
    """All roles, in the order in which they were made."""

    roles: list[RoleView]


class GroupView(Reply):
    """A group; ``users`` are user ids, ``flags`` what membership permits beside one's role."""

    id: str
    name: str
    users: list[str]
    flags: list[str] = []


class GroupList(Reply):
    """All groups, by name."""

    groups: list[GroupView]


class SettingsView(Reply):
    """The node's settings.

    Attributes:
        node_name: how people call the node.
        allow_user_signup: whether strangers may make themselves an account (role "User").
        session_lifetime: seconds that a token is good for after a login.
        key_lifetime: seconds after their last login that a user's key alone identifies them; 0: never.
        require_totp: whether permission flags count only for those whose login asks for a one-time code.
    """

    node_name: str
    allow_user_signup: bool
    session_lifetime: float
    key_lifetime: float
    require_totp: bool = False


class SetupStatus(Reply):
    """What a newcomer must know: is there an owner, and may they sign up?"""

    node_name: str
    configured: bool
    allow_user_signup: bool


# -- set-up --------------------------------------------------------------------------------------------


@operation("setup.status", rest="GET /setup/status", reply=SetupStatus, permission=ANYONE)
class GetSetupStatus(Message):
    """Whether the node has its owner yet."""


@operation("setup.create_owner", rest="POST /setup", reply=UserView, permission=ANYONE, status=201)
class CreateOwner(Message):
    """Become the owner of a fresh node, with its first settings. Possible exactly once.

    ``node_name`` "" keeps the name that the node was started with.
    """

    email: Email
    password: Password
    node_name: Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00]*$")] = ""
    allow_user_signup: bool = False
    session_lifetime: Seconds = 3600.0


@operation("settings.get", rest="GET /settings", reply=SettingsView, permission=_SETTINGS)
class GetSettings(Message):
    """The node's settings."""


@operation("settings.update", rest="PATCH /settings", reply=SettingsView, permission=_SETTINGS)
class UpdateSettings(Message):
    """Change settings; what is None stays. They act at once. ``require_totp`` is the owner's to change."""

    node_name: Name | None = None
    allow_user_signup: bool | None = None
    session_lifetime: Seconds | None = None
    key_lifetime: Annotated[float, msgspec.Meta(ge=0, le=366 * 86400)] | None = None
    require_totp: bool | None = None


# -- login ---------------------------------------------------------------------------------------------


@operation("auth.login", rest="POST /auth/login", reply=LoginReply, permission=ANYONE)
class Login(Message):
    """Log in with e-mail and password; get a short-lived token.

    In a signed message the token is bound to the signing key, and that key becomes one of the user's.
    ``totp`` is the one-time code of the user's device, or one of their recovery codes, where their account
    asks for it: without it the answer is the error ``totp-required``.
    """

    email: Email
    password: Password
    totp: Code = ""


@operation("auth.logout", rest="POST /auth/logout", permission=USER)
class Logout(Message):
    """End this session: its token, and the key it is bound to, are good no more."""


@operation("auth.revoke", rest="POST /auth/revoke", permission=USER)
class RevokeSessions(Message):
    """End all your own sessions and forget all your keys."""


@operation("auth.revoke_user", rest="POST /users/{user_id}/revoke", permission=_USERS)
class RevokeUser(Message):
    """End all sessions of a user and forget all their keys."""

    user_id: Id


@operation("auth.reset_totp", rest="POST /users/{user_id}/reset-totp", permission=_USERS)
class ResetTotp(Message):
    """Forget a user's one-time codes, because they lost their device; their sessions and keys end."""

    user_id: Id


# -- users ---------------------------------------------------------------------------------------------


@operation("users.sign_up", rest="POST /users/sign-up", reply=UserView, permission=ANYONE, status=201)
class SignUp(Message):
    """Make yourself an account with the role "User", where the settings allow it."""

    email: Email
    password: Password


@operation("users.create", rest="POST /users", reply=UserView, permission=_USERS, status=201)
class CreateUser(Message):
    """Make an account for somebody, with a role and groups that carry no flag which you lack."""

    email: Email
    password: Password
    role: Name = "User"
    groups: Groups = []


@operation("users.list", rest="GET /users", reply=UserList, permission=_TRIAGE)
class ListUsers(Message):
    """All users, by e-mail."""

    offset: Offset = 0
    limit: Limit = 100


@operation("users.search", rest="POST /users/search", reply=UserList, permission=_TRIAGE, audited=False)
class SearchUsers(Message):
    """Users whose e-mail contains ``email``, with that role name, in the group of that name."""

    email: Words = ""
    role: Words = ""
    group: Words = ""
    offset: Offset = 0
    limit: Limit = 100


@operation("users.me", rest="GET /users/me", reply=UserView, permission=USER)
class GetMe(Message):
    """Your own account."""


@operation("users.get", rest="GET /users/{user_id}", reply=UserView, permission=_TRIAGE)
class GetUser(Message):
    """One user."""

    user_id: Id


@operation("users.change_email", rest="PUT /users/me/email", reply=UserView, permission=USER)
class ChangeEmail(Message):
    """Change your own e-mail; ``password`` is the one you have."""

    email: Email
    password: Password


@operation("users.change_password", rest="PUT /users/me/password", permission=USER)
class ChangePassword(Message):
    """Change your own password. All your other sessions and keys end."""

    password: Password
    new_password: Password


@operation("users.update", rest="PATCH /users/{user_id}", reply=UserView, permission=_USERS)
class UpdateUser(Message):
    """Change somebody else's account; what is None stays.

    Refused for the owner, for yourself (see ``users.change_password``), and wherever the user's role or one
    of their groups, before or after, carries a flag that you lack. A new password, or ``disabled``, ends
    their sessions.
    """

    user_id: Id
    email: Email | None = None
    password: Password | None = None
    role: Name | None = None
    groups: Groups | None = None
    disabled: bool | None = None


@operation("users.delete", rest="DELETE /users/{user_id}", permission=_USERS)
class DeleteUser(Message):
    """Delete somebody else's account; what they own stays. The owner's cannot be deleted."""

    user_id: Id


# -- roles ---------------------------------------------------------------------------------------------


@operation("roles.create", rest="POST /roles", reply=RoleView, permission=_ROLES, status=201)
class CreateRole(Message):
    """Make a role; its flags must be among your own."""

    name: Name
    can_triage_requests: bool = False
    can_edit_settings: bool = False
    can_create_users: bool = False
    can_create_groups: bool = False
    can_edit_roles: bool = False
    can_manage_infrastructure: bool = False
    can_upload_data: bool = False
    can_host_trainings: bool = False


@operation("roles.list", rest="GET /roles", reply=RoleList, permission=_TRIAGE)
class ListRoles(Message):
    """All roles."""


@operation("roles.get", rest="GET /roles/{role_id}", reply=RoleView, permission=_TRIAGE)
class GetRole(Message):
    """One role."""

    role_id: RoleId


@operation("roles.update", rest="PUT /roles/{role_id}", reply=RoleView, permission=_ROLES)
class UpdateRole(Message):
    """Change a role; what is None stays. It acts at the next call of everybody who has the role.

    Refused for the role "Owner", for your own role, and where the role, before or after, has a flag that
    you lack.
    """

    role_id: RoleId
    name: Name | None = None
    can_triage_requests: bool | None = None
    can_edit_settings: bool | None = None
    can_create_users: bool | None = None
    can_create_groups: bool | None = None
    can_edit_roles: bool | None = None
    can_manage_infrastructure: bool | None = None
    can_upload_data: bool | None = None
    can_host_trainings: bool | None = None


@operation("roles.delete", rest="DELETE /roles/{role_id}", permission=_ROLES)
class DeleteRole(Message):
    """Delete a role that nobody has. Seed roles stay."""

    role_id: RoleId


# -- groups --------------------------------------------------------------------------------------------


@operation(
    "groups.create",
    rest="POST /groups",
    reply=GroupView,
    permission=_GROUPS,
    status=201,
    max_fields=COLUMNS_BODY,
)
class CreateGroup(Message):
    """Make a group of users (ids). Its ``flags``, which must be among your own, become theirs at once."""

    name: Name
    users: Users = []
    flags: Flags = []


@operation("groups.list", rest="GET /groups", reply=GroupList, permission=_GROUPS)
class ListGroups(Message):
    """All groups, by name."""


@operation("groups.get", rest="GET /groups/{group_id}", reply=GroupView, permission=_GROUPS)
class GetGroup(Message):
    """One group."""

    group_id: Id


@operation(
    "groups.update",
    rest="PUT /groups/{group_id}",
    reply=GroupView,
    permission=_GROUPS,
    max_fields=COLUMNS_BODY,
)
class UpdateGroup(Message):
    """Change a group's name, who belongs to it, or what it permits; what is None stays. It acts at once.

    Refused where the group, before or after, carries a flag that you lack; where somebody who comes or
    goes has one (or is the owner); and where it would change your own powers. A group that carries no
    flag, before and after, is a list of names: whoever may make groups changes it.
    """

    group_id: Id
    name: Name | None = None
    users: Users | None = None
    flags: Flags | None = None


@operation("groups.delete", rest="DELETE /groups/{group_id}", reply=Empty, permission=_GROUPS)
class DeleteGroup(Message):
    """Delete a group; its users stay. Refused as ``groups.update`` is."""

    group_id: Id
