"""Sealed updates as they are sent: whole on disk before the first byte leaves, and sent again from there.

A sealing that did not come to its end leaves nothing that is ever sent: the next one draws another content
key, so that no key seals two contents. One round has one upload.
"""

from __future__ import annotations

import mmap
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec
from blake3 import blake3

from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.manifest import Declaration
from syft_ext.confidential.sealing import Place, Sealing
from syft_ext.confidential.uploads import UploadStatement
from syft_ext.errors import ContentCorrupt, InvalidStatement, OfferRefused
from syft_ext.identity import Identity
from syft_ext.profile.home import user_home

__all__ = ["SealedOutbox", "StoredUpload"]

_BLOB, _UPLOAD, _UNFINISHED = "blob", "upload", ".unfinished-"
Buffer = bytes | bytearray | memoryview


class _Kept(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    declaration: bytes
    erase_at: int


class StoredUpload:
    """One sealed update on this disk.

    Attributes:
        declaration: what its participant says of it, signed.
    """

    def __init__(self, folder: Path, kept: _Kept) -> None:
        self._path = folder / _BLOB
        self.declaration = Declaration.decode(kept.declaration)

    @property
    def upload(self) -> UploadStatement:
        """What was signed of it."""
        return UploadStatement.decode(self.declaration.entry.upload.body)

    def pieces(self) -> list[Buffer]:
        """Its bytes, mapped from the disk.

        Raises :class:`~syft_ext.errors.ContentCorrupt` when they are not what was declared.
        """
        upload = self.upload
        try:
            with self._path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ContentCorrupt("the sealed update on this disk cannot be read") from error
        view = memoryview(mapped)
        if len(view) != upload.length or blake3(view).digest() != upload.blob:
            raise ContentCorrupt("the sealed update on this disk is not what was sealed")
        return [view]


class SealedOutbox:
    """The sealed updates of this user.

    Args:
        folder: where they are; by default in the user's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or user_home() / "sealed"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def find(self, place: Place) -> StoredUpload | None:
        """The upload of this round; None where there is none, or only what a killed process left.

        Raises :class:`~syft_ext.errors.OfferRefused` when the round has one for another assignment, checkpoint
        or set of keys: it gets no second one.
        """
        folder = self._place(place)
        try:
            kept = msgspec.msgpack.decode((folder / _UPLOAD).read_bytes(), type=_Kept)
            stored = StoredUpload(folder, kept)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, InvalidStatement) as error:
            raise ContentCorrupt("what this disk says of a sealed update cannot be read") from error
        header = stored.declaration.header
        keys = tuple(key.digest() for key in place.keys)
        if (header.assignment, header.base, header.keys) != (place.assignment, place.base, keys):
            raise OfferRefused(
                "this round has had an update of yours, for another assignment, checkpoint or set of keys",
                check="once",
            )
        return stored

    def _place(self, place: Place) -> Path:
        participant = ParticipantCertificate.decode(place.certificate.body).participant
        return self._folder / f"{place.context.digest().hex()}-{participant.hex()[:32]}"

    def seal(
        self, place: Place, pieces: Iterable[Buffer], length: int, participant: Identity
    ) -> StoredUpload:
        """The upload of this round: what was stored before, else ``pieces`` (``length`` bytes), sealed now.

        When this returns, all of it is on disk. Raises as :meth:`find` does.
        """
        found = self.find(place)
        if found is not None:
            return found
        final = self._place(place)
        working = self._folder / f"{_UNFINISHED}{final.name[:16]}-{secrets.token_hex(8)}"
        working.mkdir(mode=0o700)
        try:
            sealing = Sealing(place, pieces, length, participant)
            _write(working / _BLOB, sealing.pieces())
            kept = _Kept(sealing.declaration().encode(), max(key.erase_at for key in place.keys))
            _write(working / _UPLOAD, [msgspec.msgpack.encode(kept)])
            _settle(working)
            try:
                working.rename(final)
            except OSError:  # another process of this user was first: its upload is the one
                if not final.exists():
                    raise
            _settle(self._folder)
        finally:
            shutil.rmtree(working, ignore_errors=True)
        found = self.find(place)
        assert found is not None
        return found

    def sweep(self, at: int) -> None:
        """Forget what nobody can open any more (its keys are erased), and what killed processes left a day ago.
        ``at``: seconds since the epoch."""
        for folder in self._folder.iterdir():
            if folder.name.startswith(_UNFINISHED):
                gone = folder.stat().st_mtime < at - 86_400
            else:
                try:
                    kept = msgspec.msgpack.decode((folder / _UPLOAD).read_bytes(), type=_Kept)
                except (OSError, msgspec.MsgspecError):
                    continue  # it says so when somebody asks for it
                gone = kept.erase_at < at
            if gone:
                shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, pieces: Iterable[Buffer]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
