"""What was read from the database, remembered until somebody commits anything.

Some questions are asked at every message (who has this key, what may they do), and the answers hardly ever change.
SQLite says in a tenth of the time of such a question whether any commit came since, of this process or of another
one; so an answer from here is never older than one from the database. On PostgreSQL there is no such word, and
every question is asked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from grid.storage.sql.database import Database

__all__ = ["CommitScopedCache"]

T = TypeVar("T")


class CommitScopedCache:
    """Answers by key, all of them forgotten at the next commit.

    Args:
        capacity: how many answers are kept; strangers, who can ask many questions, cannot fill the memory.
    """

    def __init__(self, database: Database, capacity: int = 1024) -> None:
        self._database = database
        self._capacity = capacity
        self._version: int | None = None
        self._answers: dict[Hashable, Any] = {}

    def get(self, key: Hashable, read: Callable[[], T]) -> T:
        """The answer to ``key``, by ``read()`` if it is not known; it must depend on the database alone."""
        version = self._database.version()
        if version is None:
            return read()
        if version != self._version:
            # A new dictionary: who is reading at this moment puts the answer into the old one.
            self._answers, self._version = {}, version
        answers = self._answers
        if key in answers:
            answer: T = answers[key]
            return answer
        found = read()
        if len(answers) < self._capacity:
            answers[key] = found
        return found
