"""Seeds of rounds at rest: sealed under a key of their epoch, which is a file outside the database.

A seed is erased by overwriting its row; what a disk, a journal or a backup keeps of the row all the same opens no
more once the epoch's key is gone. Of a file that is a best effort (flash, snapshots and backups may keep it, too),
and no more is claimed (:data:`ERASURE`). AES-256-GCM (NIST SP 800-38D), with round and purpose.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from grid.storage.blobs.disk import sync_directory
from syft_ext.errors import KeyRefused

__all__ = ["ERASURE", "EpochKeys"]

ERASURE = (
    "best effort: epoch keys are files, and what disks, snapshots or backups keep of them may not be gone"
)
_SIZE, _NONCE, _SUFFIX = 32, 12, ".key"


class EpochKeys:
    """Args: ``folder``: where the keys are; made for its owner only. ``interval``: seconds of an epoch.

    Attributes:
        erasure: what is claimed of a key that was dropped.
    """

    erasure = ERASURE

    def __init__(self, folder: Path, interval: float) -> None:
        self._folder, self._interval = folder, interval
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def current(self, at: int) -> int:
        """The epoch that begins no later than ``at`` (seconds since the epoch), its key made if it has none."""
        epoch = int(at / self._interval)
        path = self._path(epoch)
        if not path.exists():
            self._make(path)
        return epoch

    def _make(self, path: Path) -> None:
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_SIZE))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_directory(self._folder)

    def seal(self, epoch: int, secret: bytes, belongs_to: bytes) -> bytes:
        """``secret``, sealed for what it belongs to."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher(epoch).encrypt(nonce, secret, belongs_to)

    def open(self, epoch: int, sealed: bytes, belongs_to: bytes) -> bytes:
        """What was sealed. Raises :class:`KeyRefused` (``over``) where the epoch's key is gone or another."""
        try:
            return self._cipher(epoch).decrypt(sealed[:_NONCE], sealed[_NONCE:], belongs_to)
        except InvalidTag as error:
            raise KeyRefused("the round's seed does not open with its epoch's key", reason="over") from error

    def _cipher(self, epoch: int) -> AESGCM:
        try:
            key = self._path(epoch).read_bytes()
        except FileNotFoundError as error:
            raise KeyRefused("the key of the round's epoch is gone", reason="over") from error
        if len(key) != _SIZE:
            raise KeyRefused("the key of the round's epoch is damaged", reason="over")
        return AESGCM(key)

    def drop(self, needed: set[int], at: int) -> list[int]:
        """Erase the keys of epochs that are over and of no round that still has a seed; which."""
        now, gone = int(at / self._interval), []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            epoch = int(path.stem)
            if epoch < now and epoch not in needed:
                with path.open("r+b") as file:
                    file.write(secrets.token_bytes(_SIZE))
                    file.flush()
                    os.fsync(file.fileno())
                path.unlink()
                gone.append(epoch)
        if gone:
            sync_directory(self._folder)
        return sorted(gone)

    def _path(self, epoch: int) -> Path:
        return self._folder / f"{epoch}{_SUFFIX}"
