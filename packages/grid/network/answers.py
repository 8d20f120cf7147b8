"""What Domains answered to a Network's searches lately, so that they need not say the same again.

Nothing is taken from here unless the Domain says, in the very search that is answered, that it would say exactly
this: the Network names what it has by the digest of its content. A digest does not repeat when a Domain restarts
or goes back to an older state, as a number would; it is a strong validator (RFC 9110, section 8.8.1).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Answers", "Remembered"]

E = TypeVar("E")
#: Bytes of an answer from which on it is remembered: less costs hardly more than to say "unchanged".
SMALL = 2_000
CAPACITY = 32 << 20


@dataclass(frozen=True, slots=True)
class Remembered(Generic[E]):
    """``size``: bytes that the answer had on the wire; in memory it takes a few times that."""

    digest: bytes
    entries: Sequence[E]
    size: int


class Answers(Generic[E]):
    """The last answer of each Domain (by its key) to each query; the least recently used are forgotten.

    Args:
        capacity: bytes of answers, as they were on the wire.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._held = 0
        self._answers: OrderedDict[tuple[str, bytes], Remembered[E]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, domain: str, query: bytes) -> Remembered[E] | None:
        """What that Domain answered to this query last; None when it is not known any more."""
        with self._lock:
            if (domain, query) in self._answers:
                self._answers.move_to_end((domain, query))
            return self._answers.get((domain, query))

    def put(self, domain: str, query: bytes, answer: Remembered[E]) -> None:
        """Remember ``answer``, if it has a digest and is worth it, in place of what was known before."""
        with self._lock:
            before = self._answers.pop((domain, query), None)
            self._held -= before.size if before is not None else 0
            if not answer.digest or not SMALL <= answer.size <= self._capacity:
                return
            self._answers[domain, query] = answer
            self._held += answer.size
            while self._held > self._capacity:
                self._held -= self._answers.popitem(last=False)[1].size
