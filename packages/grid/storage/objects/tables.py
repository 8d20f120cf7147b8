"""The tables of the object store: contents, objects, tags, permissions, uploads."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["BlobRow", "ObjectPermission", "ObjectRow", "ObjectTag", "UploadRow"]


class BlobRow(Base):
    """A content that something refers to. Refer to it by a foreign key (with an index) on ``digest``:
    the sweeper removes a content when no foreign key in the whole schema points to it."""

    __tablename__ = "blob"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)


class ObjectRow(Base):
    """An object without its content. ``dtype`` and ``shape`` are None for what is not one tensor."""

    __tablename__ = "stored_object"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), index=True)
    blob_digest: Mapped[str] = mapped_column(ForeignKey("blob.digest"), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    dtype: Mapped[str | None] = mapped_column(String(32))
    shape: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    description: Mapped[str] = mapped_column(Text)
    search_text: Mapped[str] = mapped_column(Text)  # the folded description and tags
    owner: Mapped[str | None] = mapped_column(String(64), index=True)
    created_at: Mapped[float] = mapped_column(Float(53))


class ObjectTag(Base):
    """A tag of an object; ``position`` keeps the order in which its owner wrote them."""

    __tablename__ = "object_tag"

    object_id: Mapped[str] = mapped_column(
        ForeignKey("stored_object.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    tag: Mapped[str] = mapped_column(String(256), index=True)


class ObjectPermission(Base):
    """Who may ``read``, ``search``, ``compute`` on an object or have ``statistics`` of it: a user id,
    ``group:`` and a group id, a verify key in hex, or ``*`` for everybody."""

    __tablename__ = "object_permission"

    object_id: Mapped[str] = mapped_column(
        ForeignKey("stored_object.id", ondelete="CASCADE"), primary_key=True
    )
    scope: Mapped[str] = mapped_column(String(16), primary_key=True)
    verify_key: Mapped[str] = mapped_column(String(64), primary_key=True)


class UploadRow(Base):
    """A resumable upload. Its bytes are a partial content; ``blob_digest`` is set when it is finished."""

    __tablename__ = "upload"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str | None] = mapped_column(String(64))
    blob_digest: Mapped[str | None] = mapped_column(ForeignKey("blob.digest"), index=True)
    touched_at: Mapped[float] = mapped_column(Float(53), index=True)
