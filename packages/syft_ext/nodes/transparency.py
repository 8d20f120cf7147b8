"""A Domain's transparency log, read whole: every entry, the head that the Domain signed, and who else did.

The Domain is the party that is not trusted. What is read is held against its key, against what this user saw of
the log before, and against heads and copies that others have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syft_ext.confidential.transparency.log import LogEntry, TreeHead, Witnessed, check_head
from syft_ext.confidential.transparency.merkle import leaf_hash, root_of
from syft_ext.errors import InvalidStatement
from syft_ext.messages.confidential import (
    AppendLog,
    GetLogHead,
    ListLogEntries,
    LogEntries,
    LogStanding,
    LogStatement,
)

if TYPE_CHECKING:
    from typing import Literal

    from syft_ext.client.caller import Caller

__all__ = ["ReadLog", "TransparencyLog"]

_AT_ONCE = 1000


@dataclass(frozen=True)
class ReadLog:
    """A log as it was read, its head verified.

    Attributes:
        witnessed: the head, with the signatures of key hosts, which are whoever they say.
        entries: all of them. hosts: what the Domain says of how far each host is.
    """

    witnessed: Witnessed
    head: TreeHead
    entries: tuple[LogEntry, ...]
    hosts: tuple[LogStanding, ...] = ()

    def check_older(self, other: TreeHead) -> None:
        """Raise :class:`InvalidStatement` unless ``other`` is a head of this log's beginning: then there are two
        views of it, or something was taken back."""
        if other.log != self.head.log:
            raise InvalidStatement("this is the head of another log")
        if other.size > len(self.entries):
            raise InvalidStatement(f"the log had {other.size} entries, and has {len(self.entries)}")
        leaves = [leaf_hash(entry.encode()) for entry in self.entries[: other.size]]
        if root_of(leaves) != other.root:
            raise InvalidStatement(f"the log shows two views: its first {other.size} entries are others")


class TransparencyLog:
    """``domain.confidential.log``."""

    def __init__(self, client: Caller) -> None:
        self.client = client

    def read(self) -> ReadLog:
        """All of it, to the newest head. Raises :class:`~syft_ext.errors.NotFound` for a log without an entry."""
        found: LogStatement = self.client.call(GetLogHead())
        witnessed, log = Witnessed.decode(found.statement), bytes.fromhex(self.client.verify_key)
        head = check_head(witnessed, log, (), 0, None, ())
        entries: list[LogEntry] = []
        while len(entries) < head.size:
            least = min(_AT_ONCE, head.size - len(entries))
            part: LogEntries = self.client.call(ListLogEntries(limit=least, offset=len(entries)))
            if not part.entries:
                raise InvalidStatement("the log is shorter than its head says")
            entries += map(LogEntry.decode, part.entries)
        read = ReadLog(witnessed, head, tuple(entries), tuple(found.hosts))
        read.check_older(head)
        return read

    def publish(
        self, kind: Literal["workload", "revocation"], subject: str, detail: str = ""
    ) -> Sequence[LogStanding]:
        """Publish a program, or that something is revoked, for ever; how far the key hosts are.

        Args:
            subject: its digest, or key, in hex.
        """
        found: LogStatement = self.client.call(AppendLog(kind=kind, subject=subject, detail=detail))
        return found.hosts
