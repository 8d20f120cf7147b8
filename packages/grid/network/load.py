"""How busy this machine is, from the kernel's own figures (Linux); empty where they do not exist."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["machine_load"]


def machine_load() -> dict[str, float]:
    """``cpu``: runnable tasks per core over the last minute, at most 1; ``memory``: share in use, 0 to 1."""
    result: dict[str, float] = {}
    try:
        result["cpu"] = min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        lines = Path("/proc/meminfo").read_text().splitlines()
        figures = {name: float(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
        result["memory"] = 1.0 - figures["MemAvailable"] / figures["MemTotal"]
    except (OSError, KeyError, ValueError, IndexError):
        pass
    return result
