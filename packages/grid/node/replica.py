"""What distinguishes the processes that share one node's database: each has a home of its own."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from syft_ext.ids import is_id, new_id

__all__ = ["replica_name"]


def replica_name(home: Path) -> str:
    """The name of the process whose home this is: made up once, the same after every restart.

    A home is locked by the one process that runs in it, so nobody else has this name, nor writes it.
    """
    path = home / "replica"
    with suppress(FileNotFoundError):
        name = path.read_text()
        if is_id(name):  # else a power cut came before its first sync
            return name
    name = new_id()
    temporary = path.with_name("replica.tmp")
    with temporary.open("w") as file:
        file.write(name)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return name
