"""``grid <kind> start``: run a node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apps.cli.home import home_of, resolve_settings
from apps.kinds import NodeApp

if TYPE_CHECKING:
    from grid.config import NodeSettings

__all__ = ["StartCommand", "given"]

_START_HELP = """Run a {title} until SIGTERM or Ctrl-C.

\b
The home directory holds all of its state and remembers the options of its
starts: starting again needs --home only. Every option can also stand in
HOME/grid.toml or in a variable GRID_<OPTION>, which count before what is
remembered; `grid config show {kind}` says which one counts. When the node
serves, it prints one line, `ready http://...`, on standard output.

\b
Examples:
{examples}
"""


class StartCommand(click.Command):
    """``start``, with one option per setting: made when it is used, because the settings have types to read."""

    def __init__(self, app: NodeApp) -> None:
        kind = app.kind
        help_text = _START_HELP.format(title=kind.title, kind=kind.command, examples=app.examples)
        super().__init__("start", callback=self._run, help=help_text, short_help=f"Run a {kind.title}.")
        self.app = app

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """An option for each setting of the kind, read when somebody looks."""
        settings = _setting_options(self.app.settings_class())
        return [*_place_options(), *settings, *super().get_params(ctx)]

    def _run(self, home: Path | None, config: Path | None, **flags: Any) -> None:
        from apps.runner import run

        kind = self.app.kind.name
        place = home_of(kind, home)
        run(resolve_settings(kind, place, config, given(flags)), place, config)


def _place_options() -> list[click.Option]:
    return [
        click.Option(
            ["--home"],
            type=click.Path(file_okay=False, path_type=Path),
            help="Directory of the node's state. [default: $GRID_HOME, or a folder among your own data]",
        ),
        click.Option(
            ["--config"],
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar="GRID_CONFIG",
            help="TOML file with settings. [default: HOME/grid.toml if it exists]",
        ),
    ]


def _setting_options(settings: type[NodeSettings]) -> list[click.Option]:
    from grid.config import setting_fields

    options, fields = [], setting_fields(settings)
    for field in fields.values():
        if field.secret:
            continue
        name = field.name.replace("_", "-")
        help_text = f"{field.description} [default: {_shown(field.default)}]"
        if field.type is bool:
            option = click.Option([f"--{name}/--no-{name}", field.name], default=None, help=help_text)
        elif field.is_list:
            one = _singular(name)
            names = [f"--{name}", field.name]
            if one.replace("-", "_") not in fields:  # `--host` is the address to listen on
                names.insert(0, f"--{one}")
            option = click.Option(names, multiple=True, help=f"{help_text} Can be repeated.")
        elif field.choices:
            choice = click.Choice(field.choices)
            option = click.Option([f"--{name}", field.name], type=choice, default=None, help=help_text)
        else:
            option = click.Option([f"--{name}", field.name], type=field.type, default=None, help=help_text)
        options.append(option)
    return options


def _singular(name: str) -> str:
    """``trusted-proxies``: ``trusted-proxy``; ``classes``: ``class``; ``hosts``: ``host``."""
    if name.endswith("ies"):
        return name.removesuffix("ies") + "y"
    return name.removesuffix("es") if name.endswith("sses") else name.removesuffix("s")


def _shown(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default or "none")


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags that were on the command line."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in flags.items()
        if value is not None and value != ()
    }
