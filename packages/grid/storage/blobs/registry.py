"""Stores of contents by the scheme of their URL.

A package adds one with an entry point of the group ``grid.content_stores``, named like the scheme, that is a
:class:`StoreOpener`. What a store needs to prove who it is (keys, tokens) is no part of its URL, which is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, quote, urlsplit

from grid.storage.blobs import files
from grid.storage.blobs.interface import BlobStore
from syft_ext.errors import InvalidConfig
from syft_ext.registry import Registry

__all__ = ["GROUP", "StoreOpener", "file_url", "open_store"]

GROUP = "grid.content_stores"


class StoreOpener(Protocol):
    """Opens the store that a URL of its scheme names; removes nothing from it."""

    def __call__(self, url: SplitResult, *, make: bool) -> BlobStore:
        """``make``: it is made if it is not there. Raises :class:`InvalidConfig` for a URL that names none,
        :class:`NotFound` if it is not there and ``make`` is false, :class:`Unavailable` if it cannot be reached.
        """


_OPENERS: Registry[StoreOpener] = Registry(
    "store of contents", GROUP, {"file": files.open_url}, make=lambda opener: opener, keep=False
)


def open_store(url: str, *, make: bool = True) -> BlobStore:
    """The store at ``url``; raises what its opener raises, and :class:`InvalidConfig` for an unknown scheme."""
    parts = _split(url)
    try:
        opener = _OPENERS.find(parts.scheme)
    except InvalidConfig as error:
        raise InvalidConfig(f"contents: {error.detail}", field="contents") from error
    return opener(parts, make=make)


def file_url(path: Path) -> str:
    """The URL of the file store in a folder."""
    return f"file://{quote(str(path.absolute()))}"


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidConfig("contents: that is no URL", field="contents") from error
    if not parts.scheme:
        raise InvalidConfig("contents: that is a URL without a scheme", field="contents")
    if parts.username is not None or parts.password is not None:
        raise InvalidConfig("contents: the URL is shown; it must hold no user or password", field="contents")
    return parts
