"""The record: one line for each time that something was spent, each with a code that only the node's key makes.

    {"kind": "grant", "key": ID, "facts": {"uses_left": 1}} CODE

Facts are totals, not steps: of several lines the least of what is left counts, the most of what is spent, and the
last of anything else. Transactions that come together write in any order. ``begin`` and ``epoch`` lines say from
which epoch of the database on, and up to which, nothing is missing. What is missing, or cannot be read, counts as
spent.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from blake3 import blake3
from sqlalchemy.orm import Session

from grid.storage.blobs.interface import SupportsMarks
from syft_ext.identity import Identity

__all__ = ["Facts", "PutRight", "Spent", "SpentRecord"]

Facts = Mapping[str, Any]
_COMPACT = 4 << 20
"""Bytes of lines from which on only the last ones are kept, at the next start."""
_CODE = 64
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True, slots=True)
class Spent:
    """What the record says.

    Attributes:
        marks: the last facts of each key, by kind.
        begun: the database's id, and its epoch when the record was begun; None where nothing tells.
        reached: its last epoch.
        broken: lines that nobody can read, or that another key made.
    """

    marks: dict[str, dict[str, Facts]] = field(default_factory=dict)
    begun: tuple[str, int] | None = None
    reached: tuple[str, int] | None = None
    broken: int = 0

    def covers(self, database_id: str, since: int, until: int) -> bool:
        """Whether everything is here that was spent after epoch ``since`` of a database, up to ``until``."""
        if self.broken or self.begun is None or self.reached is None:
            return False
        same = self.begun[0] == self.reached[0] == database_id
        return same and self.begun[1] <= since and self.reached[1] >= until

    def of(self, kind: str) -> Mapping[str, Facts]:
        """The marks of one kind, by key."""
        return self.marks.get(kind, {})


PutRight = Callable[[Session, Spent, bool], int]
"""Puts what is counted right in a restored database; returns how much was changed. The last argument: the record
lacks something, so that all that is left of anything counts as spent."""


class SpentRecord:
    """Args: ``store``: where the lines are."""

    def __init__(self, store: SupportsMarks, identity: Identity) -> None:
        self._store, self._key = store, identity.derive_secret("record of what was spent")

    def add(self, entries: Iterable[tuple[str, str, Facts]]) -> None:
        """Write kinds, keys and facts down, durably."""
        self._store.append([self._line(*entry) for entry in entries])

    def begin(self, database_id: str, epoch: int) -> None:
        """An epoch of the database begins: it says so. Where it does not know of the epoch before, it begins anew:
        nobody can tell what was spent in between."""
        spent = self.read()
        if spent.reached is None or spent.reached[0] != database_id or spent.reached[1] < epoch - 1:
            self.anew(database_id, epoch)
            return
        self.add([("epoch", database_id, {"epoch": epoch})])
        self._store.rewrite(self._compact)

    def anew(self, database_id: str, epoch: int) -> None:
        """From this epoch on nothing is missing; what is known of before stays."""

        def write(lines: Sequence[bytes]) -> list[bytes]:
            ends = [self._line(kind, database_id, {"epoch": epoch}) for kind in ("begin", "epoch")]
            return [*self._lines_of(self._read(lines)), *ends]

        self._store.rewrite(write)

    def _compact(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        spent = self._read(lines)
        if sum(map(len, lines)) <= _COMPACT or spent.broken or spent.begun is None or spent.reached is None:
            return lines
        ends = (("begin", spent.begun), ("epoch", spent.reached))
        return [
            *self._lines_of(spent),
            *(self._line(kind, database_id, {"epoch": epoch}) for kind, (database_id, epoch) in ends),
        ]

    def _lines_of(self, spent: Spent) -> list[bytes]:
        return [
            self._line(kind, key, facts) for kind in spent.marks for key, facts in spent.marks[kind].items()
        ]

    def read(self) -> Spent:
        """What it says."""
        return self._read(self._store.lines())

    def _read(self, lines: Sequence[bytes] | None) -> Spent:
        marks: dict[str, dict[str, Facts]] = {}
        begun = reached = None
        broken = 0
        for line in lines or ():
            entry = self._entry(line)
            if entry is None:
                broken += 1
            elif entry[0] == "begin":
                begun = entry[1], int(entry[2]["epoch"])
            elif entry[0] == "epoch":
                reached = entry[1], int(entry[2]["epoch"])
            else:
                of_kind = marks.setdefault(entry[0], {})
                of_kind[entry[1]] = _merged(of_kind.get(entry[1], {}), entry[2])
        return Spent(marks, begun, reached, broken)

    def _line(self, kind: str, key: str, facts: Facts) -> bytes:
        text: bytes = _encode({"kind": kind, "key": key, "facts": facts})
        return text + b" " + self._code(text)

    def _entry(self, line: bytes) -> tuple[str, str, Facts] | None:
        text, code = line[: -_CODE - 1], line[-_CODE:]
        if not hmac.compare_digest(self._code(text), code):
            return None
        entry = msgspec.json.decode(text)
        return entry["kind"], entry["key"], entry["facts"]

    def _code(self, text: bytes) -> bytes:
        return str(blake3(text, key=self._key).hexdigest()).encode()


def _merged(before: Facts, after: Facts) -> Facts:
    facts = {**before, **after}
    for name in before.keys() & after.keys():
        values = [each[name] for each in (before, after) if each[name] is not None]
        if values and name == "spent":
            facts[name] = max(values)
        elif values and name.endswith("_left"):
            facts[name] = min(values)
    return facts
