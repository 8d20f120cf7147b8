"""PostgreSQL's connections, which do not wait for ever for a server that says nothing."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import psycopg

from grid.storage.sql.pace import ServerPatience

__all__ = ["PATIENCE", "TimedConnection"]

PATIENCE = 20.0
"""Seconds that an answer may take. A server that was cut off hangs up on nobody; its callers shall hear of it."""


class TimedConnection(psycopg.Connection[Any]):
    """A connection that is given up when an answer does not come in ``patience`` seconds; None: it waits."""

    patience: float | None = PATIENCE
    pace: ServerPatience | None = None

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        if self.patience is None:
            return super().wait(gen, *args, **options)
        try:
            return super().wait(_limited(gen, self.patience, self.pace), *args, **options)
        except TimeoutError as error:
            if self.pace is not None:
                self.pace.missed()
            # What was asked may still be done: nobody knows in what state this one is.
            self.pgconn.finish()
            raise psycopg.OperationalError("the database did not answer in time") from error


def _limited(
    gen: Generator[Any, Any, Any], seconds: float, pace: ServerPatience | None
) -> Generator[Any, Any, Any]:
    """What ``gen`` waits for and gives, for ``seconds`` at most; psycopg looks in when nothing comes."""
    begun = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > begun + (seconds if pace is None else pace.limit(seconds)):
                raise TimeoutError
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value
