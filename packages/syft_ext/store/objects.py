"""The object that stores keep, and its description without the data."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from syft_ext.errors import BadRequest
from syft_ext.ids import check_id
from syft_ext.store.content import KINDS, MATCHED, Data, check_data, encode, is_tensor, kind_of
from syft_ext.store.permissions import check_keys

__all__ = ["Data", "ObjectInfo", "StorableObject", "described", "fold", "searchable"]

MAX_TAGS, MAX_TAG, MAX_DESCRIPTION = 64, 256, 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    id: str
    description: str = ""
    tags: tuple[str, ...] = ()
    read_permissions: frozenset[str] = frozenset()
    search_permissions: frozenset[str] = frozenset()
    owner: str | None = None
    kind: str = ""
    created_at: float = field(default_factory=time.time)
    _made_here: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        check_id(self.id)
        object.__setattr__(self, "tags", tuple(self.tags))
        object.__setattr__(self, "read_permissions", check_keys(self.read_permissions))
        object.__setattr__(self, "search_permissions", check_keys(self.search_permissions))
        check_texts(self.description, self.tags)
        if self.owner is not None and len(self.owner) > 64:
            raise BadRequest("an owner is a verify key")
        if self.kind not in KINDS | self._made_here:
            raise BadRequest("there is no such kind of object", kind=self.kind[:32])


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo(_Described):
    """An object without its data: what a search returns.

    Args:
        id: 32 hex digits.
        kind: one of :data:`syft_ext.store.content.KINDS`.
        description, tags: free text; a search looks into both.
        read_permissions, search_permissions: see :mod:`syft_ext.store.permissions`.
        owner: the verify key of who put it there. It grants nothing by itself.
        created_at: seconds since the epoch.
        size: bytes of content. dtype, shape: of a single tensor, else None.
    """

    size: int = 0
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    _made_here: ClassVar[frozenset[str]] = frozenset({MATCHED})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StorableObject(_Described):
    """An object with its data (paper, listing 3). ``kind`` follows from the data if it is not given;
    ``kind="plan"`` says that bytes are a plan. Raises :class:`BadRequest` for what cannot be stored."""

    data: Data

    def __post_init__(self) -> None:
        if not self.kind:
            object.__setattr__(self, "kind", kind_of(self.data))
        _Described.__post_init__(self)
        check_data(self.data, self.kind)

    @property
    def dtype(self) -> str | None:
        """In torch's words (``float32``); None for what is no tensor."""
        return str(self.data.dtype).removeprefix("torch.") if is_tensor(self.data) else None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """None for what is no tensor; () for a tensor of one number."""
        return tuple(self.data.shape) if is_tensor(self.data) else None

    def info(self) -> ObjectInfo:
        """The description without the data."""
        return ObjectInfo(
            **described(self),
            size=sum(len(piece) for piece in encode(self.data, self.kind)),
            dtype=self.dtype,
            shape=self.shape,
        )


def described(source: _Described) -> dict[str, Any]:
    """The fields that an object and its description share."""
    return {name: getattr(source, name) for name in _Described.__slots__}


def check_texts(description: str, tags: tuple[str, ...]) -> None:
    """Raise :class:`BadRequest` for texts that the stores do not keep."""
    if len(description) > MAX_DESCRIPTION:
        raise BadRequest(f"a description has at most {MAX_DESCRIPTION} characters")
    if len(tags) > MAX_TAGS or any(not 0 < len(tag) <= MAX_TAG for tag in tags):
        raise BadRequest(f"an object has at most {MAX_TAGS} tags of 1 to {MAX_TAG} characters")
    for text in (description, *tags):
        if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
            raise BadRequest("descriptions and tags are text without NUL and surrogates")


def fold(text: str) -> str:
    """The form in which texts are compared: without case and accents ("Diagnóstico" is "diagnostico")."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()


def searchable(description: str, tags: Iterable[str]) -> str:
    """The text that a search looks into."""
    return fold("\n".join((description, *tags)))
