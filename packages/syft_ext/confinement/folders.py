"""The empty folders of sandboxed processes: whose they are, and how those of the dead are found.

A folder's name says whose process made it, and a lock on it, which the kernel drops with that process, that it
lives. So what a killed one left is told from what runs, also from what runs in another container on the same disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

__all__ = ["claim_folders", "own_folder"]

_PREFIX = "grid-sandbox"
_tag = ""


def claim_folders(place: Path) -> int:
    """Say that the folders of this process are those of ``place``, which it alone has: a node's home.

    Removes what an earlier process there left behind; returns how many folders those were.
    """
    global _tag
    _tag = hashlib.sha256(str(place.absolute()).encode()).hexdigest()[:16]
    return _sweep(_tag)


def own_folder() -> tuple[str, int]:
    """A fresh empty folder, and the descriptor that holds its lock: to be closed once the folder is gone."""
    global _tag
    if not _tag:  # a notebook or a script: all of a user's have one name
        _tag = f"user{os.getuid()}"
        _sweep(_tag)
    making = tempfile.mkdtemp(prefix=f"{_PREFIX}ing-")  # nobody sweeps it before it is locked
    held = os.open(making, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        place = Path(making).rename(Path(making).with_name(f"{_PREFIX}-{_tag}-{secrets.token_hex(6)}"))
    except OSError:  # a disk without locks: the folder is never taken for a dead one's
        return making, held
    return str(place), held


def _sweep(tag: str) -> int:
    removed = 0
    with os.scandir(tempfile.gettempdir()) as entries:
        found = [entry.path for entry in entries if entry.name.startswith(f"{_PREFIX}-{tag}-")]
    for path in found:
        removed += _remove_if_dead(path)
    return removed


def _remove_if_dead(path: str) -> bool:
    try:
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone, a link, or somebody else's
        return False
    try:
        facts = os.fstat(held)
        if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            return False
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    except OSError:  # it is held: its process lives
        return False
    finally:
        os.close(held)
    return True
