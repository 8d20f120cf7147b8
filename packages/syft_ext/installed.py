"""What installed packages bring by their entry points; the command and nodes ask for several groups as they start.

It imports nothing of Grid. Packages are read again only when some may have changed: it takes tens of milliseconds.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

__all__ = ["entry_points_of"]


def entry_points_of(group: str) -> list[EntryPoint]:
    """The entry points of this group that there are now."""
    found = _entry_points(tuple((folder, _changed(folder)) for folder in sys.path))
    return [point for point in found if point.group == group]


@lru_cache(maxsize=1)
def _entry_points(folders: tuple[tuple[str, int], ...]) -> list[EntryPoint]:
    """All that there are in these folders of Python's path, which were last changed then."""
    everything = entry_points()
    return [point for group in everything.groups for point in everything.select(group=group)]


def _changed(folder: str) -> int:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0
