"""How far the database of a store of contents had come, in a file beside the store's id."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from grid.storage.blobs.disk import close, replace_file
from syft_ext.errors import InvalidConfig

__all__ = ["read_reached", "write_reached"]


def read_reached(path: Path) -> tuple[str, int] | None:
    """The database's id and its epoch; None if nothing was noted yet. Raises :class:`InvalidConfig` for a file
    that holds neither."""
    try:
        database_id, epoch = path.read_text().split()
        return database_id, int(epoch)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InvalidConfig(f"{path.name} in the store of contents cannot be read") from error


def write_reached(path: Path, database_id: str, epoch: int, anew: bool) -> tuple[str, int]:
    """As :meth:`grid.storage.blobs.interface.BlobStore.reached`; several processes may do it at once."""
    fd = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        stays = None if anew else read_reached(path)
        if stays is None or (stays[0] == database_id and stays[1] < epoch):
            replace_file(path, f"{database_id} {epoch}\n".encode())
            stays = database_id, epoch
        return stays
    finally:
        close(fd)
