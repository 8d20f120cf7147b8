"""A transparency log: what is published of policies, programs and keys, in a tree that only grows, with witnesses.

A Domain keeps it and signs its heads; key hosts sign a head as witnesses after they checked that it continues
the one that they signed before. A participant keeps the last head that it saw: a log that shows two people two
histories, or takes something back, is found out. Nothing of what an update is protected by rests on it: the
hosts' own statements do that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from syft_ext.confidential.canonical import Count, Digest, Key, Signed, Statement, Time
from syft_ext.confidential.transparency.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from syft_ext.errors import InvalidStatement

__all__ = [
    "Inclusion",
    "LogEntry",
    "LogShown",
    "TreeHead",
    "Witnessed",
    "check_head",
    "check_included",
    "head_over",
]

Proof = Annotated[tuple[Digest, ...], Meta(max_length=64)]


class LogEntry(Statement, frozen=True):
    """A leaf: something was published.

    Attributes:
        kind: "policy", "workload", "host", "revocation". subject: digest of what was published.
    """

    statement: ClassVar[str] = "log entry"
    max_bytes: ClassVar[int] = 8 << 10

    kind: Literal["policy", "workload", "host", "revocation"]
    subject: Digest
    at: Time
    detail: Annotated[str, Meta(max_length=1024)]


class TreeHead(Statement, frozen=True):
    """The log at a time; signed by its keeper, and by each witness."""

    statement: ClassVar[str] = "tree head"

    log: Key
    size: Count
    root: Digest
    at: Time


class Witnessed(Statement, frozen=True):
    """A head with the signatures of its keeper and of witnesses, all over the same."""

    statement: ClassVar[str] = "witnessed head"
    max_bytes: ClassVar[int] = 64 << 10

    head: Signed[TreeHead]
    witnesses: Annotated[tuple[Signed[TreeHead], ...], Meta(max_length=64)]


class Inclusion(Statement, frozen=True):
    """An entry and its way to a head's root."""

    statement: ClassVar[str] = "inclusion"

    entry: LogEntry
    index: Count
    proof: Proof


class LogShown(Statement, frozen=True):
    """What a participant is shown of a log: a head, one entry's way to it, and that it continues an older head.

    Attributes:
        consistency: from the size that was asked for to the head's; empty from none, or from the head itself.
    """

    statement: ClassVar[str] = "log shown"
    max_bytes: ClassVar[int] = 96 << 10

    witnessed: Witnessed
    inclusion: Inclusion
    consistency: Proof


def head_over(log: bytes, entries: Sequence[LogEntry], at: int) -> TreeHead:
    """The head of a log with these entries."""
    return TreeHead(log, len(entries), root_of([leaf_hash(entry.encode()) for entry in entries]), at)


def check_head(
    witnessed: Witnessed,
    log: bytes,
    witnesses: Collection[bytes],
    needed: int,
    seen: TreeHead | None,
    consistency: Sequence[bytes],
) -> TreeHead:
    """A head that its keeper and enough witnesses signed, and that continues what was seen before.

    Args:
        log: the keeper's key. witnesses: keys of whom one trusts to have looked; ``needed`` of them, each once.
        seen: the last head; None for the first. consistency: the proof from it to this one.

    Raises :class:`~syft_ext.errors.BadSignature` or :class:`~syft_ext.errors.InvalidStatement`.
    """
    head = witnessed.head.open(TreeHead, log)
    if head.log != log:
        raise InvalidStatement("a head of another log")
    signed = {each.signer for each in witnessed.witnesses if each.signer in witnesses and each.signer != log}
    for each in witnessed.witnesses:
        if each.signer in signed and each.open(TreeHead, each.signer) != head:
            raise InvalidStatement("a witness signed another head")
    if len(signed) < needed:
        raise InvalidStatement(f"{len(signed)} of your witnesses signed the head, {needed} are needed")
    if seen is not None:
        if seen.log != head.log:
            raise InvalidStatement("what was seen before is of another log")
        verify_consistency(seen.size, seen.root, head.size, head.root, consistency)
    return head


def check_included(inclusion: Inclusion, head: TreeHead) -> LogEntry:
    """The entry, if it is in the log with this (checked) head.

    Raises :class:`~syft_ext.errors.InvalidStatement`.
    """
    leaf = leaf_hash(inclusion.entry.encode())
    verify_inclusion(leaf, inclusion.index, head.size, inclusion.proof, head.root)
    return inclusion.entry
