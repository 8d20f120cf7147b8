"""The first thing a node's process does."""

from __future__ import annotations

__all__ = ["patch"]


def patch() -> None:
    """Make the standard library cooperative (gevent). Call before anything else is imported.

    ``ssl``, ``socket`` or ``threading`` imported earlier would keep blocking references; torch, HE and other
    heavy work belongs behind :func:`grid.concurrency.offload.offload` or into a process that never calls this.
    """
    from gevent import monkey

    monkey.patch_all()
