"""``grid <kind> acknowledge-restore`` and ``grid <kind> status``: how a node is, and a restored database."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apps.cli.output import format_option, print_done, print_record, say
from grid.kinds import NodeKind

if TYPE_CHECKING:
    from syft_ext.messages.installation import RestoreView

__all__ = ["acknowledge_command", "status_command"]

_home = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="The node's home, on this machine: the node may be running or not.",
)
_url = click.option(
    "--url", default="", help="The running node. [default: the one that you are logged in to]"
)
Call = Callable[[Any], Any]


def acknowledge_command(kind: NodeKind) -> click.Command:
    """``grid <kind> acknowledge-restore``."""

    @click.command(
        "acknowledge-restore",
        short_help="Go on with a restored database.",
        help=f"""Say that the {kind.title}'s database was restored on purpose.

\b
Until then nothing that is counted is spent (grants with a number of uses, budgets,
ledgers of tables, quotas of rules), nothing is swept, and trainings wait. What was
spent since the copy was made stays spent: by the record beside the contents, or,
where that lacks something, all that is left.

\b
Examples:
  grid {kind.command} acknowledge-restore            says what is known, and asks
  grid {kind.command} acknowledge-restore --home ./{kind.command} --yes
""",
    )
    @_home
    @_url
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @format_option
    def acknowledge(home: Path | None, url: str, yes: bool, form: str) -> None:
        from syft_ext.errors import Conflict
        from syft_ext.messages.installation import AcknowledgeRestore, GetRestore

        with _node(kind, home, url) as call:
            view = call(GetRestore())
            if not view.waiting:
                raise Conflict("no restore waits to be acknowledged")
            for line in _told(view):
                say(line, err=True)
            if not yes:
                if not sys.stdin.isatty():
                    raise click.UsageError("say --yes, or run this in a terminal to be asked")
                if not click.confirm("Go on with this database?", err=True):
                    print_done("nothing was changed", form, acknowledged=False)
                    return
            done = call(AcknowledgeRestore())
        print_done(
            f"acknowledged; {done.spent} grants, budgets, ledgers and rules were put right",
            form,
            acknowledged=True,
            spent=done.spent,
        )

    return acknowledge


def status_command(kind: NodeKind) -> click.Command:
    """``grid <kind> status``."""

    @click.command(
        "status",
        short_help="How a node is: its checks, a restore that waits.",
        help=f"""How the {kind.title} is: what /readyz says, and whether its database was restored.

The exit code is 1 if something is wrong.
""",
    )
    @_home
    @_url
    @format_option
    @click.pass_context
    def status(ctx: click.Context, home: Path | None, url: str, form: str) -> None:
        from syft_ext.messages.installation import GetRestore

        with _node(kind, home, url) as call:
            view: RestoreView = call(GetRestore())
            checks = call(None)
        record = dict(checks["checks"])
        for number, warning in enumerate(checks.get("warnings", [])):
            record[f"warning {number + 1}"] = warning
        record["restore"] = "; ".join(_told(view)) if view.waiting else "none waits"
        print_record({"status": checks["status"], **record}, form)
        if checks["status"] != "ready" or view.waiting:
            ctx.exit(1)

    return status


def _told(view: RestoreView) -> list[str]:
    """What is known of a restore, for people."""
    from apps.cli.output import ago

    lines = [view.reason or "a backup was restored"]
    if view.known.entry >= 0:
        lines.append(
            f"the audit log that is there ends with entry {view.database.entry} ({ago(view.database.at)}); "
            f"entries up to {view.known.entry} ({ago(view.known.at)}) were seen"
        )
    if view.complete:
        lines.append(f"what was spent in between is known: {view.spent} grants, budgets, ledgers and rules")
    else:
        lines.append(
            "what was spent in between is not known, so all that is left counts as spent: "
            f"{view.spent} grants, budgets, ledgers and rules. Their owners may give anew"
        )
    return lines


@contextmanager
def _node(kind: NodeKind, home: Path | None, url: str) -> Iterator[Call]:
    """Calls operations of the node; of None, what its /readyz says."""
    if home is not None and url:
        raise click.UsageError("--url and --home exclude each other")
    if home is None:
        from apps.cli.client import open_client

        with open_client(url, kind.name) as client:
            yield lambda message: _readyz(client.address) if message is None else client.call(message)
        return
    from apps.cli.home import URL_FILE, home_of
    from apps.runner import lock_home
    from syft_ext.errors import Conflict

    place = home_of(kind.name, home)
    try:
        lock = lock_home(place)
    except Conflict:
        from apps.cli.client import open_client, open_own_node

        address = (place / URL_FILE).read_text().strip()
        if kind.has_owner:
            with open_client(address, kind.name) as client:
                yield lambda message: _readyz(address) if message is None else client.call(message)
        else:
            with closing(open_own_node(place)) as worker:
                yield lambda message: _readyz(address) if message is None else worker.call(message)
        return
    with lock, _offline(kind, place) as call:
        yield call


def _offline(kind: NodeKind, home: Path) -> AbstractContextManager[Call]:
    """The node in ``home`` does not run: its owner is whoever holds the home."""

    @contextmanager
    def opened() -> Iterator[Call]:
        from apps.cli.home import resolve_settings
        from apps.runner import build
        from grid.node import Context, Principal
        from syft_ext.messages import FLAGS

        node = build(kind.name, home, resolve_settings(kind.name, home, None, {}))
        owner = Principal("user", node.id, node.identity.verify_key, "operator", "Owner", frozenset(FLAGS))

        def call(message: Any) -> Any:
            if message is None:
                checks, warnings = node.health()
                ready = all(result == "ok" for result in checks.values())
                return {
                    "status": "ready" if ready else "not ready",
                    "checks": checks,
                    "warnings": warnings,
                }
            return node.dispatch(Context(owner), message)

        node.journal.start()
        try:
            yield call
        finally:
            node.stop()

    return opened()


def _readyz(address: str) -> Any:
    import urllib3

    from syft_ext.transport.address import NodeAddress

    where = NodeAddress.parse(address).http  # says so where there is no such page
    return urllib3.request("GET", f"{where}/readyz", timeout=10.0, retries=False).json()
