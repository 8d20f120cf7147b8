"""The persistent object store: descriptions, tags and permissions in SQL, content in blobs.

The paper's DiskObjectStore (section 3.2.2, listing 3), with what the original left out: search
permissions come back as they were stored, content is not loaded through Python objects, and an object may
be larger than the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from grid.storage.blobs.blob import Blob
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.references import collect, record
from grid.storage.objects.rows import (
    PERMISSIONS,
    add_permissions,
    infos_of,
    matching,
    upsert,
    write_tags,
)
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from syft_ext.encrypted.frames import check_frame, refuse_secret_keys
from syft_ext.errors import NotFound
from syft_ext.ids import check_id
from syft_ext.store.content import ENCRYPTED_KINDS, TENSOR_KINDS, check_layout, decode, encode
from syft_ext.store.interface import ObjectStore
from syft_ext.store.objects import ObjectInfo, StorableObject, check_texts, described, searchable
from syft_ext.store.permissions import check_keys
from syft_ext.tensors import DTYPES, read_layout

__all__ = ["DiskObjectStore"]

_PAGE = 1000


class DiskObjectStore(ObjectStore):
    """Objects of one node (or of all its replicas, which share database and blobs)."""

    def __init__(self, db: Database, blobs: BlobStore) -> None:
        self._db, self._blobs = db, blobs

    # -- content ------------------------------------------------------------------------------------

    def get_object(self, key: str) -> StorableObject | None:
        check_id(key)
        while True:
            with self._db.read() as session:
                found = infos_of(session, [key])
                digest = session.scalar(select(ObjectRow.blob_digest).where(ObjectRow.id == key))
            if not found or digest is None:
                return None
            try:
                content = self._blobs.map(digest)
            except NotFound:  # replaced or removed since we looked
                self._check_current(key, digest)
                continue
            return StorableObject(**described(found[0]), data=decode(found[0].kind, content))

    def put(self, obj: StorableObject) -> ObjectInfo:
        with self._blobs.put(encode(obj.data, obj.kind)) as blob:
            info = ObjectInfo(**described(obj), size=blob.size, dtype=obj.dtype, shape=obj.shape)
            return self._keep(info, blob)

    def put_stream(
        self,
        info: ObjectInfo,
        chunks: Iterable[bytes | bytearray | memoryview],
        also: Callable[[Session, ObjectInfo], None] | None = None,
    ) -> ObjectInfo:
        """``also`` is done in the transaction that makes the object; what it raises undoes it. What is not of its
        kind is refused before it is a content: nothing of it stays."""
        measured: list[ObjectInfo] = []
        with self._blobs.create() as writer:
            for chunk in chunks:
                writer.write(chunk)
            blob = writer.commit(check=lambda file: measured.append(self._measure(info, file)))
        with blob:
            return self._keep(measured[0], blob, also)

    def put_blob(
        self, info: ObjectInfo, blob: Blob, also: Callable[[Session, ObjectInfo], None] | None = None
    ) -> ObjectInfo:
        """As :meth:`put_stream`, with content that is in the blob store already (a finished upload)."""
        return self._keep(self._measure(info, self._blobs.map(blob.digest)), blob, also)

    def open(self, key: str) -> BinaryIO:
        while True:
            digest = self.digest(key)
            try:
                with self._blobs.open(digest) as reader:
                    return reader.file()
            except NotFound:
                self._check_current(key, digest)

    def digest(self, key: str) -> str:
        """The BLAKE3 digest of the encoded content, for ranged reads from the blob store."""
        with self._db.read() as session:
            digest = session.scalar(select(ObjectRow.blob_digest).where(ObjectRow.id == check_id(key)))
        if digest is None:
            raise _missing(key)
        return digest

    @staticmethod
    def _measure(info: ObjectInfo, content: memoryview) -> ObjectInfo:
        """The description with what the content says; raises :class:`BadRequest` if it is not of its kind."""
        dtype, shape = None, None
        if info.kind in TENSOR_KINDS:
            layout = read_layout(content)
            check_layout(info.kind, layout, len(content))
            if info.kind == "tensor":
                (spec,) = layout.specs
                dtype, shape = DTYPES[spec.dtype][0], spec.shape
        elif info.kind in ENCRYPTED_KINDS:
            check_frame(info.kind, content)  # piece by piece: it may be larger than memory
        elif info.kind in ("bytes", "plan"):
            refuse_secret_keys(content)
        else:
            decode(info.kind, content)
        return replace(info, size=len(content), dtype=dtype, shape=shape)

    def _keep(
        self, info: ObjectInfo, blob: Blob, also: Callable[[Session, ObjectInfo], None] | None = None
    ) -> ObjectInfo:
        """Commit the description of a held content; drop the content that it replaces."""

        def write(session: Session) -> str | None:
            record(session, blob)
            previous = session.scalar(select(ObjectRow.blob_digest).where(ObjectRow.id == info.id))
            upsert(session, info, blob.digest)
            if also is not None:
                also(session, info)
            return previous

        previous = self._db.run(write)
        if previous is not None and previous != blob.digest:
            collect(self._db, self._blobs, [previous], owner=info.owner or "")
        return info

    def _check_current(self, key: str, digest: str) -> None:
        """Raise :class:`NotFound` if the object still refers to a content that is not there."""
        with self._db.read() as session:
            current = session.scalar(select(ObjectRow.blob_digest).where(ObjectRow.id == key))
        if current == digest and not self._blobs.exists(digest):
            raise NotFound("the object's content is missing from the blob store", id=key)

    # -- the collection -----------------------------------------------------------------------------

    def __delitem__(self, key: str) -> None:
        with self._db.transaction() as session:
            statement = (
                delete(ObjectRow)
                .where(ObjectRow.id == check_id(key))
                .returning(ObjectRow.blob_digest, ObjectRow.owner)
            )
            row = session.execute(statement).first()
        if row is None:
            raise _missing(key)
        collect(self._db, self._blobs, [row.blob_digest], owner=row.owner or "")

    def __contains__(self, key: object) -> bool:
        with self._db.read() as session:
            return session.scalar(select(ObjectRow.id).where(ObjectRow.id == str(key))) is not None

    def __len__(self) -> int:
        with self._db.read() as session:
            return session.scalar(select(func.count()).select_from(ObjectRow)) or 0

    def keys(self) -> Iterator[str]:
        last = ""
        while True:
            with self._db.read() as session:
                statement = select(ObjectRow.id).where(ObjectRow.id > last).order_by(ObjectRow.id)
                page = session.scalars(statement.limit(_PAGE)).all()
            if not page:
                return
            yield from page
            last = page[-1]

    # -- descriptions -------------------------------------------------------------------------------

    def info(self, key: str) -> ObjectInfo:
        with self._db.read() as session:
            found = infos_of(session, [check_id(key)])
        if not found:
            raise _missing(key)
        return found[0]

    def search(
        self,
        text: str = "",
        *,
        tags: Iterable[str] = (),
        kind: str | None = None,
        visible_to: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[ObjectInfo]:
        with self._db.read() as session:
            statement = matching(text, tags, kind, visible_to)
            return infos_of(session, session.scalars(statement.limit(limit).offset(offset)).all())

    def describe(
        self, key: str, *, description: str | None = None, tags: Iterable[str] | None = None
    ) -> None:
        with self._db.transaction() as session:
            row = self._locked(session, key)
            (info,) = infos_of(session, [key])
            description = info.description if description is None else description
            words = info.tags if tags is None else tuple(tags)
            check_texts(description, words)
            row.description, row.search_text = description, searchable(description, words)
            write_tags(session, key, words)

    def grant(self, key: str, verify_key: str, *, read: bool = False, search: bool = False) -> None:
        check_keys([verify_key])
        with self._db.transaction() as session:
            self._locked(session, key)
            add_permissions(session, key, verify_key, _scopes(read, search))

    def revoke(self, key: str, verify_key: str, *, read: bool = False, search: bool = False) -> None:
        check_keys([verify_key])
        with self._db.transaction() as session:
            self._locked(session, key)
            table = PERMISSIONS.c
            for scope in _scopes(read, search):
                session.execute(
                    delete(PERMISSIONS).where(
                        table.object_id == key, table.scope == scope, table.verify_key == verify_key
                    )
                )

    def _locked(self, session: Session, key: str) -> ObjectRow:
        """The object's row, which nobody else changes until the transaction ends."""
        row = session.get(ObjectRow, check_id(key), with_for_update=True)
        if row is None:
            raise _missing(key)
        return row


def _scopes(read: bool, search: bool) -> list[str]:
    return [scope for scope, wanted in (("read", read), ("search", search)) if wanted]


def _missing(key: str) -> NotFound:
    return NotFound("there is no such object", id=key)
