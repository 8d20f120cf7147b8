"""Contents that arrive in parts, over lost connections and restarts: what uploads are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType

from grid.storage.blobs.blob import Blob

__all__ = ["PartialContent", "PartialContents"]


class PartialContent(ABC):
    """One of them, which nobody else uses meanwhile.

    Attributes:
        size: bytes that are there so far. They survive the death of the process.
    """

    size: int

    @abstractmethod
    def append(self, data: memoryview) -> None:
        """Add ``data`` at the end. Raises :class:`Unavailable` when the store is full."""

    @abstractmethod
    def finish(self, digest: str | None = None) -> Blob:
        """Make all of it a content, held for the caller. The parts stay until they are discarded: repeatable.

        Raises :class:`BadRequest` if it is not what ``digest`` says, :class:`NotFound` if it was discarded
        meanwhile.
        """

    @abstractmethod
    def close(self) -> None:
        """Let others use it."""

    def __enter__(self) -> PartialContent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PartialContents(ABC):
    """Those of one store, by names that are ids (:func:`syft_ext.ids.check_id`)."""

    @abstractmethod
    def open(self, name: str) -> PartialContent:
        """Go on with it, or begin it. Raises :class:`Conflict` while somebody else does."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes that are there; 0 if nothing is."""

    @abstractmethod
    def discard(self, name: str, *, owner: str | None = None) -> None:
        """Drop what is there; who is just appending finds out when they finish it.

        Args:
            owner: whose it was; it waits first, as other contents do that somebody dropped, where the store has a
                quarantine. None: nobody will ever want it back, and it goes at once.
        """

    @abstractmethod
    def sweep(self, keep: Callable[[str], bool]) -> int:
        """Drop those that nobody uses and ``keep`` does not want; returns how many."""

    @abstractmethod
    def check_room(self, size: int) -> None:
        """Raise :class:`Unavailable` if it is known that ``size`` more bytes have no room."""
