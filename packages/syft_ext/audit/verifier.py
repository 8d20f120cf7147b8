"""Finding what was done to an audit log, entry by entry, in constant memory.

    verifier = Verifier(node_id, verify_key, checkpoints)
    for entry in entries: verifier.add(entry)
    problems = verifier.finish()

Sources: hash-chained logs after Schneier and Kelsey, "Secure Audit Logs to Support Computer Forensics" (1999);
signed tree heads of RFC 9162 are the model of the checkpoints, on a list instead of a tree.
"""

from __future__ import annotations

from collections.abc import Iterable

from syft_ext.audit.entries import (
    DIGESTS_LENGTH,
    FIELDS,
    ArchiveHead,
    Checkpoint,
    Entry,
    digest_of_field,
    genesis_previous,
    hash_of,
    stored_digests,
)
from syft_ext.errors import GridError

__all__ = ["Verifier"]

#: Problems that are told of; a log that has more of them is broken anyway.
LIMIT = 1000


class Verifier:
    """Takes the entries of one log as they stand, and says what does not fit.

    Args:
        node_id: whose log it is; the first entry is bound to it.
        verify_key: the node's key.
        checkpoints: signed by that key.

    Attributes:
        count: entries that were looked at.
        first: the first that had to be there; what came before is in an archive that was not looked at.
        signed_up_to: sequence number up to which valid checkpoints vouch for the log; -1: none does.
    """

    def __init__(self, node_id: str, verify_key: str, checkpoints: Iterable[Checkpoint] = ()) -> None:
        self.count, self.first, self.signed_up_to = 0, 0, -1
        self._expected = 0
        self._previous: str | None = genesis_previous(node_id)
        self._missing: list[tuple[int, int]] = []  # first and last, inclusive
        self._problems: list[tuple[int, str]] = []
        self._checkpoints: dict[int, list[Checkpoint]] = {}
        self.verify_key = verify_key
        for checkpoint in checkpoints:
            self.add_checkpoint(checkpoint)

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Must come before the entry that it is about, or right after it."""
        try:
            checkpoint.check(self.verify_key)
        except GridError:
            self._say(checkpoint.seq, f"checkpoint of entry {checkpoint.seq}: its signature does not verify")
            return
        self._checkpoints.setdefault(checkpoint.seq, []).append(checkpoint)
        if checkpoint.seq == self._expected - 1 and self._previous is not None:
            self._check_signed(checkpoint.seq, self._previous)

    def begin_after(self, archive: ArchiveHead, *, why: str = "") -> None:
        """What comes now follows an archive whose entries are not looked at, which is wrong if there is a ``why``.

        The archive must begin where the log has come to, unless nothing was looked at yet.
        """
        try:
            archive.check(self.verify_key)
        except GridError:
            why = "the signature of its head does not verify"
        span = f"entries {archive.first} to {archive.last}"
        if why:
            self._say(archive.first, f"the archive of {span}: {why}")
        if self._expected and archive.first != self._expected:
            self._say(archive.first, f"the archive of {span} does not follow entry {self._expected - 1}")
        if archive.last >= self._expected:
            if not self.count:
                self.first = archive.last + 1
            self._expected, self._previous = archive.last + 1, archive.hash
            self._check_signed(archive.last, archive.hash)

    def check_archive(self, archive: ArchiveHead) -> None:
        """All entries of the archive were added just now: they must end with what its head says."""
        span = f"entries {archive.first} to {archive.last}"
        if (archive.last + 1, archive.hash) != (self._expected, self._previous):
            self._say(archive.last, f"the archive of {span} does not end with the entry that was signed")

    def add(self, entry: Entry) -> None:
        """The next entry as it stands in the log."""
        self.count += 1
        seq = self._true_seq(entry)
        if self._late(seq):
            self._say(seq, f"entry {seq} stands after entry {self._expected - 1}: the order was changed")
            self._trusted_hash(entry, seq)
            return
        if seq > self._expected:
            self._missing.append((self._expected, seq - 1))
            self._previous = None
        wrong, trusted = self._trusted_hash(entry, seq)
        if self._previous not in (None, entry.previous) and "previous" not in wrong:
            before = "it belongs to another node's log" if seq == 0 else f"entry {seq - 1} was rewritten"
            self._say(seq, f"entry {seq} does not follow the entry before it: {before}")
        self._previous, self._expected = trusted, seq + 1
        self._check_signed(seq, trusted)

    def finish(self, head: tuple[int, str] | None = None) -> list[str]:
        """All problems, in the order of the entries. ``head``: last entry and its hash, as kept beside the log."""
        last = self._expected - 1
        for start, stop in self._missing:
            self._say(start, _missing(start, stop))
        promised = max([*self._checkpoints, head[0] if head else -1], default=-1)
        if promised > last:
            lost = _missing(last + 1, promised)
            self._say(promised, f"{lost}: the log was cut off after entry {last}")
        elif head is not None and head != (last, self._previous):
            self._say(last, f"the head names entry {head[0]} with another hash than entry {last} has")
        self._problems.sort(key=lambda found: found[0])
        return [text for _, text in self._problems]

    # -- one entry ----------------------------------------------------------------------------------

    def _true_seq(self, entry: Entry) -> int:
        """Which entry this is, also when just its number was changed."""
        stored = stored_digests(entry)["seq"]
        if digest_of_field("seq", entry.seq) == stored:
            return entry.seq
        gaps = (seq for start, stop in self._missing for seq in range(start, min(stop, start + LIMIT) + 1))
        for seq in (self._expected, *gaps):
            if digest_of_field("seq", seq) == stored:
                return seq
        return entry.seq if entry.seq >= self._expected else self._expected

    def _late(self, seq: int) -> bool:
        """Whether this entry should have come before; if it was missed, it is not missing any more."""
        if seq >= self._expected:
            return False
        for index, (start, stop) in enumerate(self._missing):
            if start <= seq <= stop:
                parts = [(start, seq - 1), (seq + 1, stop)]
                self._missing[index : index + 1] = [part for part in parts if part[0] <= part[1]]
                break
        return True

    def _trusted_hash(self, entry: Entry, seq: int) -> tuple[set[str], str]:
        """The fields that were changed, and the hash that the entry had when it was written."""
        stored = stored_digests(entry)
        wrong = {name for name in FIELDS if digest_of_field(name, getattr(entry, name)) != stored[name]}
        computed = hash_of(entry)
        if computed == entry.hash:
            if wrong or len(entry.digests) != DIGESTS_LENGTH:
                self._mark(seq, "digests")
            return set(), computed
        for name in FIELDS:
            if name in wrong:
                self._mark(seq, name)
        if not wrong:
            self._mark(seq, "hash")
            return wrong, computed
        return wrong, entry.hash

    def _mark(self, seq: int, field: str) -> None:
        self._say(seq, f"entry {seq}: {field} was changed")

    def _check_signed(self, seq: int, trusted: str) -> None:
        for checkpoint in self._checkpoints.get(seq, ()):
            if checkpoint.hash == trusted:
                self.signed_up_to = seq
            else:
                self._say(
                    seq,
                    f"entry {seq} is not the one that was signed: "
                    f"the log was rewritten from an entry between {self.signed_up_to + 1} and {seq} on",
                )

    def _say(self, seq: int, text: str) -> None:
        if len(self._problems) < LIMIT and (seq, text) not in self._problems[-3:]:
            self._problems.append((seq, text))


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
