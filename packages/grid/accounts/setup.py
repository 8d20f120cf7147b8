"""The first owner, and the settings."""

from __future__ import annotations

from grid.accounts.managers import AccountService, changed_fields
from grid.accounts.tables import NodeSetup
from grid.node import Context, Node, handles
from syft_ext.errors import Conflict
from syft_ext.messages import accounts as m

__all__ = ["SetupService"]


class SetupService(AccountService):
    """The first owner, and the settings."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._started_as = node.name
        self._configured = False
        self._apply(self._managers.settings.load())

    def _apply(self, row: NodeSetup | None) -> None:
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
        ctx.note(changed=changed_fields(message))
        return self._view(self._managers.settings.update(ctx.principal, message))

    def _view(self, row: NodeSetup) -> m.SettingsView:
        self._apply(row)
        return m.SettingsView(
            node_name=self.node.name,
            allow_user_signup=row.allow_user_signup,
            session_lifetime=row.session_lifetime,
            key_lifetime=row.key_lifetime,
            require_totp=row.require_totp,
        )
