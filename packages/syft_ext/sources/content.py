"""Content on its way to a Domain: its form, its size, and its bytes from any place on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from syft_ext.errors import BadRequest, TooLarge
from syft_ext.messages.datasets import Column
from syft_ext.sources.parts import NUMPY, Part
from syft_ext.tensors import MAX_HEADER, describing, tensor_header

if TYPE_CHECKING:
    from syft_ext.store.content import Data

__all__ = ["Content", "PartsContent", "ValueContent"]


class Content(ABC):
    """Attributes:
    kind: as :mod:`syft_ext.store.content` has it.
    size: bytes in all.
    columns: the schema.
    rows: how many entries all columns have; None where they differ or there are none.
    """

    kind: str
    size: int
    columns: list[Column]
    rows: int | None = None

    @abstractmethod
    def pieces(self, start: int = 0) -> Iterator[memoryview]:
        """The bytes from ``start`` on, every time the same; a piece is good until the next one."""

    def digest(self) -> str:
        """The BLAKE3 digest of all bytes, in hex: reads everything once."""
        hasher = blake3()
        for piece in self.pieces():
            hasher.update(piece)
        return hasher.hexdigest()


class PartsContent(Content):
    """A tensor file, made of parts that are read row range by row range.

    Args:
        kind: tensors, list, or (for one part without a name) tensor.
        name: what the column of a tensor without a name is called in the schema.
        notes: what of the source is not kept (an index), for who reads the schema.

    What values tell of themselves (the unit of times, the words that a categorical numbers) stands in the file's
    own metadata, so that a Domain that converts a table, and whoever downloads one, knows it. What an owner says
    does not: the same values are the same content, whatever is said of them.
    """

    def __init__(
        self, kind: str, parts: Sequence[Part], name: str = "data", notes: Sequence[str] = ()
    ) -> None:
        if len({part.name for part in parts}) != len(parts):
            raise BadRequest(f"{name}: two columns have the same name")
        if any(part.name == "__metadata__" for part in parts):
            raise BadRequest(f"{name}: a column cannot be called __metadata__")
        self.kind, self.parts, self._name, self.notes = kind, list(parts), name, list(notes)
        told = describing({part.name: part.found for part in parts if part.found}, self.notes)
        self._header = tensor_header(((part.name, part.dtype, part.shape) for part in parts), told)
        if len(self._header) > MAX_HEADER:
            raise TooLarge("the names and shapes of the columns take too much room", limit=MAX_HEADER)
        self.size = len(self._header) + sum(part.nbytes for part in parts)
        self.columns = [part.described(name) for part in parts]
        lengths = {part.shape[0] for part in parts if part.shape}
        self.rows = lengths.pop() if len(lengths) == 1 else None

    def pieces(self, start: int = 0) -> Iterator[memoryview]:
        if start < len(self._header):
            yield memoryview(self._header)[start:]
        position = len(self._header)
        for part in self.parts:
            end = position + part.nbytes
            if start < end:
                yield from part.pieces(max(0, start - position))
            position = end

    def without_rows(self) -> PartsContent:
        """The same columns with no entries: what a Domain keeps when the data stay with Workers."""
        return PartsContent(self.kind, [part.without_rows() for part in self.parts], self._name, self.notes)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it in memory, by column, exactly as it is kept. (Of bfloat16, the bytes, as uint16.)"""
        found = {}
        for part in self.parts:
            array = np.empty(part.shape, dtype=NUMPY[part.dtype])
            flat, count = array.reshape(-1), part.shape[0] if part.shape else 1
            width = len(flat) // max(1, count)
            for first in range(0, count if len(flat) else 0, part.step):
                stop = min(first + part.step, count)
                flat[first * width : stop * width] = np.asarray(part.rows(first, stop)).reshape(-1)
            found[part.name] = array
        return found


class ValueContent(Content):
    """A number, a text, bytes or a plan: small things, whole."""

    def __init__(self, data: Data, kind: str) -> None:
        from syft_ext.store.content import check_data, encode

        check_data(data, kind)
        self.kind, self.columns = kind, []
        self._bytes = b"".join(encode(data, kind))
        self.size = len(self._bytes)

    def pieces(self, start: int = 0) -> Iterator[memoryview]:
        if start < self.size:
            yield memoryview(self._bytes)[start:]
