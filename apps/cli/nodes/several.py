"""``grid worker start-each``: several Workers with one command, each on data of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import click

from apps.cli.home import home_of
from apps.cli.output import FAILED, say

__all__ = ["start_each"]

_STOP_SECONDS = 20.0


@click.command(
    "start-each",
    short_help="Run several Workers, one for each --data.",
    context_settings={"ignore_unknown_options": True},
    help="""Run a Worker for each --data until Ctrl-C: its name is the file's, its home HOME/NAME.

\b
What else stands on the line goes to each of them: see `grid worker start --help`.
When one ends, all do.

\b
Example:
  grid worker start-each --domain http://localhost:5000 --data north.csv --data south.csv \\
      --target diagnosis --trust domain --home ./workers
""",
)
@click.option(
    "--data",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Data of one.",
)
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="Where their homes are.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def start_each(files: tuple[Path, ...], home: Path | None, options: tuple[str, ...]) -> None:
    names = [file.stem for file in files]
    if len({*names}) < len(names):
        raise click.UsageError("two of the files have one name, and so would their Workers")
    if any(option == "--port" or option.startswith(("--port=", "--name")) for option in options):
        raise click.UsageError("each has a name and a port of its own: leave out --name and --port")
    place = home_of("worker", home)
    running: list[subprocess.Popen[str]] = []
    ended = threading.Event()
    for asked in (signal.SIGTERM, signal.SIGHUP):  # they have sessions of their own: nobody else ends them
        signal.signal(asked, lambda number, frame: ended.set())
    try:
        for name, file in zip(names, files, strict=True):
            given = ["--home", str(place / name), "--name", name, "--data", str(file), "--port", "0"]
            running.append(_start(name, [*given, *options], ended))
        ended.wait()
    finally:
        codes = _end(running)
    if any(codes):
        raise click.exceptions.Exit(FAILED)


def _start(name: str, arguments: list[str], ended: threading.Event) -> subprocess.Popen[str]:
    process = subprocess.Popen(  # noqa: S603 - options of whoever runs this, for the same command
        [sys.executable, "-m", "apps.cli", "worker", "start", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for this process, which then ends them in order
    )
    assert process.stdout is not None
    threading.Thread(target=_relay, args=(name, process.stdout, ended), daemon=True).start()
    return process


def _relay(name: str, lines: IO[str], ended: threading.Event) -> None:
    with lines:
        for line in lines:
            say(f"{name}: {line.rstrip()}")
            sys.stdout.flush()
    ended.set()  # it closed its output: it is gone, or goes


def _end(running: list[subprocess.Popen[Any]]) -> list[int]:
    """Stop what still runs; how each ended, where it was not we who stopped it."""
    codes = [process.poll() or 0 for process in running]
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in running:
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return codes
