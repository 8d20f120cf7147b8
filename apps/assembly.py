"""A node put together: its identity, database, contents and audit log, opened once and handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from grid import schema
from grid.audit.log import AuditLog
from grid.node import Node, Service
from grid.storage.blobs.interface import BlobStore
from grid.storage.blobs.registry import file_url, open_store
from grid.storage.sql.database import Database
from syft_ext.clock import Clock, SystemClock
from syft_ext.identity import Identity

__all__ = ["open_contents", "open_node"]


def open_node(
    kind: str,
    home: Path,
    name: str,
    services: Sequence[Callable[[Node], Service]],
    *,
    address: str = "",
    database_url: str | None = None,
    contents_url: str | None = None,
    clock: Clock | None = None,
) -> Node:
    """A node whose state is in ``home``, its tables up to date, not started.

    Args:
        kind: which kind of node it is.
        home: the directory that holds all of the node's state; made for its owner only (0700).
        name: how people call it.
        services: makers of the services it offers (a service class is one); called in this order.
        address: the URL under which others reach it, when it is known.
        database_url: PostgreSQL or SQLite URL; SQLite inside ``home`` when None.
        contents_url: where contents are (:mod:`grid.storage.blobs.registry`); files inside ``home`` when None.

    Raises :class:`InvalidConfig` for a URL of either that is none, :class:`Unavailable` when it cannot be reached.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    clock = clock or SystemClock()
    identity = Identity.load_or_create(home / "node.key")
    contents = open_contents(home, contents_url)
    database = Database(database_url or f"sqlite:///{home / 'node.db'}")
    schema.upgrade(database)
    contents.sweep()
    return Node(
        kind,
        home,
        name,
        services,
        identity=identity,
        database=database,
        contents=contents,
        journal=AuditLog(identity, database, home, clock),
        clock=clock,
        address=address,
    )


def open_contents(home: Path, url: str | None, *, make: bool = True) -> BlobStore:
    """The store of contents of the node in ``home``. ``make``: it is made if it is not there."""
    return open_store(url or file_url(home / "blobs"), make=make)
