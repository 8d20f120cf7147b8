"""The local provider by itself: leases, long paths, and what is half there."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path

from grid.environments.local import LocalProvider
from syft_ext.messages.environments import InstanceType

SMALL = InstanceType(
    name="small", provider="local", threads=1, memory=64 << 20, cpu_seconds=600, seconds=600.0
)
ID = "e" * 32


def test_it_waits_for_its_node_and_ends_by_itself(tmp_path: Path) -> None:
    """In a folder whose path is longer than that of a Unix socket may be."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    provider = LocalProvider(folder, 1.5)
    handle = provider.create(ID, SMALL)
    status = provider.status(ID, handle)
    assert status.alive and status.cpu_seconds > 0.1 and status.memory > 100 << 20
    assert set(provider.running()) == {ID}
    place = folder / ID / "host.sock"
    assert stat.S_ISSOCK(place.stat().st_mode) and place.stat().st_mode & 0o077 == 0
    time.sleep(2)  # longer than the lease: a connection of ours holds it
    assert provider.status(ID, handle).alive

    provider.close()
    other = LocalProvider(folder, 1.5)  # another life of the node adopts it
    assert other.status(ID, handle).alive
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(60)
        channel.connect(str(other.endpoint(ID, handle)))
        assert channel.recv(1)
    other.close()
    deadline = time.monotonic() + 60
    while provider.status(ID, handle).alive and time.monotonic() < deadline:
        provider.close()  # looking holds it
        time.sleep(2)
    status = provider.status(ID, handle)
    assert (status.alive, status.reason) == (False, "nobody was connected to it for its lease")
    provider.destroy(ID, handle)
    provider.destroy(ID, handle)
    assert set(provider.running()) == set() and not (folder / ID).exists()
    assert not [name for name in os.listdir("/proc/self/fd") if _leads_to(name, folder)]


def _leads_to(descriptor: str, folder: Path) -> bool:
    try:
        return str(folder) in os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return False
