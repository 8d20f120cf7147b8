"""What a participant has said in rounds of secure aggregation, on disk before anybody hears it.

One file for each training and key: the latest record, the one before it, and beside it the masked words while
they may have to be sent again. Who holds it takes part; a second process with the same key does not, or it
would mask other numbers under the same keys.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec
from blake3 import blake3

from syft_ext.errors import BadRequest, Conflict
from syft_ext.profile.home import user_home
from syft_ext.secure_aggregation.client import Record

__all__ = ["SumRecords"]

_FOLDER = "secure-aggregation"
_SLOTS, _SLOT = 2, 8192
"""Places of the file for records, and bytes of one: written in turn, so that the one before is whole."""


class SumRecords:
    """The keeper of one participant in one training (:class:`~syft_ext.secure_aggregation.client.Keeper`).

    Args:
        names: what tells it from others: the Domain's key, the training's digest, the participant's key.
        cycle: of which the record is asked for.

    Raises :class:`Conflict` while another process of this participant is in a round of this training.
    """

    def __init__(self, *names: str, cycle: int) -> None:
        folder = user_home() / _FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / blake3("/".join(names).encode()).hexdigest(length=16)
        self._cycle = cycle
        self._sequence = 0
        fresh = not self._path.exists()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise Conflict(
                "another process takes part in this training with this key: one of them is enough",
                reason="busy",
            ) from error
        if fresh:
            _settle(folder)

    def record(self) -> Record | None:
        """Of this cycle, or a later one: who comes back to an earlier one finds that it is over.

        Where one of the two is damaged, what it said is not known, and so the cycle of the other is over, too.
        Raises :class:`BadRequest` where both are: then nothing more is said in this training.
        """
        slots = [os.pread(self._file, _SLOT, number * _SLOT) for number in range(_SLOTS)]
        found = [each for each in map(_read, slots) if each is not None]
        damaged = sum(any(slot) for slot in slots) > len(found)
        if not found:
            if damaged:
                raise BadRequest(
                    f"{_FOLDER}/{self._path.name} in your Grid folder is damaged: what was said in this training "
                    "is not known any more, so nothing more is"
                )
            return None
        self._sequence, record = max(found, key=lambda each: each[0])
        if damaged:
            record.root, record.roster = b"", record.roster or b"?"
        return record if record.cycle >= self._cycle else None

    def note(self, record: Record) -> None:
        """In its file; a power cut may take it. What is kept of a round that is over is not its words."""
        self._write(record)
        if not record.root:
            self._words.unlink(missing_ok=True)

    def keep(self, record: Record) -> None:
        """On disk when it returns."""
        self._write(record)
        os.fdatasync(self._file)

    def _write(self, record: Record) -> None:
        """Into the slot that has not the latest one: who dies in the middle of it has said nothing of it yet."""
        self._sequence += 1
        data = msgspec.msgpack.encode((self._sequence, record))
        framed = blake3(data).digest() + len(data).to_bytes(4, "big") + data
        if len(framed) > _SLOT:
            raise BadRequest("a record is longer than its place")
        os.pwrite(self._file, framed.ljust(_SLOT, b"\0"), self._sequence % _SLOTS * _SLOT)

    @property
    def _words(self) -> Path:
        return self._path.with_suffix(".words")

    def keep_vector(self, content: memoryview) -> None:
        """In their file; of words that a power cut takes, the record says that they are lost."""
        descriptor = os.open(self._words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)

    def vector(self) -> bytes:
        """The masked words; empty where there are none."""
        try:
            return self._words.read_bytes()
        except FileNotFoundError:
            return b""

    def close(self) -> None:
        """Let another process take part."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _settle(folder: Path) -> None:
    """Make sure that the file's new name survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(framed: bytes) -> tuple[int, Record] | None:
    """What is in a slot; None: nothing, or half of something."""
    data = framed[36 : 36 + int.from_bytes(framed[32:36], "big")]
    if not data or blake3(data).digest() != framed[:32]:
        return None
    return msgspec.msgpack.decode(data, type=tuple[int, Record])
