"""Models and reports that come in parts, over lines that drop: kept until they are whole, handed in by digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy.orm import Session

from grid.concurrency.offload import offload
from grid.storage.objects.references import collect
from grid.storage.objects.uploads import Uploads, UploadStatus
from grid.storage.sql.database import Database
from syft_ext.errors import Conflict, NotFound, TooLarge
from syft_ext.transport import PayloadReader

__all__ = ["Parts", "by_purpose"]

Admission = Callable[[Session, str], None]


def by_purpose(rules: Mapping[str, Admission]) -> Admission:
    """Who admits what is kept, by how its purpose begins: nothing is kept for a purpose that nobody admits."""

    def admit(session: Session, purpose: str) -> None:
        kind, separator, _ = purpose.partition(":")
        rules[f"{kind}{separator}"](session, purpose)

    return admit


class Parts:
    """Args: ``uploads``: where they are kept; what nobody goes on with, its sweep removes.

    Of one ``purpose`` (a training's model, an assignment's report) at most one content is being received: another
    one takes its place.
    """

    def __init__(self, database: Database, uploads: Uploads) -> None:
        self._database, self._uploads = database, uploads

    def receive(
        self,
        purpose: str,
        size: int,
        digest: str,
        offset: int,
        body: Iterable[bytes | bytearray | memoryview],
        *,
        limit: int,
        empty: bool,
    ) -> int:
        """Keep what comes at ``offset``; how many bytes are here then. ``empty``: nothing comes, it is a question.

        Raises :class:`TooLarge` for more than ``limit`` bytes, :class:`Conflict` with ``received`` in ``extra``
        where ``offset`` is not where it stopped, :class:`Unavailable` where there is no room.
        """
        if size > limit:
            raise TooLarge(f"{size} bytes in parts", limit=limit)
        found = self._find(purpose, size, digest)
        if found is None:
            self.forget(purpose)
            upload, received = self._uploads.begin(size, owner=purpose, digest=digest), 0
        else:
            upload, received = found.id, found.received
        if empty:
            return received
        if offset != received:
            raise Conflict("the content goes on at another offset", received=received)
        return self._uploads.append(upload, offset, body)

    def _find(self, purpose: str, size: int, digest: str) -> UploadStatus | None:
        for each in self._uploads.of(purpose, digest):
            if each.size == size:
                return each
        return None

    @contextmanager
    def handed_in(self, purpose: str, digest: str) -> Iterator[PayloadReader]:
        """The whole content, to be read; kept until the block is left well, so that it can be handed in again.

        Raises :class:`Conflict` while bytes are missing, :class:`NotFound` for what never came.
        """
        found = self._uploads.of(purpose, digest)
        if not found:
            raise NotFound("no part of this content has come", digest=digest)
        with self._uploads.finish(found[0].id) as blob, self._uploads.open(blob) as reader:
            position = 0

            def read(count: int) -> bytes:
                nonlocal position
                piece: bytes = offload(reader.read, position, position + count)
                position += len(piece)
                return piece

            yield PayloadReader(read, blob.size)
        self.forget(purpose)

    def forget(self, purpose: str) -> None:
        """Drop what is kept for this purpose."""
        digests = [found.digest for found in self._uploads.of(purpose) if found.digest is not None]
        self._uploads.drop(purpose)
        collect(self._database, self._uploads.blobs, digests)
