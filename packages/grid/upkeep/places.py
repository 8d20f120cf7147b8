"""Where a backup lies: a folder that holds many and each content once, or one file that holds everything.

FOLDER/backup.json             how a passphrase becomes the key (:class:`grid.upkeep.sealing.Derivation`)
FOLDER/contents/NN/NAME        a sealed content; its name tells nothing of its digest
FOLDER/snapshots/TIME-ID       sealed records: everything else, and which contents go with it
FILE                           one line of JSON as in backup.json, then sealed records, the contents among them
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from grid.storage.blobs.disk import make_directory, put_if_absent, sync_directory
from grid.upkeep.sealing import Derivation, Key, SealedReader, SealedWriter, key_bytes, new_derivation
from syft_ext.errors import BadRequest, Conflict, NotFound
from syft_ext.ids import new_id

__all__ = ["ARCHIVE", "Folder", "Secret", "open_archive", "open_folder", "written"]

ARCHIVE = ".gridbackup"
"""What a path of one file ends with."""
_INDEX = "backup.json"
_SNAPSHOT, _CONTENT = "a snapshot", "a content"


class Secret(msgspec.Struct, frozen=True):
    """A passphrase, or the 32 bytes of a key."""

    value: bytes
    passphrase: bool
    strong: bool = True


class Folder:
    """A folder of backups that somebody with the key has opened."""

    def __init__(self, path: Path, key: Key) -> None:
        self.path, self.key = path, key
        self._contents, self._snapshots = path / "contents", path / "snapshots"

    def snapshots(self) -> list[str]:
        """Their names, the oldest first."""
        return sorted(each.name for each in self._snapshots.iterdir() if not each.name.endswith(".tmp"))

    def find(self, name: str) -> str:
        """The snapshot whose name begins so; the newest for "". Raises :class:`NotFound`, or :class:`Conflict`."""
        found = [each for each in self.snapshots() if each.startswith(name)]
        if not found:
            raise NotFound("there is no such snapshot in that backup")
        if name and len(found) > 1:
            raise Conflict(f"{len(found)} snapshots begin so: say more of the name")
        return found[-1]

    @contextmanager
    def snapshot(self, name: str) -> Iterator[SealedReader]:
        """A snapshot, to be read."""
        with (self._snapshots / name).open("rb") as file:
            yield SealedReader(file, self.key, f"{_SNAPSHOT}:{name}")

    @contextmanager
    def new_snapshot(self, name: str) -> Iterator[SealedWriter]:
        """A snapshot that is there, durably, when the block ends without an error."""
        with written(self._snapshots / name) as file:
            writer = SealedWriter(file, self.key, f"{_SNAPSHOT}:{name}")
            yield writer
            writer.close()

    def has(self, digest: str) -> bool:
        """Whether a content is here."""
        return self._file(digest).exists()

    def put(self, digest: str, write: Callable[[SealedWriter], None]) -> None:
        """Put a content here: durable once :meth:`settle` has returned."""
        path = self._file(digest)
        make_directory(path.parent)
        with written(path, settle=False) as file:
            writer = SealedWriter(file, self.key, f"{_CONTENT}:{digest}")
            write(writer)
            writer.close()

    def settle(self) -> None:
        """Make the names of all contents durable."""
        for folder in self._contents.iterdir():
            sync_directory(folder)
        sync_directory(self._contents)

    @contextmanager
    def content(self, digest: str) -> Iterator[SealedReader]:
        """A content, to be read. Raises :class:`NotFound`."""
        try:
            file = self._file(digest).open("rb")
        except FileNotFoundError:
            raise NotFound(f"the backup lacks the content {digest[:12]}", digest=digest) from None
        with file:
            yield SealedReader(file, self.key, f"{_CONTENT}:{digest}")

    def _file(self, digest: str) -> Path:
        name = self.key.name(digest)
        return self._contents / name[:2] / name


def open_folder(path: Path, secret: Secret, *, make: bool = False) -> Folder:
    """The folder of backups at ``path``. Raises :class:`BadRequest` for a wrong secret, :class:`Conflict` for a
    folder that holds other things, :class:`NotFound`."""
    index = path / _INDEX
    if make and not index.exists():
        if path.exists() and any(path.iterdir()):
            raise Conflict(f"{path} holds other things: back up into an empty folder, or one with backups")
        for each in (path, path / "contents", path / "snapshots"):
            make_directory(each)
        derivation, _ = new_derivation(secret.value, passphrase=secret.passphrase, strong=secret.strong)
        put_if_absent(index, msgspec.json.encode(derivation) + b"\n")
    try:
        text = index.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path} holds no backups") from None
    return Folder(path, _key(text, secret))


@contextmanager
def open_archive(path: Path, secret: Secret) -> Iterator[SealedReader]:
    """An archive, to be read."""
    with path.open("rb") as file:
        yield SealedReader(file, _key(file.readline(4096), secret), "the archive")


@contextmanager
def new_archive(path: Path, secret: Secret) -> Iterator[SealedWriter]:
    """An archive that is there when the block ends without an error. Raises :class:`Conflict` if it is there."""
    if path.exists():
        raise Conflict(f"{path} is there already")
    derivation, key = new_derivation(secret.value, passphrase=secret.passphrase, strong=secret.strong)
    with written(path) as file:
        file.write(msgspec.json.encode(derivation) + b"\n")
        writer = SealedWriter(file, key, "the archive")
        yield writer
        writer.close()


def _key(text: bytes, secret: Secret) -> Key:
    try:
        derivation = msgspec.json.decode(text, type=Derivation)
        bytes.fromhex(derivation.salt)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadRequest("this is no backup of a node, or its first line was changed") from error
    if derivation.format != "grid-backup-1":
        raise BadRequest("the backup has a format that this version does not know")
    return key_bytes(derivation, secret.value, passphrase=secret.passphrase)


@contextmanager
def written(path: Path, *, settle: bool = True) -> Iterator[BinaryIO]:
    """A file that has its name once all of it is on the disk; nothing is left of it where that fails."""
    temporary = path.with_name(f"{path.name}.{new_id()[:8]}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if settle:
        sync_directory(path.parent)
