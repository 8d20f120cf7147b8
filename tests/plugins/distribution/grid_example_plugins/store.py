"""A store of contents: that of the tests, without files or locks, under a scheme of this package."""

from __future__ import annotations

from urllib.parse import SplitResult

from grid.storage.blobs.interface import BlobStore
from tests.storage.blobs import bucket

__all__ = ["open_url"]


def open_url(url: SplitResult, *, make: bool) -> BlobStore:
    """``example-bucket:///folder``."""
    return bucket.open_url(url, make=make)
