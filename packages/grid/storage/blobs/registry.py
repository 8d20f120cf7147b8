"""Stores of contents by the scheme of their URL.

A package adds one with an entry point of the group ``grid.content_stores``, named like the scheme, that is a
:class:`StoreOpener`. What a store needs to prove who it is (keys, tokens) is no part of its URL, which is shown.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, quote, urlsplit

from grid.storage.blobs.interface import BlobStore
from syft_ext.errors import InvalidConfig

__all__ = ["GROUP", "StoreOpener", "file_url", "open_store"]

GROUP = "grid.content_stores"
#: Known without a look at what is installed: that costs a start some milliseconds.
_OWN = {"file": EntryPoint("file", "grid.storage.blobs.files:open_url", GROUP)}


class StoreOpener(Protocol):
    """Opens the store that a URL of its scheme names; removes nothing from it."""

    def __call__(self, url: SplitResult, *, make: bool) -> BlobStore:
        """``make``: it is made if it is not there. Raises :class:`InvalidConfig` for a URL that names none,
        :class:`NotFound` if it is not there and ``make`` is false, :class:`Unavailable` if it cannot be reached.
        """


def open_store(url: str, *, make: bool = True) -> BlobStore:
    """The store at ``url``; raises what its opener raises, and :class:`InvalidConfig` for an unknown scheme."""
    parts = _split(url)
    point = _OWN.get(parts.scheme) or _installed().get(parts.scheme)
    if point is None:
        known = ", ".join(sorted({*_OWN, *_installed()}))
        raise InvalidConfig(
            f"contents: no store for {parts.scheme[:32] or 'a URL without a scheme'!r}, there are: {known}",
            field="contents",
        )
    try:
        opener: StoreOpener = point.load()
    except (ImportError, AttributeError) as error:
        raise InvalidConfig(
            f"contents: the store for {parts.scheme} cannot be loaded: {error}", field="contents"
        ) from error
    return opener(parts, make=make)


def file_url(path: Path) -> str:
    """The URL of the file store in a folder."""
    return f"file://{quote(str(path.absolute()))}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidConfig("contents: that is no URL", field="contents") from error
    if parts.username is not None or parts.password is not None:
        raise InvalidConfig("contents: the URL is shown; it must hold no user or password", field="contents")
    return parts


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
