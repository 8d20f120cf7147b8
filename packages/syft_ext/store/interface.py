"""The contract of every object store: one signature, in memory or persistent (paper, section 3.2.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from syft_ext.errors import BadRequest, NotFound
from syft_ext.store.objects import ObjectInfo, StorableObject

__all__ = ["ObjectStore"]


class ObjectStore(ABC):
    """Objects by id (32 hex digits).

    What is put is kept as it is at that moment, and what is read belongs to the reader: changing either
    changes nothing in the store. Every method that takes a key raises :class:`BadRequest` if it is no
    id, and :class:`NotFound` if there is no such object, unless it says otherwise. The store keeps
    permissions; whoever serves requests from it asks :func:`syft_ext.store.allows`.
    """

    @abstractmethod
    def get_object(self, key: str) -> StorableObject | None:
        """The object, or None."""

    @abstractmethod
    def put(self, obj: StorableObject) -> ObjectInfo:
        """Keep the object under its id, in place of one that was there."""

    @abstractmethod
    def put_stream(self, info: ObjectInfo, chunks: Iterable[bytes | bytearray | memoryview]) -> ObjectInfo:
        """Keep an object whose content comes in chunks, encoded as :mod:`syft_ext.store.content` says.

        ``info`` names it; its size, dtype and shape are found from the content. Returns the full
        description. Raises :class:`BadRequest` if the content is not of ``info.kind``.
        """

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """The encoded content as a file, to be closed by the caller."""

    @abstractmethod
    def info(self, key: str) -> ObjectInfo:
        """The object without its data."""

    @abstractmethod
    def __delitem__(self, key: str) -> None: ...

    @abstractmethod
    def __contains__(self, key: object) -> bool: ...

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def keys(self) -> Iterator[str]:
        """All ids, in ascending order."""

    @abstractmethod
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
        """Descriptions of matching objects, newest first.

        Args:
            text: every word of it occurs in the description or a tag, whatever its case and accents.
            tags: the object has all of them, letter by letter.
            kind: the object is of this kind.
            visible_to: the verify key of who searches; None searches without regard to permissions.
            limit, offset: which part of the result.
        """

    @abstractmethod
    def describe(
        self, key: str, *, description: str | None = None, tags: Iterable[str] | None = None
    ) -> None:
        """Replace the description or the tags; None leaves them."""

    @abstractmethod
    def grant(self, key: str, verify_key: str, *, read: bool = False, search: bool = False) -> None:
        """Add a key (or ``*``) to the object's permissions."""

    @abstractmethod
    def revoke(self, key: str, verify_key: str, *, read: bool = False, search: bool = False) -> None:
        """Take a key (or ``*``) from the object's permissions; one that is not there is no error."""

    def clear(self) -> None:
        """Remove all objects."""
        for key in list(self.keys()):
            del self[key]

    def __getitem__(self, key: str) -> StorableObject:
        found = self.get_object(key)
        if found is None:
            raise NotFound("there is no such object", id=key)
        return found

    def __setitem__(self, key: str, obj: StorableObject) -> None:
        if key != obj.id:
            raise BadRequest("an object is stored under its own id")
        self.put(obj)

    def __iter__(self) -> Iterator[str]:
        return self.keys()
