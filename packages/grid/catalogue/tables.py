"""Tables of datasets. Their data are objects (:mod:`grid.storage.tables`), which a dataset only refers to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.base import Base

__all__ = ["DatasetAsset", "DatasetRow", "DatasetTag", "DatasetViewer"]


class DatasetRow(Base):
    """``search_text`` is the folded text of what is published: what is not, a search cannot find out."""

    __tablename__ = "dataset"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner_id: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(String(255), index=True)
    description: Mapped[str] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(JSON)
    visibility: Mapped[str] = mapped_column(String(16))
    published: Mapped[list[str]] = mapped_column(JSON)
    search_text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Double, index=True)
    updated_at: Mapped[float] = mapped_column(Double)


class DatasetTag(Base):
    """The published tags, for search."""

    __tablename__ = "dataset_tag"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(256), primary_key=True, index=True)


class DatasetViewer(Base):
    """Who finds a private dataset: a user id or ``group:`` and a group id."""

    __tablename__ = "dataset_viewer"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    subject: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class DatasetAsset(Base):
    """A named part of a dataset. The database keeps its objects from being deleted."""

    __tablename__ = "dataset_asset"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    position: Mapped[int]
    description: Mapped[str] = mapped_column(Text)
    object_id: Mapped[str] = mapped_column(ForeignKey("stored_object.id"), index=True)
    mock_id: Mapped[str | None] = mapped_column(ForeignKey("stored_object.id"), index=True)
    columns: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
