"""What the commands print: tables for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["ago", "explain", "format_option", "print_record", "print_rows", "secret"]

F = TypeVar("F", bound=Callable[..., Any])

FAILED, NOT_ALLOWED, NOT_FOUND, CONFLICT, UNREACHABLE = 1, 3, 4, 5, 6
_CODES = {
    401: NOT_ALLOWED,
    403: NOT_ALLOWED,
    404: NOT_FOUND,
    409: CONFLICT,
    503: UNREACHABLE,
    504: UNREACHABLE,
}


def explain(error: Exception) -> int:
    """Say on standard error what went wrong; the exit code. Unknown errors keep their traceback."""
    from syft_ext.errors import GridError

    if isinstance(error, OSError):
        click.echo(f"error: {error}", err=True)
        return FAILED
    if not isinstance(error, GridError):
        raise error
    click.echo(f"error: {error.detail} [{error.code}]", err=True)
    return _CODES.get(error.status, FAILED)


def format_option(command: F) -> F:
    """The option ``--format``."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json"]),
        default="table",
        help="For people or programs.",
    )(command)


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], form: str, *, empty: str) -> None:
    """Rows as a table of ``columns``, or all of them as a JSON list."""
    if form == "json":
        click.echo(json.dumps([dict(row) for row in rows], indent=2, default=_plain))
        return
    if not rows:
        click.echo(empty)
        return
    cells = [[column.upper().replace("_", " ") for column in columns]]
    cells += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_record(record: Mapping[str, Any], form: str) -> None:
    """One thing: its fields below each other, or as a JSON object."""
    if form == "json":
        click.echo(json.dumps(dict(record), indent=2, default=_plain))
        return
    width = max(map(len, record), default=0)
    for name, value in record.items():
        moment = isinstance(value, float) and (name.endswith("_at") or name == "last_seen")
        shown = ago(value) if moment else _cell(value)
        click.echo(f"{name.replace('_', ' ').ljust(width)}  {shown}")


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_cell(item)}" for key, item in value.items()) or "-"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "-"
    # What a stranger wrote must not move the cursor of whoever lists it.
    return "".join(char if char.isprintable() else "?" for char in str(value))


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def ago(moment: float | None) -> str:
    """How long ago, in words. ``moment`` is seconds since the epoch."""
    if moment is None:
        return "never"
    seconds = max(0.0, time.time() - moment)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def secret(variable: str, file: str | None, prompt: str, *, confirm: bool = False) -> str:
    """A password: from ``--…-file``, ``$VARIABLE``, ``$VARIABLE_FILE``, or typed unseen at a terminal.

    Never from the command line, and never asked for where nobody can answer.
    """
    path = file or os.environ.get(f"{variable}_FILE")
    if path:
        try:
            return Path(path).read_text().strip("\r\n")
        except OSError as error:
            raise click.UsageError(f"the password file cannot be read: {error.strerror}") from error
    if variable in os.environ:
        return os.environ[variable]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            f"no password: set {variable} or {variable}_FILE, or run this in a terminal to be asked for it"
        )
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))


def address_text(value: str, variable: str, prompt: str) -> str:
    """An e-mail address or the like: given, from the environment, or asked for at a terminal."""
    if value or os.environ.get(variable):
        return value or os.environ[variable]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"no e-mail: give --email or set {variable}")
    return str(click.prompt(prompt, err=True))
