"""Importing in processes of our own."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["importing"]


@contextmanager
def importing() -> Iterator[None]:
    """Import large libraries in here: a quarter of the time for torch, and a third for a node, would go into
    garbage collections that find nothing. Later collections pass over what was made here, so that forked
    processes go on sharing it. For processes that are ours alone, not for a user's."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
