"""Tables of datasets, and of what was computed. A dataset only refers to its data: objects of
:mod:`grid.storage.objects.tables`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = [
    "CatalogueRevision",
    "DatasetAsset",
    "DatasetColumn",
    "DatasetRow",
    "DatasetTag",
    "DatasetVersion",
    "DatasetViewer",
    "ObjectComputation",
]


class DatasetRow(Base):
    """What is published is kept beside the rest, so that a search sees nothing else and asks one table.

    Attributes:
        search_text: the folded text of it. entry: a msgpack :class:`SearchEntry`, without what changes by itself
            (owner's address, statistics).
        published_bytes, published_rows: None when not published or not known.
        has_statistics: whether some are published, so that a search looks for them.
    """

    __tablename__ = "dataset"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(255), index=True)
    description: Mapped[str] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(JSON)
    visibility: Mapped[str] = mapped_column(String(16))
    published: Mapped[list[str]] = mapped_column(JSON)
    subjects: Mapped[str] = mapped_column(Text, default="")
    search_text: Mapped[str] = mapped_column(Text)
    entry: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    published_bytes: Mapped[int | None] = mapped_column(BigInteger)
    published_rows: Mapped[int | None] = mapped_column(BigInteger)
    has_statistics: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[float] = mapped_column(Double, index=True)
    updated_at: Mapped[float] = mapped_column(Double)


class DatasetTag(Base):
    """The published tags, for search."""

    __tablename__ = "dataset_tag"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(256), primary_key=True, index=True)


class DatasetColumn(Base):
    """The folded names of published columns, for search."""

    __tablename__ = "dataset_column"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)


class DatasetViewer(Base):
    """Who finds a private dataset: a user id or ``group:`` and a group id."""

    __tablename__ = "dataset_viewer"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    subject: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class DatasetAsset(Base):
    """A named part of a dataset. The database keeps its objects from being deleted.

    Attributes:
        rows: entries that all its columns have. version: of its content, from 1 on.
        statistics: ``{"ticked": {column: [statistic]}, "found": {column: {statistic: number}}}``; "found" has
            each column's count too, by which the site's policy is looked at again when it is shown.
    """

    __tablename__ = "dataset_asset"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    position: Mapped[int]
    description: Mapped[str] = mapped_column(Text)
    object_id: Mapped[str] = mapped_column(ForeignKey("stored_object.id"), index=True)
    mock_id: Mapped[str | None] = mapped_column(ForeignKey("stored_object.id"), index=True)
    columns: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    rows: Mapped[int | None] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(Integer, default=1)
    statistics: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class DatasetVersion(Base):
    """A version of an asset's content, the present one included.

    ``object_id`` has no foreign key: its owner may delete old content, and the version stays on record.
    """

    __tablename__ = "dataset_version"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    asset: Mapped[str] = mapped_column(String(255), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    created_at: Mapped[float] = mapped_column(Double)
    note: Mapped[str] = mapped_column(Text)
    changed: Mapped[list[str]] = mapped_column(JSON)
    object_id: Mapped[str] = mapped_column(String(32), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int | None] = mapped_column(BigInteger)


class CatalogueRevision(Base):
    """One row: a number that grows with every change of a dataset, so that an index of them knows its age."""

    __tablename__ = "catalogue_revision"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(BigInteger)


class ObjectComputation(Base):
    """How an object was computed here, step by step; it goes with the object."""

    __tablename__ = "object_computation"

    object_id: Mapped[str] = mapped_column(
        ForeignKey("stored_object.id", ondelete="CASCADE"), primary_key=True
    )
    text: Mapped[str] = mapped_column(Text)
