"""Uploads that go on where they stopped, across lost connections and restarts of the node.

    upload = uploads.begin(size, owner=key)            # or with the digest, if it is known
    received = uploads.append(upload, 0, chunks)       # as often as needed, each at the right offset
    with uploads.finish(upload) as blob, db.transaction() as session:
        record(session, blob)
        session.execute(insert(Dataset).values(blob_digest=blob.digest, …))
        uploads.forget(session, upload)

What was received is what the partial content holds: it survives the death of the process at any instruction.
Who and how much is a row in SQL. A finished upload refers to its content until it is forgotten or expires,
so ``finish`` can be repeated when its answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from grid.storage.blobs.blob import Blob, check_digest
from grid.storage.blobs.interface import BlobReader, BlobStore
from grid.storage.objects.references import collect, record
from grid.storage.objects.tables import UploadRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, Conflict, NotFound, TooLarge
from syft_ext.ids import check_id, new_id

__all__ = ["UploadStatus", "Uploads"]

PIECE = 128 << 10
"""What is gathered before it goes to the store. Every concurrent upload has such a buffer."""


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """How far an upload is: bytes received of its size, and its digest once it is finished."""

    id: str
    owner: str
    size: int
    received: int
    digest: str | None


class Uploads:
    """The uploads of one node.

    Args:
        max_size: bytes that one upload may have.
        admit: called with the owner as the last thing of the transaction that begins an upload; what it raises
            undoes it. Without it, nothing is too much for an owner.
        lifetime: seconds after which an upload that nobody touches is removed.

    Methods raise :class:`BadRequest` for what is no id, :class:`NotFound` for an unknown upload, and
    :class:`Conflict` for one that does not allow the step now.
    """

    def __init__(
        self,
        db: Database,
        blobs: BlobStore,
        clock: Clock,
        *,
        max_size: int = 1 << 40,
        admit: Callable[[Session, str], None] = lambda session, owner: None,
        lifetime: float = 7 * 24 * 3600.0,
    ) -> None:
        self._db, self.blobs, self._clock = db, blobs, clock
        self._max_size, self._admit, self._lifetime = max_size, admit, lifetime
        self._partials = blobs.partials

    def begin(self, size: int, *, owner: str, digest: str | None = None) -> str:
        """Announce an upload of ``size`` bytes (with this BLAKE3 ``digest``); returns its id.

        Raises :class:`TooLarge` past the limit, what ``admit`` raises, :class:`Unavailable` when the disk has no
        room for it.
        """
        if size < 0:
            raise BadRequest("an upload has at least 0 bytes")
        if digest is not None:
            check_digest(digest)
        if size > self._max_size:
            raise TooLarge("the upload is too large", limit=self._max_size)
        self._partials.check_room(size)
        upload = new_id()

        def write(session: Session) -> None:
            session.execute(
                insert(UploadRow),
                {
                    "id": upload,
                    "owner": owner,
                    "size": size,
                    "digest": digest,
                    "touched_at": self._clock.now(),
                },
            )
            self._admit(session, owner)

        self._db.run(write)
        return upload

    def append(self, upload: str, offset: int, chunks: Iterable[bytes | bytearray | memoryview]) -> int:
        """Append ``chunks`` at ``offset``; returns the bytes received so far.

        What arrived before an error stays. Raises :class:`Conflict` with ``received`` in ``extra`` if
        ``offset`` is not where the upload stopped, :class:`TooLarge` beyond the announced size.
        """
        row = self._row(upload)
        with self._partials.open(row.id) as partial:
            if offset != partial.size:
                raise Conflict("the upload goes on at another offset", received=partial.size)
            try:
                for data in _gathered(chunks):
                    if partial.size + len(data) > row.size:
                        raise TooLarge("the upload is longer than announced", size=row.size)
                    partial.append(data)
            finally:
                self._touch(upload)
            return partial.size

    def status(self, upload: str) -> UploadStatus:
        """How far the upload is, also once it is finished. Raises :class:`NotFound`."""
        row = self._row(upload, finished=True)
        received = row.size if row.blob_digest is not None else self._partials.size(row.id)
        return UploadStatus(row.id, row.owner, row.size, received, row.blob_digest)

    def unfinished(self, owner: str, digest: str | None = None) -> list[UploadStatus]:
        """The owner's uploads that are not finished (of the content with this digest), newest first."""
        return [status for status in self.of(owner, digest) if status.digest is None]

    def of(self, owner: str, digest: str | None = None) -> list[UploadStatus]:
        """As :meth:`unfinished`, with those that are finished."""
        statement = select(UploadRow.id).where(UploadRow.owner == owner)
        if digest is not None:
            statement = statement.where(UploadRow.digest == check_digest(digest))
        with self._db.read() as session:
            found = session.scalars(statement.order_by(UploadRow.touched_at.desc(), UploadRow.id)).all()
        statuses = []
        for upload in found:
            with suppress(NotFound):  # it ended meanwhile
                statuses.append(self.status(upload))
        return statuses

    def drop(self, owner: str) -> None:
        """Drop all that this owner has here, finished or not, and never comes back for: parts do not wait. Whose
        content it is sees to that of a finished one."""
        with self._db.read() as session:
            found = session.scalars(select(UploadRow.id).where(UploadRow.owner == owner)).all()
        for upload in found:
            self._remove(upload, None)

    def open(self, blob: Blob) -> BlobReader:
        """The content of a finished upload."""
        return self.blobs.open(blob.digest)

    def finish(self, upload: str) -> Blob:
        """Make the complete upload a blob, held for the caller. It may be repeated.

        Raises :class:`Conflict` with ``received`` while bytes are missing; :class:`BadRequest` if the
        content is not what the announced digest says (the upload is then gone).
        """
        row = self._row(upload, finished=True)
        if row.blob_digest is not None:
            return self.blobs.hold(row.blob_digest)
        with self._partials.open(row.id) as partial:
            if partial.size != row.size:
                raise Conflict("the upload is not complete", received=partial.size, size=row.size)
            try:
                blob = partial.finish(row.digest)
            except BadRequest:
                self._remove(row.id, row.owner)
                raise
            self._db.run(lambda session: self._finished(session, row.id, blob))
            self._partials.discard(row.id)
        return blob

    def abort(self, upload: str) -> None:
        """Drop the upload and what was received."""
        row = self._row(upload, finished=True)
        self._remove(row.id, row.owner)
        if row.blob_digest is not None:
            collect(self._db, self.blobs, [row.blob_digest], owner=row.owner)

    def forget(self, session: Session, upload: str) -> None:
        """Drop a finished upload in the transaction that refers to its content from elsewhere."""
        statement = delete(UploadRow).where(
            UploadRow.id == check_id(upload), UploadRow.blob_digest.is_not(None)
        )
        if session.execute(statement).rowcount == 0:  # type: ignore[attr-defined]
            raise NotFound("there is no such finished upload", id=upload)

    def sweep(self) -> int:
        """Remove uploads that expired, and parts without an upload; returns how many."""
        limit = self._clock.now() - self._lifetime
        with self._db.transaction() as session:
            expired = (
                delete(UploadRow)
                .where(UploadRow.touched_at < limit)
                .returning(UploadRow.id, UploadRow.owner, UploadRow.blob_digest)
            )
            rows = session.execute(expired).all()
        for row in rows:
            if row.blob_digest is None:
                self._partials.discard(row.id, owner=row.owner)
            else:
                collect(self._db, self.blobs, [row.blob_digest], owner=row.owner)
        with self._db.read() as session:
            files = self._partials.sweep(keep=lambda name: session.get(UploadRow, name) is not None)
        return len(rows) + files

    # -- inside -------------------------------------------------------------------------------------

    def _row(self, upload: str, *, finished: bool = False) -> UploadRow:
        with self._db.read() as session:
            row = session.get(UploadRow, check_id(upload))
        if row is None:
            raise NotFound("there is no such upload", id=upload)
        if row.blob_digest is not None and not finished:
            raise Conflict("the upload is finished", received=row.size)
        return row

    def _touch(self, upload: str) -> None:
        with self._db.transaction() as session:
            session.execute(
                update(UploadRow).where(UploadRow.id == upload).values(touched_at=self._clock.now())
            )

    def _finished(self, session: Session, upload: str, blob: Blob) -> None:
        record(session, blob)
        values = {"blob_digest": blob.digest, "touched_at": self._clock.now()}
        statement = update(UploadRow).where(UploadRow.id == upload).values(values)
        if session.execute(statement).rowcount == 0:  # type: ignore[attr-defined]
            raise NotFound("the upload was aborted", id=upload)

    def _remove(self, upload: str, owner: str | None) -> None:
        """Remove the row and what was received; whoever still writes to it finds out at the next step.

        ``owner``: as in :meth:`PartialContents.discard`.
        """
        with self._db.transaction() as session:
            session.execute(delete(UploadRow).where(UploadRow.id == upload))
        self._partials.discard(upload, owner=owner)


def _gathered(chunks: Iterable[bytes | bytearray | memoryview]) -> Iterator[memoryview]:
    """The same bytes in pieces worth a trip to the disk; what was gathered comes also before an error."""
    buffer = bytearray()
    try:
        for chunk in chunks:
            view = memoryview(chunk).cast("B")
            if not buffer and len(view) >= PIECE:
                yield view
                continue
            buffer += view
            if len(buffer) >= PIECE:
                full, buffer = buffer, bytearray()
                yield memoryview(full)
    except GeneratorExit:
        raise
    except BaseException:
        if buffer:
            yield memoryview(buffer)
        raise
    if buffer:
        yield memoryview(buffer)
