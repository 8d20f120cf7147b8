"""Users, roles and groups of a node (PyGrid 0.5: ``.users``, ``.roles``, ``.groups``)."""

from __future__ import annotations

from typing import Any

from syft_ext.client.collection import Collection
from syft_ext.messages.accounts import (
    CreateGroup,
    CreateRole,
    CreateUser,
    DeleteGroup,
    DeleteRole,
    DeleteUser,
    GetGroup,
    GetRole,
    GetUser,
    GroupList,
    GroupView,
    ListGroups,
    ListRoles,
    ListUsers,
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
from syft_ext.messages.permissions import FLAGS

__all__ = ["Groups", "Roles", "Users"]

_PAGE = 1000


class Users(Collection[UserView]):
    """The people who have an account at this node."""

    title = "Users"
    headings = ("e-mail", "role", "groups", "disabled", "id")

    def all(self) -> list[UserView]:
        users: list[UserView] = []
        while True:
            page: UserList = self.client.call(ListUsers(offset=len(users), limit=_PAGE))
            users += page.users
            if not page.users or len(users) >= page.total:
                return users

    def search(self, email: str = "", role: str = "", group: str = "") -> list[UserView]:
        """Users whose e-mail contains ``email``, with that role, in that group (at most 1,000)."""
        page: UserList = self.client.call(SearchUsers(email=email, role=role, group=group, limit=_PAGE))
        return page.users

    def get(self, user_id: str) -> UserView:
        user: UserView = self.client.call(GetUser(user_id=user_id))
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
        user: UserView = self.client.call(UpdateUser(user_id=user_id, **changes))
        return user

    def delete(self, user_id: str) -> None:
        self.client.call(DeleteUser(user_id=user_id))

    def revoke(self, user_id: str) -> None:
        """End all sessions of a user and forget all his keys."""
        self.client.call(RevokeUser(user_id=user_id))

    def key(self, item: UserView) -> tuple[str, ...]:
        return (item.id, item.email)

    def row(self, item: UserView) -> tuple[Any, ...]:
        return (item.email, item.role, item.groups, "yes" if item.disabled else "", item.id)


class Roles(Collection[RoleView]):
    """What people may do here: each role carries some of the seven permission flags."""

    title = "Roles"
    headings = ("id", "name", "may")

    def all(self) -> list[RoleView]:
        reply: RoleList = self.client.call(ListRoles())
        return reply.roles

    def get(self, role_id: int) -> RoleView:
        role: RoleView = self.client.call(GetRole(role_id=role_id))
        return role

    def create(self, name: str, **flags: bool) -> RoleView:
        """Make a role; ``flags`` are those of :data:`syft_ext.messages.FLAGS`, among your own."""
        role: RoleView = self.client.call(CreateRole(name=name, **flags))
        return role

    def update(self, role_id: int, **changes: Any) -> RoleView:
        role: RoleView = self.client.call(UpdateRole(role_id=role_id, **changes))
        return role

    def delete(self, role_id: int) -> None:
        self.client.call(DeleteRole(role_id=role_id))

    def key(self, item: RoleView) -> tuple[str, ...]:
        return (str(item.id), item.name)

    def row(self, item: RoleView) -> tuple[Any, ...]:
        may = [flag.removeprefix("can_").replace("_", " ") for flag in FLAGS if getattr(item, flag)]
        return (item.id, item.name, may)


class Groups(Collection[GroupView]):
    """Groups of users."""

    title = "Groups"
    headings = ("name", "users", "id")

    def all(self) -> list[GroupView]:
        reply: GroupList = self.client.call(ListGroups())
        return reply.groups

    def get(self, group_id: str) -> GroupView:
        group: GroupView = self.client.call(GetGroup(group_id=group_id))
        return group

    def create(self, name: str, users: list[str] | None = None) -> GroupView:
        """Make a group of users (ids)."""
        group: GroupView = self.client.call(CreateGroup(name=name, users=users or []))
        return group

    def update(self, group_id: str, *, name: str | None = None, users: list[str] | None = None) -> GroupView:
        group: GroupView = self.client.call(UpdateGroup(group_id=group_id, name=name, users=users))
        return group

    def delete(self, group_id: str) -> None:
        self.client.call(DeleteGroup(group_id=group_id))

    def key(self, item: GroupView) -> tuple[str, ...]:
        return (item.id, item.name)

    def row(self, item: GroupView) -> tuple[Any, ...]:
        return (item.name, len(item.users), item.id)
