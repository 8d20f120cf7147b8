"""Sessions of WebRTC out of a bed: they are made in an event loop, whose thread has to be there as well."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from syft_ext.transport.webrtc.loop import loop
from tests.nat.bed import Bed, Place, enter

__all__ = ["standing_in"]


@contextlib.contextmanager
def standing_in(bed: Bed, place: Place) -> Iterator[None]:
    """What this thread opens and starts is there, and so are sessions of WebRTC."""
    with (
        Path("/proc/thread-self/ns/net").open() as here,
        bed.file(place).open() as there,
        bed.standing_in(place),
    ):
        _move_loop(there.fileno())
        try:
            yield
        finally:
            _move_loop(here.fileno())


def _move_loop(namespace: int) -> None:
    async def move() -> None:
        enter(namespace)

    asyncio.run_coroutine_threadsafe(move(), loop()).result(60)
