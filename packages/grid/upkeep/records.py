"""What a backup says: a stream of records, each a length and a msgpack array ``[kind, …]``.

head      who and when (:class:`BackupHead`)
file      a file of the home: its path, its bytes
marks     lines of the record of what was spent
table     a name and its columns; then ``rows`` of it
contents  digests and sizes; in an archive ``content`` and ``bytes`` follow, in the same order
end       how many rows and contents there were
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from syft_ext.errors import BadRequest

__all__ = ["BackupHead", "Reader", "Writer", "read_records", "write_record"]

_LENGTH = struct.Struct("<Q")
_LONGEST = 1 << 31
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode


class Writer(Protocol):
    """Where records go."""

    def write(self, data: bytes | memoryview) -> None:
        """Append."""


class Reader(Protocol):
    """Where they come from."""

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes; raises where there are fewer."""


class BackupHead(msgspec.Struct, kw_only=True, frozen=True):
    """Whose backup it is, and of when.

    Attributes:
        id: of the backup. kind: of the node. at: seconds since the epoch.
        revision: of the schema. database_id, store_id, epoch: of the installation.
        entry: the last entry of the audit log; entry_at: its time.
    """

    id: str
    kind: str
    node_id: str
    verify_key: str
    at: float
    revision: str
    database_id: str
    store_id: str
    epoch: int
    entry: int
    entry_at: float


def write_record(writer: Writer, *record: Any) -> None:
    """Append a record."""
    encoded = _encode(record)
    writer.write(_LENGTH.pack(len(encoded)))
    writer.write(encoded)


def read_records(reader: Reader) -> Iterator[list[Any]]:
    """All records; the last one is the end. Raises :class:`BadRequest` for what is none."""
    while True:
        (length,) = _LENGTH.unpack(reader.read(_LENGTH.size))
        if length > _LONGEST:
            raise BadRequest("this is no record of a backup")
        try:
            record = _decode(reader.read(length))
        except msgspec.MsgspecError as error:
            raise BadRequest("this is no record of a backup") from error
        yield record
        if record[0] == "end":
            return
