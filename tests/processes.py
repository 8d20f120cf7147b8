"""The processes under a process."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import psutil

__all__ = ["descendants"]


def descendants(pid: int) -> list[psutil.Process]:
    """All that it has started and that is there, and what these have started.

    psutil leaves out a child that is older than its parent, and reckons both ages from when the machine booted,
    which it asks for anew each time, in whole seconds: where the clock is corrected between the two, a child of
    the first second seems to be older, and all below it is missing.
    """
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of a program stands in parentheses, and may have some itself.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):  # it has ended
            continue
        children[parent].append(int(stat.parent.name))
    found, waiting = [], list(children[pid])
    while waiting:
        each = waiting.pop()
        waiting += children[each]
        try:
            found.append(psutil.Process(each))
        except psutil.NoSuchProcess:
            continue
    return found
