"""The services of roles and groups: what people may do here."""

from __future__ import annotations

from grid.accounts.managers import AccountService, changed_fields
from grid.node import Context, handles
from syft_ext.messages import FLAGS, Empty
from syft_ext.messages import accounts as m

__all__ = ["GroupService", "RoleService"]


class RoleService(AccountService):
    """The operations on roles; who may change which is :class:`RoleManager`'s to say."""

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
        ctx.note(role=message.role_id, changed=changed_fields(message))
        return self._managers.roles.update(ctx.principal, message.role_id, message.name, flags)

    @handles(m.DeleteRole)
    def delete(self, ctx: Context, message: m.DeleteRole) -> Empty:
        ctx.note(role=message.role_id)
        self._managers.roles.delete(ctx.principal, message.role_id)
        return Empty()


class GroupService(AccountService):
    """The operations on groups; who may change which is :class:`GroupManager`'s to say."""

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
        ctx.note(group=message.group_id, changed=changed_fields(message))
        return self._managers.groups.update(
            ctx.principal, message.group_id, message.name, message.users, message.flags
        )

    @handles(m.DeleteGroup)
    def delete(self, ctx: Context, message: m.DeleteGroup) -> Empty:
        ctx.note(group=message.group_id)
        self._managers.groups.delete(ctx.principal, message.group_id)
        return Empty()
