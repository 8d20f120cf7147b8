"""Who rests on a content: every foreign key in the schema that points to it, in words that people know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from grid.catalogue.tables import DatasetRow, DatasetVersion
from grid.federated.state.tables import TrainingProcess
from grid.storage.objects.tables import BlobRow, ObjectRow
from grid.storage.sql.base import Base, require_complete
from grid.storage.sql.dialect import table_of

__all__ = ["affected_by"]

_BLOBS, _OBJECTS = table_of(BlobRow), table_of(ObjectRow)


def affected_by(session: Session, digest: str) -> list[str]:
    """What rests on the content, each once: ``dataset patients: data (version 2)``, ``object ID``,
    ``training mnist 1.0: checkpoint``. Empty for a content that nothing refers to."""
    return sorted(set(_named(session, digest)))


def _named(session: Session, digest: str) -> Iterator[str]:
    require_complete()
    for table in Base.metadata.sorted_tables:
        for key in table.foreign_keys:
            if key.column.table is not _BLOBS:
                continue
            for row in session.execute(select(table).where(key.parent == digest)).mappings():
                yield from _NAMERS.get(table.name, _plainly)(session, table, row)


def _object(session: Session, _table: Table, row: Any) -> Iterator[str]:
    versions = (
        select(DatasetRow.name, DatasetVersion.asset, DatasetVersion.number)
        .join(DatasetRow, DatasetRow.id == DatasetVersion.dataset_id)
        .where(DatasetVersion.object_id == row["id"])
    )
    found = session.execute(versions).all()
    for version in found:
        yield f"dataset {version.name}: {version.asset} (version {version.number})"
    if not found:
        yield f"object {row['id']}"


def _plainly(session: Session, table: Table, row: Any) -> Iterator[str]:
    """A row of a training says which one; others say which row of what they are."""
    process_id = row.get("process_id")
    training = session.get(TrainingProcess, process_id) if process_id else None
    what = table.name.removeprefix("fl_").replace("_", " ")
    if training is not None:
        number = f" {row['number']}" if "number" in row else ""
        yield f"training {training.name} {training.version}: {what}{number}"
    else:
        yield f"{what} {' '.join(str(row[column.name]) for column in table.primary_key)}"


_NAMERS: dict[str, Callable[[Session, Table, Any], Iterator[str]]] = {_OBJECTS.name: _object}
