"""What many threads at work on pieces of bodies leave behind, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import sys, threading
from grid.web.http.memory import return_freed_memory

def resident():
    with open("/proc/self/status") as status:
        return int(status.read().split("RssAnon:")[1].split()[0])

if not return_freed_memory():
    sys.exit(77)
kept = []
gate = threading.Barrier(16)

def work():
    gate.wait()
    for _ in range(20):
        pieces = [b"x" * (300 << 10) for _ in range(4)]
        kept.append(bytearray(2000))  # something small that lives longer, next to them
        del pieces
    gate.wait()

before = resident()
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident() - before)
"""


def test_freed_pieces_go_back_to_the_system() -> None:
    result = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=240)
    if result.returncode == 77:
        pytest.skip("the C library has no mallopt")
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 6 << 10  # KiB; 19 MB were alive at a time
