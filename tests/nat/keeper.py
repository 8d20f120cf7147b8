"""Removes the namespaces of a bed when whoever made it is gone, however that went.

python -m tests.nat.keeper NAME …        until standard input ends
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

__all__ = ["remove"]


def remove(names: list[str]) -> None:
    """End what runs in these namespaces, and remove them."""
    deadline = time.monotonic() + 10
    while (left := [pid for name in names for pid in _inside(name)]) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for name in names:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _inside(name: str) -> list[int]:
    found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split() if int(line) != os.getpid()]


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whoever ends the tests by these means all of them but this
    sys.stdin.buffer.read()
    remove(sys.argv[1:])
