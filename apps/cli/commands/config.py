"""``grid config``: a node's settings, and where each of them comes from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from apps.cli.home import REMEMBERED, home_of, remembered, resolve_settings
from apps.cli.kind_name import KindName
from apps.cli.output import format_option, print_done, print_rows

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
Later places win: defaults, options of earlier starts, HOME/grid.toml (or
--config), GRID_* variables, options of `start`. Secrets are never shown.

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


@config.command(
    "forget",
    help="""Forget options that earlier starts of the node in HOME had: all of them, or each NAME.

The next start takes the default, or what stands elsewhere.
""",
)
@click.argument("names", nargs=-1)
@click.option(
    "--home", type=click.Path(file_okay=False, path_type=Path), required=True, help="The node's home."
)
@format_option
def forget(names: tuple[str, ...], home: Path, form: str) -> None:
    from syft_ext.profile.home import write_private

    known = remembered(home)
    wanted = [name.removeprefix("--").replace("-", "_") for name in names] or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise click.UsageError(f"not remembered: {', '.join(unknown)}; {', '.join(known) or 'nothing'} is")
    kept = {name: value for name, value in known.items() if name not in wanted}
    write_private(home / REMEMBERED, json.dumps(kept, indent=2).encode())
    print_done(f"forgotten: {', '.join(wanted) or 'nothing'}", form)
