"""The kind of a node as an option or argument of a command."""

from __future__ import annotations

from typing import Any

import click

from apps.kinds import apps

__all__ = ["KindName"]


class KindName(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A kind of node that there is; looked up when somebody names one.

    Args:
        with_owner: only a kind whose nodes have an owner.
    """

    name = "kind"

    def __init__(self, *, with_owner: bool = False) -> None:
        self._with_owner = with_owner

    def _names(self) -> list[str]:
        return [app.kind.name for app in apps() if app.kind.has_owner or not self._with_owner]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The kinds that there are."""
        return f"[{'|'.join(self._names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is such a kind; else a usage error that lists them."""
        names = self._names()
        if value not in names:
            self.fail(f"{value!r} is no kind of node here; there are: {', '.join(names)}", param, ctx)
        return str(value)
