"""What a home knows of its database: which one it is, and how far it had come."""

from __future__ import annotations

from pathlib import Path

import msgspec

from grid.storage.blobs.disk import replace_file
from syft_ext.errors import InvalidConfig

__all__ = ["FILE", "HomeRecord", "read_record", "write_record"]

FILE = "installation.json"


class HomeRecord(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """As in the database's row (:class:`grid.installation.tables.InstallationRow`), at the latest look."""

    database_id: str
    store_id: str
    epoch: int


def read_record(home: Path) -> HomeRecord | None:
    """None in a home that has never had a database. Raises :class:`InvalidConfig` for what cannot be read."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=HomeRecord)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise InvalidConfig(f"{FILE} in the node's home cannot be read: restore it, or remove it") from error


def write_record(home: Path, record: HomeRecord) -> None:
    """Put it in place of the last one: durably, and whole or not at all."""
    replace_file(home / FILE, msgspec.json.encode(record) + b"\n")
