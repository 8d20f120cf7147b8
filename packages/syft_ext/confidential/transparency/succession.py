"""A key host that goes on under another key: both keys sign that one follows the other.

Whoever pinned the old key follows it by that, and by nothing less: a name, an address or a Domain's word names no
successor. A key that was given up is not taken any more; one that names two successors is in two hands, and none
of them is followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from syft_ext.confidential.canonical import Digest, Key, Signed, Statement, Time
from syft_ext.confidential.rounds import Head
from syft_ext.errors import InvalidStatement
from syft_ext.identity import Identity

__all__ = ["HostSuccession", "Succession", "current", "heirs_of", "with_heirs"]


class HostSuccession(Statement, frozen=True):
    """The word of a key host that it ends, and goes on as another.

    Attributes:
        old, new: what it signed with, and signs with from now on.
        head: where the ledger of the old one ended; what it says was spent is spent at the new one.
        log: digest of the last entry of the old one's public log, which says the same.
    """

    statement: ClassVar[str] = "host succession"

    old: Key
    new: Key
    at: Time
    head: Head
    log: Digest


class Succession(Statement, frozen=True):
    """The same statement, signed by both: whoever has only one of the keys takes over nothing."""

    statement: ClassVar[str] = "succession"
    max_bytes: ClassVar[int] = 8 << 10

    by_old: Signed[HostSuccession]
    by_new: Signed[HostSuccession]

    @classmethod
    def accepted(cls, by_old: Signed[HostSuccession], new: Identity) -> Succession:
        """With the word of the new key."""
        return cls(by_old=by_old, by_new=Signed.make(HostSuccession.decode(by_old.body), new))

    def open(self) -> HostSuccession:
        """What both signed. Raises :class:`~syft_ext.errors.BadSignature` or
        :class:`~syft_ext.errors.InvalidStatement`."""
        said = HostSuccession.decode(self.by_old.body)
        if self.by_new.body != self.by_old.body or said.old == said.new:
            raise InvalidStatement("the two keys of a succession signed different things")
        self.by_old.open(HostSuccession, said.old)
        self.by_new.open(HostSuccession, said.new)
        return said


def heirs_of(successions: Iterable[Succession]) -> dict[bytes, bytes]:
    """Old key → new key. Raises :class:`~syft_ext.errors.InvalidStatement` for two successors of one key."""
    return with_heirs({}, successions)


def with_heirs(heirs: Mapping[bytes, bytes], successions: Iterable[Succession]) -> dict[bytes, bytes]:
    """The same, with what is known already.

    Raises as :func:`heirs_of` does, and for keys that follow themselves.
    """
    found = dict(heirs)
    for each in successions:
        said = each.open()
        if found.setdefault(said.old, said.new) != said.new:
            raise InvalidStatement(
                f"the key host {said.old.hex()[:12]}… names two successors: its key is in two hands"
            )
        current(said.old, found)
    return found


def current(key: bytes, heirs: Mapping[bytes, bytes]) -> bytes:
    """The key that speaks for ``key`` now: itself, where it was not given up."""
    seen = {key}
    while key in heirs:
        key = heirs[key]
        if key in seen:
            raise InvalidStatement("keys of key hosts follow each other in a circle")
        seen.add(key)
    return key
