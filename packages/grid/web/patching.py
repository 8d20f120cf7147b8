"""The first thing a node's process does."""

from __future__ import annotations

import sys

__all__ = ["patch"]

SWITCH = 0.0005
"""Seconds for which a real thread may keep the interpreter to itself while the event loop wants it.

Python's own 5 ms would be added to each of the several steps of an upload that runs beside the loop.
"""


def patch() -> None:
    """Make the standard library cooperative (gevent). Call before anything else is imported.

    ``ssl``, ``socket`` or ``threading`` imported earlier would keep blocking references; torch, HE and
    other heavy work belongs behind :func:`grid.offload.offload` or into a process that never calls this.
    """
    from gevent import monkey

    monkey.patch_all()
    sys.setswitchinterval(SWITCH)
