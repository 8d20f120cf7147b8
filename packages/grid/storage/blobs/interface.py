"""What every store of contents offers: immutable, named by their BLAKE3 digest.

Nothing here asks for files or locks: put-if-absent, ranged reads and leases are enough, which object stores have.
What only some can do they declare (:attr:`BlobStore.unsynced`, :attr:`BlobStore.cache`); nothing is guessed.
Every implementation passes ``tests/storage/blobs/contract.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Protocol

from grid.storage.blobs.blob import Blob
from grid.storage.blobs.partials import PartialContents
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, NotFound

__all__ = [
    "BlobReader",
    "BlobStore",
    "BlobWriter",
    "Check",
    "SetAside",
    "SupportsCache",
    "SupportsMarks",
    "SupportsQuarantine",
    "SupportsUnsynced",
]

Check = Callable[[memoryview], None]


class BlobWriter(ABC):
    """Takes content in chunks. Leaving its ``with`` block without :meth:`commit` drops everything.

    Attributes:
        size: bytes written so far.
        whole: all of the content stays in memory until it is committed.
    """

    size: int
    whole: bool

    @abstractmethod
    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append a chunk. Raises :class:`Unavailable` when the store is full."""

    def receive(self, body: Iterable[bytes | bytearray | memoryview]) -> Iterator[memoryview]:
        """Append what ``body`` brings. Each piece is handed out to be looked at: an exception drops all.

        A piece is valid until the next one is asked for.
        """
        for piece in body:
            view = memoryview(piece).cast("B")
            yield view
            self.write(view)

    @abstractmethod
    def commit(
        self, digest: str | None = None, check: Check | None = None, *, remember: bool = False
    ) -> Blob:
        """Make the content durable. Raises :class:`BadRequest` if it is not what ``digest`` says.

        Args:
            remember: it will be read soon (:meth:`SupportsCache.recent`): a hint.
            check: looks at the whole content, beside the event loop: what it raises refuses it.
        """

    @abstractmethod
    def abort(self) -> None:
        """Drop what was written; does nothing after :meth:`commit`."""

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class BlobReader(ABC):
    """An open content: reading goes on until it is closed, also when the content is deleted meanwhile.

    Attributes:
        size: bytes of content.
    """

    size: int

    @abstractmethod
    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive; None is the end); fewer where the content ends before."""

    @abstractmethod
    def file(self) -> BinaryIO:
        """A local file with the content, at its beginning, for who needs a descriptor. The caller closes it."""

    @abstractmethod
    def map(self) -> memoryview:
        """The content in memory, page by page as it is looked at. Changes to the view stay in this process.

        It outlives the reader. Where that was opened with ``hold``, a deletion with ``recycle`` spares it.
        """

    @abstractmethod
    def close(self) -> None:
        """Done with it; garbage closes itself."""

    def __enter__(self) -> BlobReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SupportsUnsynced(Protocol):
    """Stores whose contents can be used before they are durable.

    Without it contents are stored durably, at once: slower, and right.
    """

    @property
    def unsynced_limit(self) -> int:
        """Bytes of the largest content that :meth:`store_unsynced` takes."""

    def store_unsynced(self, content: bytes | bytearray) -> Blob:
        """Store a small content, which nobody changes any more, before it is durable.

        It survives the death of the process. What it takes to make it again after a power cut stays:
        nothing is deleted, by this process, before all that was stored so is durable.
        """


class SupportsCache(Protocol):
    """Stores that keep memory or room for contents to come. Without it there is nothing to give up, and what
    was committed with ``remember`` is read as every other content is."""

    def recent(self, digest: str) -> memoryview | None:
        """A content that was committed with ``remember`` a moment ago, to be read in memory; None if it went."""

    def forget(self, digests: Iterable[str]) -> None:
        """These need not be remembered any longer (:meth:`recent`)."""

    def drop_page_cache(self, digests: Iterable[str]) -> None:
        """Those of these contents that are here will hardly be read again: no memory need be spent on them."""

    def trim(self, *, everything: bool = False) -> None:
        """Give up room that is kept for contents to come: what was not needed for a while, or ``everything``."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """What waits in quarantine: a content's digest, or the id of an upload.

    Attributes:
        why: "unknown" (a sweep found it, and no row of the database tells of it), "dropped" (nothing refers to it
            any more), "uploads" (parts of an upload that no row tells of), or "abandoned" (those of one that was
            given up, refused, or nobody went on with).
        size: bytes. since, until: seconds since the epoch.
    """

    name: str
    why: str
    size: int
    since: float
    until: float


class SupportsQuarantine(Protocol):
    """Stores in which what is deleted waits for a while. What is asked for comes back by itself.

    Without it a content is gone when it is deleted: then nothing stands between a wrong database and the contents
    but what a node checks at its start (:mod:`grid.installation.claim`).

    Attributes:
        grace: seconds that what was deleted waits. most: bytes of what was dropped that wait at most.
        clock: tells when something came, and how long it has waited.
    """

    grace: float
    most: int
    clock: Clock

    @property
    def crowded(self) -> bool:
        """Whether so much was dropped since the last :meth:`purge` that another is due before its time."""

    def listed(self) -> Iterator[SetAside]:
        """What waits, in no order."""

    def holds(self, name: str) -> bool:
        """Whether the content ``name`` waits."""

    def give_back(self, name: str) -> bool:
        """Put a content back; whether it waited."""

    def count_for(self, owner: str, names: Iterable[str]) -> None:
        """Count those of ``names`` (contents, and uploads that were given up) that wait as what ``owner`` dropped:
        where there is no room for all that was dropped, whoever has most there loses their own first."""

    def purge(self, referred: Callable[[Collection[str]], Collection[str]]) -> int:
        """Remove what has waited long enough; returns how much that was.

        Args:
            referred: says which of some contents the database refers to after all: these go back instead.
        """

    def keeping(self) -> AbstractContextManager[None]:
        """While it is entered no process removes anything for good, also not what it would recycle: what is
        deleted waits. Raises :class:`Conflict` where somebody else has entered it."""


class SupportsMarks(Protocol):
    """Stores that keep a record of what was spent, beside the contents: it outlives the database."""

    def append(self, lines: Collection[bytes]) -> None:
        """Add lines (without their ends), durably, whoever else does so at the same time."""

    def lines(self) -> list[bytes] | None:
        """All of them, in order, as they are; None where nobody ever wrote one."""

    def rewrite(self, change: Callable[[Sequence[bytes]], Sequence[bytes]]) -> None:
        """Put what ``change`` makes of all lines in their place; nobody adds any meanwhile."""


class _NoCache:
    def recent(self, digest: str) -> memoryview | None:
        return None

    def forget(self, digests: Iterable[str]) -> None:
        pass

    def drop_page_cache(self, digests: Iterable[str]) -> None:
        pass

    def trim(self, *, everything: bool = False) -> None:
        pass


_NO_CACHE = _NoCache()


class BlobStore(ABC):
    """Immutable contents under their BLAKE3 digest (64 lower-case hex digits).

    Every method that takes a digest raises :class:`BadRequest` if it is none, and :class:`NotFound` if
    there is no such content. Opening a store removes nothing from it.
    """

    # -- what every store does ----------------------------------------------------------------------

    @abstractmethod
    def identity(self, proposed: str | None = None) -> str | None:
        """The store's own id, which is kept inside it: who has the same one has the same contents.

        None if it has none yet. Then a ``proposed`` one (32 hex digits) is put there, durably, unless somebody
        else was faster: the answer is the one that stays.
        """

    @abstractmethod
    def reached(
        self, database_id: str | None = None, epoch: int = 0, *, anew: bool = False
    ) -> tuple[str, int] | None:
        """How far the database that goes with these contents had come: its id and its epoch; None if nobody has
        said so yet. Raises :class:`InvalidConfig` if what was noted cannot be read.

        With a ``database_id`` (32 hex digits) it is noted, durably, that this database is at ``epoch``; the answer
        is what stays: the note of another database does, and a later epoch.

        Args:
            anew: put this in place of whatever is there.
        """

    @abstractmethod
    def create(self, size: int | None = None) -> BlobWriter:
        """A writer for new content; ``size``: at most so many bytes will come, if that is known."""

    @abstractmethod
    def open(self, digest: str, *, hold: bool = False) -> BlobReader:
        """The content, to be read and closed by the caller.

        Args:
            hold: nobody deletes it meanwhile. Contents that are deleted with ``recycle`` must be opened so.
        """

    @abstractmethod
    def hold(self, digest: str) -> Blob:
        """A content that is here already, held so that a transaction can refer to it."""

    @abstractmethod
    def size(self, digest: str) -> int:
        """Bytes of content."""

    @abstractmethod
    def digests(self) -> Iterator[str]:
        """All contents, in no order."""

    @abstractmethod
    def delete_all(
        self,
        digests: Iterable[str],
        confirm: Callable[[list[str]], Collection[str]],
        *,
        recycle: bool = False,
        unknown: bool = False,
    ) -> int:
        """Remove the contents that nobody holds and that ``confirm`` names; returns how many.

        It is asked once, with all of them, when nobody can begin to hold them any more. Where there is a
        quarantine, they wait there.

        Args:
            unknown: nobody dropped them; a sweep found them.
            recycle: whoever reads these contents holds them, and others of their size will come: a hint that
                their room may be used again. They do not wait: what a training has used up is not kept.
        """

    @abstractmethod
    def sweep(self) -> int:
        """Remove what writers and readers that died left behind; returns how many."""

    @abstractmethod
    def check(self) -> None:
        """Raise :class:`Unavailable` when nothing can be stored, or something stored could not be made durable."""

    @property
    @abstractmethod
    def partials(self) -> PartialContents:
        """Contents that arrive in parts."""

    # -- what some do besides -----------------------------------------------------------------------

    @property
    def unsynced(self) -> SupportsUnsynced | None:
        """Contents before they are durable, in stores that offer it."""
        return None

    @property
    def cache(self) -> SupportsCache:
        """Contents that stay in memory for a moment; never any, in stores that do not offer it."""
        return _NO_CACHE

    @property
    def quarantine(self) -> SupportsQuarantine | None:
        """Where what is deleted waits, in stores that offer it."""
        return None

    @property
    def marks(self) -> SupportsMarks | None:
        """The record of what was spent, in stores that keep one."""
        return None

    def stamp(self, digest: str) -> object:
        """What another one replaces when somebody touches the stored bytes; None where nobody can tell."""
        return None

    # -- what follows from that ---------------------------------------------------------------------

    def exists(self, digest: str) -> bool:
        """Whether the content is here."""
        try:
            self.size(digest)
        except NotFound:
            return False
        return True

    def put(self, chunks: Iterable[bytes | bytearray | memoryview], digest: str | None = None) -> Blob:
        """Write and commit ``chunks``."""
        with self.create() as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit(digest)

    def delete(self, digest: str, confirm: Callable[[], bool] = lambda: True) -> bool:
        """Remove content that nobody holds, if ``confirm`` agrees; whether it did."""
        return bool(self.delete_all([digest], lambda held: held if held and confirm() else ()))

    def map(self, digest: str, *, hold: bool = False) -> memoryview:
        """The content without copying it, where that is possible (:meth:`BlobReader.map`)."""
        with self.open(digest, hold=hold) as reader:
            return reader.map()

    def read_range(self, digest: str, start: int, stop: int | None = None) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive; None is the end). Raises :class:`BadRequest` outside."""
        with self.open(digest) as reader:
            stop = reader.size if stop is None else stop
            if not 0 <= start <= stop <= reader.size:
                raise BadRequest(
                    "the range lies outside the content", start=start, stop=stop, size=reader.size
                )
            return reader.read(start, stop)
