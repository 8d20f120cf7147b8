"""The first thing a node's process does."""

from __future__ import annotations

__all__ = ["patch"]


def patch() -> None:
    """Make the standard library cooperative (gevent). Call before anything else is imported.

    ``ssl``, ``socket`` or ``threading`` imported earlier would keep blocking references; torch, HE and other
    heavy work belongs behind :func:`grid.concurrency.offload.offload` or into a process that never calls this.
    """
    from importlib import metadata

    from gevent import monkey

    # Of each of its 26 events gevent asks which installed packages want to hear of it, and reads all anew.
    read, found = metadata.entry_points, metadata.entry_points()
    metadata.entry_points = found.select
    try:
        monkey.patch_all()
    finally:
        metadata.entry_points = read
