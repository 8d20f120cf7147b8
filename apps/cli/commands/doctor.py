"""``grid doctor``: is this machine fit for a node, is its home in order, does the node answer?"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from apps.cli.home import URL_FILE, home_of, resolve_settings
from apps.cli.ice import ice_checks
from apps.cli.kind_name import KindName
from apps.cli.output import format_option, print_rows

if TYPE_CHECKING:
    from grid.config import NodeSettings

__all__ = ["COMMANDS", "doctor"]

COMMANDS = {
    "doctor": "Check this machine, a node's home, and a node.",
}

FOUND_SOMETHING = 7
MIN_DISK = 1 << 30
SLOW_FSYNC = 0.05
MAX_CLOCK_SKEW = 60.0
MIN_FILES = 1024

Finding = tuple[str, str]  # "ok", "warning" or "failed", and what was seen


@click.command(
    help="""Check this machine, a node's home, and a node.

\b
Every line is ok, warning or failed; the exit code is 7 if anything failed.

\b
Examples:
  grid doctor
  grid doctor --kind domain --home ./hospital
  grid doctor --url http://localhost:5001
"""
)
@click.option(
    "--kind", type=KindName(), default="domain", show_default=True,
    help="Which kind of node.",
)  # fmt: skip
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="The node's home.")
@click.option("--url", default="", help="A node that should answer. [default: the one that runs in the home]")
@format_option
def doctor(kind: str, home: Path | None, url: str, form: str) -> None:
    place = home_of(kind, home)
    settings: NodeSettings = resolve_settings(kind, place, None, {}).settings
    running = _locked(place)
    if running and not url and (place / URL_FILE).exists():
        url = (place / URL_FILE).read_text().strip()
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", _python),
        ("torch", _torch),
        ("sandbox", lambda: _sandbox(settings)),
        ("open files", _files),
        ("disk", lambda: _disk(place)),
        ("database", lambda: _database(place, settings)),
        ("contents", lambda: _contents(place, settings)),
        ("installation", lambda: _installation(kind, place, settings)),
        ("port", lambda: _port(settings, running)),
        *ice_checks(settings),
    ]
    if url:
        checks += [("node", lambda: _node(url)), ("clock", lambda: _clock(url))]
    rows = [_row(name, check) for name, check in checks]
    print_rows(rows, ("check", "result", "detail"), form, empty="")
    if any(row["result"] == "failed" for row in rows):
        raise click.exceptions.Exit(FOUND_SOMETHING)


def _row(name: str, check: Callable[[], Finding]) -> dict[str, str]:
    try:
        result, detail = check()
    except Exception as error:
        result, detail = "failed", f"{type(error).__name__}: {error}"
    return {"check": name, "result": result, "detail": detail}


def _locked(home: Path) -> bool:
    """Whether a node runs in this home."""
    from apps.runner import lock_home
    from syft_ext.errors import Conflict

    if not (home / "node.lock").exists():
        return False
    try:
        lock_home(home).close()
    except Conflict:
        return True
    return False


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return ("ok" if sys.version_info >= (3, 11) else "failed"), f"{version} (3.11 or newer is needed)"


def _torch() -> Finding:
    import torch

    wanted = torch.__version__.startswith("2.13.")
    threads, cores = torch.get_num_threads(), os.cpu_count() or 1
    detail = f"{torch.__version__}, {threads} threads on {cores} cores"
    if not wanted:
        return "warning", f"{detail}; plans are tested with 2.13"
    return ("ok" if threads <= cores else "warning"), detail


def _sandbox(settings: NodeSettings) -> Finding:
    from syft_ext.confinement.gate import Gate

    gate = Gate(permissive=settings.sandbox == "permissive")
    if refusal := gate.refusal():
        return "failed", refusal
    import torch

    from syft_ext.plans import make_plan
    from syft_ext.plans.sandbox.sandbox import PlanSandbox

    @make_plan
    def total(x: torch.Tensor = torch.ones(3)) -> torch.Tensor:  # noqa: B008 - a plan's example input
        return x.sum()

    with PlanSandbox(seconds=30.0, permissive=gate.permissive) as sandbox:
        begun = time.perf_counter()
        result = sandbox.run(total, [torch.tensor([1.0, 2.0, 4.0])])
        seconds = time.perf_counter() - begun
        protections = sandbox.protections
    if float(result) != 7.0:
        return "failed", f"1 + 2 + 4 is {float(result)} in it"
    detail = f"started and ran a plan in {seconds:.1f} s; confined by {', '.join(protections) or 'nothing'}"
    if warning := gate.warning():
        return "warning", f"{detail}; {warning}"
    return "ok", detail


def _files() -> Finding:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MIN_FILES:
        return "warning", f"at most {hard}: so many clients a node can have, about"
    return "ok", "no limit" if hard == resource.RLIM_INFINITY else f"up to {hard}"


def _disk(home: Path) -> Finding:
    place = next(each for each in (home, *home.parents) if each.exists())
    free = shutil.disk_usage(place).free
    with tempfile.NamedTemporaryFile(dir=place) as file:
        times = []
        for _ in range(10):
            file.write(b"x" * 4096)
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begun)
    sync = statistics.median(times)
    detail = f"{free / 2**30:.1f} GiB free at {place}, a sync takes {sync * 1e3:.1f} ms"
    if free < MIN_DISK:
        return "failed", detail
    return ("warning" if sync > SLOW_FSYNC else "ok"), detail


def _database(home: Path, settings: NodeSettings) -> Finding:
    from grid.storage.sql.database import Database

    file = home / "node.db"
    if not settings.database_url and not file.exists():
        return "ok", "none yet: it is made at the first start"
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    import grid.schema.migrations as migrations

    db = Database(settings.database_url or f"sqlite:///{file}")
    try:
        db.ping()
        with db.engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
            newest = ScriptDirectory.from_config(migrations.config(connection)).get_current_head()
    finally:
        db.close()
    detail = f"{db.dialect}, revision {present or 'none'} of {newest}"
    if present == newest:
        return "ok", detail
    if present is None or (newest is not None and present < newest):
        return "warning", f"{detail}: brought up to date at the next start"
    return "failed", f"{detail}: it was made by a newer Grid than this one"


def _contents(home: Path, settings: NodeSettings) -> Finding:
    from apps.assembly import open_contents
    from syft_ext.errors import NotFound

    where = settings.contents or "in the home"
    try:
        store = open_contents(home, settings.contents or None, make=False)
    except NotFound:
        return "ok", f"{where}: none yet, they are made at the first start"
    store.check()
    return "ok", f"{where}: they can be used"


def _installation(kind: str, home: Path, settings: NodeSettings) -> Finding:
    """Whether database, contents and home belong together."""
    from apps.assembly import inspect_installation
    from syft_ext.errors import GridError

    if not home.exists() and not settings.database_url and not settings.contents:
        return "ok", "none yet: it is made at the first start"
    try:
        return "ok", inspect_installation(
            kind, home, settings.database_url or None, settings.contents or None
        )
    except GridError as error:
        return "failed", f"{error.detail} [{error.code}]"


def _port(settings: NodeSettings, running: bool) -> Finding:
    if running:
        return "ok", "the node runs"
    if settings.port == 0:
        return "ok", "any free one"
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            return "failed", f"{settings.host}:{settings.port}: {error.strerror}"
    return "ok", f"{settings.host}:{settings.port} is free"


def _node(url: str) -> Finding:
    from syft_ext.transport import Connection, open_transport

    metadata = Connection(open_transport(url)).metadata()
    checks = _readiness(url)
    wrong = [f"{name}: {result}" for name, result in checks.items() if result != "ok"]
    detail = f"{metadata.kind} {metadata.name}, version {metadata.version}, id {metadata.node_id}"
    if wrong:
        return "failed", f"{detail}; {'; '.join(wrong)}"
    return ("ok" if metadata.configured else "warning"), (
        detail if metadata.configured else f"{detail}; nobody owns it yet"
    )


def _readiness(url: str) -> dict[str, str]:
    """What the node says of its own checks, reached as its messages are."""
    import json
    from urllib.parse import urlsplit

    from syft_ext.transport.http_connection import HTTPConnection
    from syft_ext.transport.proxies import environment_dial
    from syft_ext.transport.reasons import tls_context

    parts = urlsplit(url)
    secure, host = parts.scheme == "https", parts.hostname or ""
    context = tls_context(None) if secure else None
    port = parts.port or (443 if secure else 80)
    connection = HTTPConnection(host, port, context, 10.0, environment_dial(secure=secure))
    try:
        head = f"GET /readyz HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n\r\n"
        response = connection.exchange(head.encode("ascii"), (), 10.0)
        body = b"".join(iter(lambda: response.read(1 << 16), b""))
    finally:
        connection.close()
    found: dict[str, str] = json.loads(body).get("checks", {})
    return found


def _clock(url: str) -> Finding:
    from syft_ext.errors import ExpiredMessage
    from syft_ext.transport import Connection, open_transport

    begun = time.time()
    try:
        theirs = Connection(open_transport(url)).metadata().time
    except ExpiredMessage as error:  # so far off that the node refuses our messages; it says its time
        theirs = float(error.extra["time"])
    skew = theirs - (begun + time.time()) / 2
    detail = f"{abs(skew):.1f} s {'behind' if skew > 0 else 'before'} the node's"
    return ("ok" if abs(skew) < MAX_CLOCK_SKEW else "failed"), detail
