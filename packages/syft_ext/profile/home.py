"""The user's own folder: private key, known nodes and kept sessions. Nothing in it leaves the machine."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import platformdirs

from syft_ext.errors import BadRequest
from syft_ext.identity import Identity

__all__ = ["locked", "read_json", "settled", "user_home", "user_identity", "write_private"]

T = TypeVar("T")


def user_home() -> Path:
    """``$GRID_USER_HOME``, or the platform's folder for user data; made for its owner only (0700)."""
    home = Path(os.environ.get("GRID_USER_HOME") or platformdirs.user_data_dir("grid"))
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return home


def user_identity() -> Identity:
    """The user's key pair, made at first use."""
    return Identity.load_or_create(user_home() / "user.key")


def write_private(path: Path, data: bytes) -> None:
    """Replace ``path`` as a whole; only its owner can read it (0600)."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path, kind: type[T], empty: T) -> T:
    """The typed content of a JSON file; ``empty`` when there is no file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return empty
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadRequest(f"{path.name} in your Grid folder is damaged ({error}); move it away") from error


def settled(folder: Path) -> None:
    """Have the names in ``folder`` on disk, with what was replaced in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Read, change and write ``path`` without another process in between."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
