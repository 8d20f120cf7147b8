"""Contents read through from the first to the last, so gently that nobody notices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, islice

from sqlalchemy import select

from grid.storage.objects.checked import CheckedContents, Damage
from grid.storage.objects.tables import BlobRow
from grid.storage.sql.database import Database
from syft_ext.errors import NotFound

__all__ = ["ReadingPace", "ScrubResult", "scrub", "stored_digests"]

_PAGE = 500


class ReadingPace:
    """Lets so many bytes a second pass, averaged over its life.

    Args:
        rate: bytes a second; None: as many as come.
        wait: waits so many seconds; raises to end the reading.
    """

    def __init__(self, rate: int | None, wait: Callable[[float], object] = time.sleep) -> None:
        self._rate, self._wait = rate, wait
        self._begun, self._bytes = time.monotonic(), 0

    def passed(self, size: int) -> None:
        """So many bytes were read."""
        self._bytes += size
        if self._rate is not None:
            ahead = self._bytes / self._rate - (time.monotonic() - self._begun)
            self._wait(max(ahead, 0.0))


@dataclass(slots=True)
class ScrubResult:
    """How many contents, and bytes of them, were read; what is wrong with which."""

    contents: int = 0
    size: int = 0
    damages: list[Damage] = field(default_factory=list)


def stored_digests(db: Database, after: str = "") -> Iterator[str]:
    """The digests of all contents that the database refers to, in order, from the one after ``after`` on."""
    while True:
        statement = select(BlobRow.digest).where(BlobRow.digest > after).order_by(BlobRow.digest)
        with db.read() as session:
            page = session.scalars(statement.limit(_PAGE)).all()
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1]


def scrub(
    db: Database,
    contents: CheckedContents,
    pace: ReadingPace,
    *,
    after: str = "",
    done: Callable[[str], None] = lambda digest: None,
) -> ScrubResult:
    """Read all contents that the database refers to, from the one after ``after`` on.

    Args:
        done: called with each digest that was read.
    """
    result = ScrubResult()

    def passed(size: int) -> None:
        result.size += size
        pace.passed(size)

    for _, few in groupby(enumerate(stored_digests(db, after)), lambda pair: pair[0] // _PAGE):
        read = [digest for _, digest in islice(few, _PAGE)]
        for digest in read:
            with suppress(NotFound):  # it was dropped meanwhile
                damage = contents.look_at(digest, passed)
                result.contents += 1
                if damage is not None:
                    result.damages.append(damage)
            pace.passed(0)
            done(digest)
        contents.cache.drop_page_cache(read)
    return result
