"""The settings of a node (``client.settings``) and its counters (``client.dashboard()``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from syft_ext.display.table import Table, fields_table
from syft_ext.messages.accounts import GetSettings, SettingsView, UpdateSettings
from syft_ext.messages.dashboard import Dashboard

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["Counters", "Settings"]


class Settings:
    """A node's settings, as they are when you ask for them."""

    def __init__(self, client: Caller) -> None:
        self.client = client
        self.view: SettingsView = client.call(GetSettings())

    @property
    def node_name(self) -> str:
        return self.view.node_name

    @property
    def allow_user_signup(self) -> bool:
        """Whether people may make themselves an account."""
        return self.view.allow_user_signup

    @property
    def session_lifetime(self) -> float:
        """Seconds."""
        return self.view.session_lifetime

    @property
    def key_lifetime(self) -> float:
        """Seconds."""
        return self.view.key_lifetime

    @property
    def require_totp(self) -> bool:
        """Whether permissions count only for those whose login asks for a one-time code."""
        return self.view.require_totp

    def update(self, **changes: Any) -> Settings:
        """Change settings; they act at once. ``domain.settings.update(allow_user_signup=True)``"""
        self.view = self.client.call(UpdateSettings(**changes))
        return self

    def table(self) -> Table:
        """Every setting with its value."""
        return fields_table(
            f"Settings of {self.client.name}", list(msgspec.structs.asdict(self.view).items())
        )

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Counters:
    """How much there is of what; ``view`` has the numbers."""

    def __init__(self, client: Caller, view: Dashboard) -> None:
        self._name, self.view = client.name, view

    def table(self) -> Table:
        """The counters that this kind of node has."""
        rows: list[tuple[str, Any]] = []
        for name, value in msgspec.structs.asdict(self.view).items():
            label = name.replace("_", " ")
            if isinstance(value, dict):
                rows.append(
                    (label, [f"{count} {state}" for state, count in value.items() if count] or "none")
                )
            elif value is not None:
                rows.append((label, value))
        return fields_table(f"Dashboard of {self._name}", rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
