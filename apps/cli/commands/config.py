"""``grid config``: a node's settings, and where each of them comes from."""

from __future__ import annotations

from pathlib import Path

import click

from apps.cli.home import home_of, resolve_settings
from apps.cli.kind_name import KindName
from apps.cli.output import format_option, print_rows

__all__ = ["COMMANDS", "config"]

COMMANDS = {
    "config": "A node's settings, and where each comes from.",
}


@click.group(help=COMMANDS["config"])
def config() -> None:
    pass


@config.command(
    "show",
    help="""Show the settings that a node of this KIND would start with.

\b
Later places win: defaults, HOME/grid.toml (or --config), GRID_* variables,
options of `start`. Secrets are never shown.

\b
Examples:
  grid config show domain --home ./hospital --origin
  GRID_PORT=8080 grid config show network --origin --format json
""",
)
@click.argument("kind", type=KindName())
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="The node's home.")
@click.option(
    "--config", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its file."
)
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@format_option
def show(kind: str, home: Path | None, file: Path | None, origin: bool, form: str) -> None:
    resolved = resolve_settings(kind, home_of(kind, home), file, {})
    rows = resolved.shown()
    if not origin:
        rows = [{name: value for name, value in row.items() if name != "origin"} for row in rows]
    columns = ("name", "value", *(("origin",) if origin else ()), "description")
    print_rows(rows, columns, form, empty="")
