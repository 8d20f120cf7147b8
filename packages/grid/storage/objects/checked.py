"""Contents that are looked at before they are used: a store around another one.

When a content is first read in this process, and whenever somebody has touched its bytes since, it is hashed. What
is not as its digest says is refused with an error of its own, and remembered (:attr:`CheckedContents.damaged`)
until it is as it was again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from blake3 import blake3

from grid.concurrency.offload import offload
from grid.storage.blobs.blob import Blob
from grid.storage.blobs.interface import (
    BlobReader,
    BlobStore,
    BlobWriter,
    Check,
    SupportsCache,
    SupportsMarks,
    SupportsQuarantine,
    SupportsUnsynced,
)
from grid.storage.blobs.partials import PartialContent, PartialContents
from grid.storage.objects.tables import BlobRow
from grid.storage.sql.database import Database
from syft_ext.clock import Clock, SystemClock
from syft_ext.errors import ContentCorrupt, ContentCut, ContentDamaged, ContentMissing, NotFound

__all__ = ["CheckedContents", "Damage"]

logger = logging.getLogger(__name__)

PIECE = 4 << 20
_REMEMBERED = 200_000
"""Contents whose soundness is remembered; the oldest are looked at again."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a content.

    Attributes:
        size: bytes that the database knows; None where it does not know the content.
        found: bytes that are there.
        at: when it was noticed, seconds since the epoch.
    """

    digest: str
    error: type[ContentDamaged]
    size: int | None
    found: int
    at: float

    def raised(self) -> ContentDamaged:
        """As the error that a reader gets."""
        return self.error(
            f"the content {self.digest[:12]} {_WORDS[self.error]}: nothing is computed from it. Put it back from "
            "a backup, or upload it again; `grid verify` says what is affected",
            digest=self.digest,
        )


_WORDS: dict[type[ContentDamaged], str] = {
    ContentCorrupt: "is not what was stored",
    ContentCut: "was cut short",
    ContentMissing: "is missing",
}


class CheckedContents(BlobStore):
    """Args:
    inner: where the contents are.
    db: knows how large they are, and which must be there.
    """

    def __init__(self, inner: BlobStore, db: Database, clock: Clock | None = None) -> None:
        self.inner, self._db, self._clock = inner, db, clock or SystemClock()
        self._sound: dict[str, object] = {}
        self.damaged: dict[str, Damage] = {}
        self._partials = _CheckedPartials(inner.partials, self._stored)
        self._unsynced = None if inner.unsynced is None else _CheckedUnsynced(inner.unsynced, self._stored)

    # -- looked at ----------------------------------------------------------------------------------

    def open(self, digest: str, *, hold: bool = False) -> BlobReader:
        self.require_sound(digest)
        return self.inner.open(digest, hold=hold)

    def map(self, digest: str, *, hold: bool = False) -> memoryview:
        self.require_sound(digest)
        return self.inner.map(digest, hold=hold)

    def hold(self, digest: str) -> Blob:
        self.require_sound(digest)
        return self.inner.hold(digest)

    def require_sound(self, digest: str) -> None:
        """Return if the content is what its digest says. Raises :class:`ContentDamaged`, and :class:`NotFound` for
        one that nobody refers to either."""
        try:
            stamp = self.inner.stamp(digest)
        except NotFound:
            self._missing(digest)
            raise
        known = self._sound.get(digest, self)
        if known is self or known != stamp:
            damage = offload(self.look_at, digest)
            if damage is not None:
                raise damage.raised()

    def look_at(self, digest: str, paced: Callable[[int], None] = lambda size: None) -> Damage | None:
        """Hash the content now, whatever is known of it; what is wrong with it.

        Args:
            paced: called with the bytes of each piece that was read; may wait.

        Raises :class:`NotFound` as :meth:`require_sound`, and what ``paced`` raises.
        """
        hasher = blake3()
        try:
            before = self.inner.stamp(digest)
            with self.inner.open(digest) as reader:
                size, start = reader.size, 0
                while piece := reader.read(start, min(start + PIECE, size)):
                    hasher.update(piece)
                    start += len(piece)
                    paced(len(piece))
        except NotFound:
            try:
                self._missing(digest)
            except ContentDamaged:
                return self.damaged[digest]
            raise
        if hasher.hexdigest() == digest:
            self._now_sound(digest, before)
            return None
        expected = self._size_of(digest)
        cut = expected is not None and size < expected
        return self._note(
            Damage(digest, ContentCut if cut else ContentCorrupt, expected, size, self._clock.now())
        )

    def _missing(self, digest: str) -> None:
        """Raise :class:`ContentMissing` if the database refers to a content that is not there."""
        size = self._size_of(digest)
        if size is not None and not self.inner.exists(digest):
            raise self._note(Damage(digest, ContentMissing, size, 0, self._clock.now())).raised()

    def _size_of(self, digest: str) -> int | None:
        with self._db.read() as session:
            row = session.get(BlobRow, digest)
            return None if row is None else row.size

    def _note(self, damage: Damage) -> Damage:
        self._sound.pop(damage.digest, None)
        if self.damaged.get(damage.digest, damage).error is damage.error and damage.digest in self.damaged:
            return self.damaged[damage.digest]
        self.damaged[damage.digest] = damage
        logger.error(
            "content %s %s (%d bytes are there, %s were stored)",
            damage.digest, _WORDS[damage.error], damage.found, damage.size,
        )  # fmt: skip
        return damage

    def _now_sound(self, digest: str, stamp: object) -> None:
        if len(self._sound) >= _REMEMBERED:
            for old in list(self._sound)[: _REMEMBERED // 2]:
                del self._sound[old]
        self._sound[digest] = stamp
        if self.damaged.pop(digest, None) is not None:
            logger.info("content %s is as it was again", digest)

    def _stored(self, blob: Blob) -> Blob:
        """What this process has just hashed and stored need not be hashed again."""
        self._now_sound(blob.digest, self.inner.stamp(blob.digest))
        return blob

    # -- stored -------------------------------------------------------------------------------------

    def create(self, size: int | None = None) -> BlobWriter:
        return _CheckedWriter(self.inner.create(size), self._stored)

    @property
    def unsynced(self) -> SupportsUnsynced | None:
        return self._unsynced

    @property
    def partials(self) -> PartialContents:
        return self._partials

    def delete_all(
        self,
        digests: Iterable[str],
        confirm: Callable[[list[str]], Collection[str]],
        *,
        recycle: bool = False,
        unknown: bool = False,
    ) -> int:
        digests = list(digests)
        try:
            return self.inner.delete_all(digests, confirm, recycle=recycle, unknown=unknown)
        finally:
            for digest in digests:
                self._sound.pop(digest, None)
                if digest in self.damaged and self._size_of(digest) is None:
                    del self.damaged[digest]

    # -- as it is -----------------------------------------------------------------------------------

    def identity(self, proposed: str | None = None) -> str | None:
        return self.inner.identity(proposed)

    def reached(
        self, database_id: str | None = None, epoch: int = 0, *, anew: bool = False
    ) -> tuple[str, int] | None:
        return self.inner.reached(database_id, epoch, anew=anew)

    def size(self, digest: str) -> int:
        return self.inner.size(digest)

    def stamp(self, digest: str) -> object:
        return self.inner.stamp(digest)

    def exists(self, digest: str) -> bool:
        return self.inner.exists(digest)

    def digests(self) -> Iterator[str]:
        return self.inner.digests()

    def sweep(self) -> int:
        return self.inner.sweep()

    def check(self) -> None:
        self.inner.check()

    @property
    def cache(self) -> SupportsCache:
        return self.inner.cache

    @property
    def quarantine(self) -> SupportsQuarantine | None:
        return self.inner.quarantine

    @property
    def marks(self) -> SupportsMarks | None:
        return self.inner.marks


class _CheckedWriter(BlobWriter):
    def __init__(self, inner: BlobWriter, stored: Callable[[Blob], Blob]) -> None:
        self._inner, self._stored = inner, stored

    @property
    def size(self) -> int:  # type: ignore[override]
        return self._inner.size

    @property
    def whole(self) -> bool:  # type: ignore[override]
        return self._inner.whole

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self._inner.write(chunk)

    def receive(self, body: Iterable[bytes | bytearray | memoryview]) -> Iterator[memoryview]:
        return self._inner.receive(body)

    def commit(
        self, digest: str | None = None, check: Check | None = None, *, remember: bool = False
    ) -> Blob:
        return self._stored(self._inner.commit(digest, check, remember=remember))

    def abort(self) -> None:
        self._inner.abort()


class _CheckedUnsynced:
    def __init__(self, inner: SupportsUnsynced, stored: Callable[[Blob], Blob]) -> None:
        self._inner, self._stored = inner, stored

    @property
    def unsynced_limit(self) -> int:
        return self._inner.unsynced_limit

    def store_unsynced(self, content: bytes | bytearray) -> Blob:
        return self._stored(self._inner.store_unsynced(content))


class _CheckedPartial(PartialContent):
    def __init__(self, inner: PartialContent, stored: Callable[[Blob], Blob]) -> None:
        self._inner, self._stored = inner, stored

    @property
    def size(self) -> int:  # type: ignore[override]
        return self._inner.size

    def append(self, data: memoryview) -> None:
        self._inner.append(data)

    def finish(self, digest: str | None = None) -> Blob:
        return self._stored(self._inner.finish(digest))

    def close(self) -> None:
        self._inner.close()


class _CheckedPartials(PartialContents):
    def __init__(self, inner: PartialContents, stored: Callable[[Blob], Blob]) -> None:
        self._inner, self._stored = inner, stored

    def open(self, name: str) -> PartialContent:
        return _CheckedPartial(self._inner.open(name), self._stored)

    def size(self, name: str) -> int:
        return self._inner.size(name)

    def discard(self, name: str, *, owner: str | None = None) -> None:
        self._inner.discard(name, owner=owner)

    def sweep(self, keep: Callable[[str], bool]) -> int:
        return self._inner.sweep(keep)

    def check_room(self, size: int) -> None:
        self._inner.check_room(size)
