"""Nodes of tests whose compute hosts are there in milliseconds: their nurseries are forked from one process that
has imported torch, instead of importing it each, which takes four seconds of processor time.

A forked nursery runs what a real one runs, and confines and ends its hosts as that does. Nodes with a nursery of
their own, as deployed, are what ``tests/compute`` has.
"""

from __future__ import annotations

from typing import Any

from grid.compute import hosts
from grid.compute.hosts import ChildHosts
from syft_ext.confinement import nursery
from syft_ext.confinement.child import CHILD_SOCKET, FOLDER
from syft_ext.confinement.nursery import NurseryChild

__all__ = ["HOSTS", "OWN", "have_warm_hosts", "own_nursery"]

HOSTS = "grid.compute.host"
OWN = "TEST_OWN_HOSTS"
"""In the environment of a forked node: it has a nursery of its own."""
own_nursery = ChildHosts._ready
"""How a deployed node starts its nursery."""


def have_warm_hosts() -> None:
    """From now on the nodes of this process take their nurseries from one of this process."""
    nursery._REST_SECONDS = 3600.0  # it does not rest between tests: it would import all again
    ChildHosts._ready = _ready  # type: ignore[method-assign]


def _ready(self: ChildHosts) -> Any:
    arguments = ["--nursery", str(CHILD_SOCKET), "--directory", FOLDER, "--memory", str(self._memory)]
    arguments += ["--threads", str(self._threads), *(["--permissive"] if self._permissive else [])]
    child = NurseryChild(HOSTS, arguments)
    child.socket.settimeout(hosts._START_SECONDS)
    if not child.born() or child.socket.recv(1) != b"R":
        child.kill()
        raise OSError("the nursery ended at once")
    self._nursery = child  # type: ignore[assignment]
    return child
