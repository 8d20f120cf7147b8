"""Where a node that keeps a line connects its end of one caller's connection, when its hub asks it to."""

from __future__ import annotations

__all__ = ["PATH"]

PATH = "/tunnel"
"""At the hub, before the tunnel's name."""
