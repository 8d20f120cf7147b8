"""What every store of contents offers: immutable, named by their BLAKE3 digest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from types import TracebackType
from typing import BinaryIO

from grid.storage.blobs.blob import Blob
from syft_ext.errors import BadRequest

__all__ = ["BlobStore", "BlobWriter", "Check"]

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
        """Append a chunk. Raises :class:`Unavailable` when the disk is full."""

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
            remember: it will be read soon (:meth:`BlobStore.latest`).
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


class BlobStore(ABC):
    """Immutable contents under their BLAKE3 digest (64 lower-case hex digits).

    Every method that takes a digest raises :class:`BadRequest` if it is none, and :class:`NotFound` if
    there is no such content.
    """

    @abstractmethod
    def create(self, size: int | None = None) -> BlobWriter:
        """A writer for new content; ``size``: at most so many bytes will come, if that is known."""

    @abstractmethod
    def open(self, digest: str) -> BinaryIO:
        """The content as a file, to be closed by the caller."""

    @abstractmethod
    def map(self, digest: str, *, hold: bool = False) -> memoryview:
        """The content without copying it. Changes to the view stay in this process, page by page.

        Args:
            hold: nobody deletes it as long as there is a view on it.
        """

    @abstractmethod
    def latest(self, digest: str) -> memoryview | None:
        """A content that was committed with ``remember`` a moment ago, to be read in memory; None if it went."""

    @abstractmethod
    def forget(self, digests: Iterable[str]) -> None:
        """These need not be remembered any longer (:meth:`latest`)."""

    @abstractmethod
    def size(self, digest: str) -> int:
        """Bytes of content."""

    @abstractmethod
    def exists(self, digest: str) -> bool:
        """Whether the content is here."""

    @abstractmethod
    def hold(self, digest: str) -> Blob:
        """A content that is here already, held so that a transaction can refer to it."""

    @abstractmethod
    def delete(self, digest: str, confirm: Callable[[], bool] = lambda: True) -> bool:
        """Remove content that nobody holds, if ``confirm`` (asked under the lock) agrees; whether it did."""

    @abstractmethod
    def cool(self, digests: Iterable[str]) -> None:
        """Those of these contents that are here will hardly be read again: no memory need be spent on them."""

    def delete_all(
        self,
        digests: Iterable[str],
        confirm: Callable[[list[str]], Collection[str]],
        *,
        recycle: bool = False,
    ) -> int:
        """Remove the contents that nobody holds and that ``confirm`` names, asked with them under the locks.

        Args:
            recycle: whoever reads these contents holds them: the room of small ones is for new contents.

        Returns how many were removed.
        """
        return sum(self.delete(digest, lambda d=digest: d in confirm([d])) for digest in digests)  # type: ignore[misc]

    @abstractmethod
    def digests(self) -> Iterator[str]:
        """All contents, in no order."""

    @abstractmethod
    def sweep(self) -> int:
        """Remove what writers that died left behind; returns how many."""

    @abstractmethod
    def check(self) -> None:
        """Raise :class:`Unavailable` when a content that was kept (:meth:`keep`) could not be made durable."""

    @abstractmethod
    def trim(self, *, everything: bool = False) -> None:
        """Give up room that is kept for contents to come: what was not needed for a while, or ``everything``."""

    def keep(self, content: bytes | bytearray) -> Blob:
        """Store a content of :data:`WHOLE` bytes at most, which nobody changes any more, before it is durable.

        It survives the death of the process. What it takes to make it again after a power cut stays:
        nothing is deleted, by this process, before all that was kept is durable.
        """
        return self.put((content,))

    def put(self, chunks: Iterable[bytes | bytearray | memoryview], digest: str | None = None) -> Blob:
        """Write and commit ``chunks``."""
        with self.create() as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit(digest)

    def read_range(self, digest: str, start: int, stop: int | None = None) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive; None is the end). Raises :class:`BadRequest` outside."""
        size = self.size(digest)
        stop = size if stop is None else stop
        if not 0 <= start <= stop <= size:
            raise BadRequest("the range lies outside the content", start=start, stop=stop, size=size)
        with self.open(digest) as file:
            file.seek(start)
            return file.read(stop - start)
