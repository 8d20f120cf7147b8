"""A node put together: its identity, database, contents and audit log, opened once and handed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from apps.kinds import app_of
from grid import schema
from grid.access import restored as grants
from grid.audit.log import AuditLog
from grid.catalogue import restored as ledgers
from grid.concurrency.job_queues import open_jobs
from grid.confidential import restored as rounds
from grid.config import NodeSettings
from grid.governance.intersections import restored as intersections
from grid.governance.rules import restored as rules
from grid.installation.adopt import Adoption, adopt, look
from grid.installation.claim import Installation
from grid.installation.service import InstallationService
from grid.key_host import restored as key_hosts
from grid.node import Node, NodeKind, Principal, Service
from grid.node.plan_processes import PlanProcesses
from grid.privacy.budget import restored as budgets
from grid.storage.blobs.interface import BlobStore
from grid.storage.blobs.registry import file_url, open_store
from grid.storage.objects.checked import CheckedContents
from grid.storage.sql.database import Database
from grid.upkeep.restoring import check_finished
from syft_ext.clock import Clock, SteadyClock, SystemClock
from syft_ext.confinement.gate import Gate
from syft_ext.errors import NotFound
from syft_ext.identity import Identity

__all__ = [
    "adopt_installation",
    "inspect_installation",
    "open_contents",
    "open_installation",
    "open_node",
]

#: What puts right what was spent, in a database that was restored.
PUT_RIGHT = (
    grants.put_right,
    budgets.put_right,
    ledgers.put_right,
    rules.put_right,
    intersections.put_right,
    key_hosts.put_right,
    rounds.put_right,
)
QUARANTINE, QUARANTINE_SIZE = NodeSettings().quarantine, NodeSettings().quarantine_size


def open_node(
    kind: NodeKind | str,
    home: Path,
    name: str,
    services: Sequence[Callable[[Node], Service]],
    *,
    address: str = "",
    database_url: str | None = None,
    contents_url: str | None = None,
    jobs: str = "local:",
    clock: Clock | None = None,
    gate: Gate | None = None,
    plan_processes: PlanProcesses | None = None,
    quarantine: float = QUARANTINE,
    quarantine_size: int = QUARANTINE_SIZE,
) -> Node:
    """A node whose state is in ``home``, its tables up to date, not started.

    Args:
        kind: which kind of node it is; the name of one that ``apps/kinds.py`` has will do.
        home: the directory that holds all of the node's state; made for its owner only (0700).
        name: how people call it; as its kind when empty.
        services: makers of the services it offers (a service class is one); called in this order,
            after that of the epochs, which everything that is tidied waits for.
        address: the URL under which others reach it, when it is known.
        database_url: PostgreSQL or SQLite URL; SQLite inside ``home`` when None.
        contents_url: where contents are (:mod:`grid.storage.blobs.registry`); files inside ``home`` when None.
        jobs: URL of the queue of background work (:mod:`grid.concurrency.job_queues`).
        gate: whether what strangers bring may run here; only where it is confined, by default.
        plan_processes: where it checks and runs plans.
        quarantine: seconds that deleted contents wait. quarantine_size: bytes of those that somebody deleted.

    Raises :class:`InvalidConfig` for a URL of these that is none, :class:`Unavailable` when it cannot be reached,
    and a refusal if database, contents and home do not belong together (:meth:`Installation.check`).
    """
    kind = app_of(kind).kind if isinstance(kind, str) else kind
    check_finished(home)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = clock or SteadyClock()
    queue = open_jobs(jobs, clock)
    installation = open_installation(kind.name, home, database_url, contents_url, clock)
    identity, database = installation.identity, installation.database
    try:
        installation.check_owner()  # before its tables are touched
        schema.upgrade(database)
        installation.claim()
    except BaseException:
        database.close()
        raise
    installation.contents.sweep()
    contents = CheckedContents(installation.contents, database, clock)
    log = AuditLog(identity, database, home, contents, clock)
    installation.vouched, installation.checkpoints_moved = lambda: log.vouched, log.begin_file_anew
    waits = installation.contents.quarantine
    if waits is not None:
        # By the node's clock: one that is set forward by a week must not end what waits for a week.
        waits.grace, waits.most, waits.clock = quarantine, quarantine_size, clock
    return Node(
        kind,
        home,
        name or kind.name,
        [partial(InstallationService, installation=installation), *services],
        identity=identity,
        database=database,
        contents=contents,
        journal=log,
        jobs=queue,
        clock=clock,
        address=address,
        gate=gate,
        plan_processes=plan_processes,
    )


def open_installation(
    kind: str, home: Path, database_url: str | None, contents_url: str | None, clock: Clock | None = None
) -> Installation:
    """Identity, database and contents of the node in ``home``, not checked, the database's tables as they are."""
    return Installation(
        kind,
        Identity.load_or_create(home / "node.key"),
        home,
        Database(database_url or f"sqlite:///{home / 'node.db'}"),
        open_contents(home, contents_url),
        clock or SystemClock(),
        PUT_RIGHT,
    )


def inspect_installation(kind: str, home: Path, database_url: str | None, contents_url: str | None) -> str:
    """What a start would find, in words; raises the refusal that it would raise. Nothing is made or changed."""
    with ExitStack() as stack:
        empty = Path(stack.enter_context(TemporaryDirectory()))  # stands in for what a start would make
        key = home / "node.key"
        identity = Identity.load_or_create(key if key.exists() else empty / "node.key")
        file = home / "node.db"
        database = Database(database_url or f"sqlite:///{file if file.exists() else empty / 'node.db'}")
        stack.callback(database.close)
        try:
            contents = open_contents(home, contents_url, make=False)
        except NotFound:
            contents = open_contents(empty, None)
        installation = Installation(kind, identity, home, database, contents, SystemClock())
        if not database_url and not file.exists():
            schema.upgrade(database)
        elif not installation.is_current():
            return "not claimed yet: that is done when the tables are brought up to date"
        installation.check()
        if installation.knows_restores():
            installation.check_waiting()
        row = installation.row()
        if row is None or row.epoch == 0:
            return "not claimed yet: that is done at the first start"
        return f"database {row.database_id}, contents {row.store_id}, both of node {identity.node_id}"


def adopt_installation(
    kind: str,
    home: Path,
    database_url: str | None,
    contents_url: str | None,
    agree: Callable[[Adoption], bool],
) -> Path | None:
    """Go on with the database that is there, once ``agree`` has seen what that means; the folder of what was put
    aside, None if it was not agreed to. Raises as :func:`grid.installation.adopt.look` does."""
    clock = SystemClock()
    installation = open_installation(kind, home, database_url, contents_url, clock)
    database = installation.database
    try:
        installation.check_owner()
        schema.upgrade(database)
        if not agree(look(installation)):
            return None
        quarantine = home / "quarantine" / time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(clock.now()))
        done = adopt(installation, quarantine)
        log = AuditLog(installation.identity, database, home, installation.contents, clock)
        detail: dict[str, str | int | float | bool] = {
            "reason": done.reason.code,
            "contents": done.contents,
            "uploads": done.uploads,
            "bytes": done.size,
        }
        log.record(Principal("node", id=installation.identity.node_id), "installation.adopt", detail=detail)
        log.close()
        return quarantine
    finally:
        database.close()


def open_contents(home: Path, url: str | None, *, make: bool = True) -> BlobStore:
    """The store of contents of the node in ``home``. ``make``: it is made if it is not there."""
    return open_store(url or file_url(home / "blobs"), make=make)
