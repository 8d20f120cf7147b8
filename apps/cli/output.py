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
from rich.cells import cell_len

from apps.secrets import take_secret
from syft_ext.display.layout import laid_out, terminal_width, wrapped
from syft_ext.readable import readable
from syft_ext.units import scaled

__all__ = [
    "ago",
    "draw",
    "explain",
    "format_option",
    "print_done",
    "print_record",
    "print_rows",
    "print_text",
    "say",
    "say_json",
    "secret",
]

F = TypeVar("F", bound=Callable[..., Any])

#: Fields of messages that hold moments, bytes and seconds, beside those whose ending says so.
_MOMENTS = frozenset({"last_seen", "at"})
_BYTES = frozenset({"size", "received", "memory", "max_size", "model_size"})
_SECONDS = frozenset({"seconds", "expires_in"})

FAILED, USAGE, NOT_ALLOWED, NOT_FOUND, CONFLICT, UNREACHABLE = 1, 2, 3, 4, 5, 6
_CODES = {
    401: NOT_ALLOWED,
    403: NOT_ALLOWED,
    404: NOT_FOUND,
    409: CONFLICT,
    503: UNREACHABLE,
    504: UNREACHABLE,
}


def say(text: str, *, lines: bool = False, err: bool = False) -> None:
    """Print a line, or ``lines``. What a stranger wrote in it is shown, and does not act: all that commands print
    for people comes through here."""
    click.echo(readable(text, lines=lines), err=err)


def draw(picture: str) -> None:
    """Print blocks and colours of our own making, such as a QR code; no text of others is in it."""
    click.echo(picture)


def say_json(document: Any, *, one_line: bool = False) -> None:
    """Print ``document`` as JSON, exact to whoever decodes it and harmless to whoever looks at it."""
    written = json.dumps(document, indent=None if one_line else 2, default=_plain)
    click.echo(written.replace("\x7f", "\\u007f"))


def explain(error: Exception) -> int:
    """Say on standard error what went wrong; the exit code. Unknown errors keep their traceback."""
    from syft_ext.errors import Ambiguous, GridError
    from syft_ext.messages.vocabulary import SCOPES

    if isinstance(error, OSError):
        say(f"error: {error}", err=True)
        return FAILED
    if not isinstance(error, GridError):
        raise error
    say(f"error: {error} [{error.code}]", lines=True, err=True)  # its text is readable: of a node, one line
    asked, scope = error.extra.get("id"), error.extra.get("scope")
    if error.status == 403 and isinstance(asked, str) and scope in SCOPES:
        say(f"ask its owner: grid requests create {asked} --scope {scope} --reason …", err=True)
    return USAGE if isinstance(error, Ambiguous) else _CODES.get(error.status, FAILED)


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
        say_json([dict(row) for row in rows])
        return
    if not rows:
        say(empty)
        return
    cells = [[_heading(column) for column in columns]]
    cells += [[_shown(column, row.get(column)) for column in columns] for row in rows]
    for line in laid_out(cells, terminal_width()):
        say(line)


def print_record(record: Mapping[str, Any], form: str) -> None:
    """One thing: its fields below each other, or as a JSON object."""
    if form == "json":
        say_json(dict(record))
        return
    names = [_heading(name).lower() for name in record]
    wide, width = max(map(len, names), default=0), terminal_width()
    for name, (field, value) in zip(names, record.items(), strict=True):
        shown = _shown(field, value)
        lines = [shown] if width is None else wrapped(shown, max(width - wide - 2, 20))
        for number, line in enumerate(lines):
            say(f"{'' if number else name:{wide}}  {line}".rstrip())


def print_text(text: str) -> None:
    """Lines of text; those that are wider than the terminal are broken between words."""
    width = terminal_width()
    for line in text.splitlines():
        for part in [line] if width is None or cell_len(line) <= width else wrapped(line, width):
            say(part)


def print_done(said: str | Sequence[str], form: str, **facts: Any) -> None:
    """That something was done: a line or several, or a JSON object of the first and of ``facts``."""
    lines = [said] if isinstance(said, str) else list(said)
    if form == "json":
        say_json({"result": lines[0], **facts})
        return
    for line in lines:
        say(line)


def _heading(name: str) -> str:
    return readable(name.replace("_", " ")).upper()


def _shown(name: str, value: Any) -> str:
    """A cell for people: moments and amounts by the names that fields of messages have for them."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return _cell(value)
    if name.endswith("_at") or name in _MOMENTS:
        return ago(value)
    if name.endswith("_bytes") or name in _BYTES:
        return scaled(round(value), "B")
    if name.endswith(("_seconds", "_lifetime")) or name in _SECONDS:
        return _duration(value)
    return _cell(value)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return " ".join(f"{_cell(key)}={_cell(item)}" for key, item in value.items()) or "-"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(readable(str(item)) for item in value) or "-"
    return readable(str(value))


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def ago(moment: float | None) -> str:
    """How long ago, or in what time, in words. ``moment`` is seconds since the epoch; None and 0 are never."""
    if not moment:
        return "never"
    seconds = time.time() - moment
    text, ahead = f"{abs(seconds):.0f} s", seconds < -0.5
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= size:
            text = f"{abs(seconds) / size:.0f} {unit}"
            break
    return f"in {text}" if ahead else f"{text} ago"


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
        return take_secret(variable)
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
