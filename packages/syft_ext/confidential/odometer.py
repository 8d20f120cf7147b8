"""What a participant has given so far, by its own count: over all Domains, scopes and trainings.

Hosts keep the ledger that holds; this is what a participant believes when they fail. A pure value: whoever
uses it stores what comes back before anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import Head, RoundContext
from syft_ext.confidential.sessions import SessionStatement
from syft_ext.confidential.transparency.log import TreeHead
from syft_ext.confidential.transparency.succession import HostSuccession, Succession, current, with_heirs
from syft_ext.confidential.trust import Trust
from syft_ext.errors import GridError, OfferRefused

__all__ = ["Odometer", "RoundGiven", "Seen", "SeenLog"]

_HEADS_KEPT = 64
"""Of a log: an offer that was taken some heads ago is still known when its update is sealed."""


class RoundGiven(msgspec.Struct, frozen=True):
    """A round that an update was given to.

    Attributes:
        rho: in 10^−9. domain, process: whose, hex. scope: hex. at: seconds since the epoch.
    """

    rho: int
    domain: str
    process: str
    scope: str
    at: int


class Seen(msgspec.Struct, frozen=True):
    """The newest statement of a host that was seen: its time, and where its chain stood; bytes in hex.

    Attributes:
        past: incarnations that it had before: it recovered from them, and is none of them again.
    """

    at: int
    incarnation: str
    sequence: int
    hash: str
    past: tuple[str, ...] = ()


class SeenLog(msgspec.Struct, frozen=True):
    """A Domain's transparency log as it was last seen: how many entries, under which root (hex).

    Attributes:
        at: when its keeper signed that head. past: sizes and roots of heads before it, the latest last.
    """

    size: int
    root: str
    at: int
    past: tuple[tuple[int, str], ...] = ()

    def root_of(self, size: int) -> str | None:
        """The root that was seen of this size; None where none was."""
        return dict((*self.past, (self.size, self.root))).get(size)


class Odometer(msgspec.Struct, frozen=True):
    """Rounds given to, by their context's digest and the participant's key (hex); the hosts' chains as they were
    last seen; the Domains' logs, by their key; the key hosts of each scope that was given to, ascending; key hosts
    that go on under another key, old to new; and keys that named two successors. Two participants of one owner
    give twice."""

    rounds: dict[str, RoundGiven] = {}
    hosts: dict[str, Seen] = {}
    logs: dict[str, SeenLog] = {}
    scopes: dict[str, tuple[str, ...]] = {}
    heirs: dict[str, str] = {}
    forked: tuple[str, ...] = ()

    @property
    def rho(self) -> int:
        """ρ given so far, in 10^−9."""
        return sum(each.rho for each in self.rounds.values())

    def check(self, context: RoundContext, participant: bytes, rho: int, trust: Trust) -> None:
        """Refuse a round that is one too many. One that was given to before costs nothing more: it has one
        upload.

        Raises :class:`~syft_ext.errors.OfferRefused`.
        """
        if _round(context, participant) in self.rounds:
            return
        if len(self.rounds) >= trust.rounds:
            raise OfferRefused(f"all {trust.rounds} rounds of your limit are given", check="odometer")
        if self.rho + rho > trust.rho_nano:
            raise OfferRefused(
                f"the round costs ρ = {rho / 1e9:g}, {(trust.rho_nano - self.rho) / 1e9:g} of your limit is left",
                check="odometer",
            )

    def check_scope(self, scope: bytes, hosts: Iterable[bytes]) -> None:
        """Refuse a policy that leaves out a host of its scope: others would not know what was spent.

        Raises :class:`~syft_ext.errors.OfferRefused`.
        """
        before = (bytes.fromhex(host) for host in self.scopes.get(scope.hex(), ()))
        if not set(hosts) >= {current(host, self.successors) for host in before}:
            raise OfferRefused(
                "the policy leaves out key hosts of its scope: its budget would begin anew", check="scope"
            )

    @property
    def successors(self) -> dict[bytes, bytes]:
        """Keys of key hosts that were given up, and those that follow them."""
        return {bytes.fromhex(old): bytes.fromhex(new) for old, new in self.heirs.items()}

    def succeeding(
        self, successions: Iterable[Succession], pinned: Iterable[bytes] | None = None
    ) -> Odometer:
        """With what key hosts say of their own keys: remembered for ever, of those that are ``pinned`` or were
        given to (None: of all): anybody has keys that follow each other.

        Raises :class:`~syft_ext.errors.InvalidStatement` for a key with two successors, and
        :class:`~syft_ext.errors.OfferRefused` where a host ended before what was seen of it: who follows it
        would not know all that was spent.
        """
        successions = tuple(successions)
        found = with_heirs(self.successors, successions)
        for each in successions:
            self._check_end(HostSuccession.decode(each.by_old.body))
        if pinned is not None:
            found = self._lines(found, pinned)
        heirs = {old.hex(): new.hex() for old, new in found.items()}
        return self if heirs == self.heirs else msgspec.structs.replace(self, heirs=heirs)

    def hearing(self, successions: Iterable[Succession], pinned: Iterable[bytes]) -> Odometer:
        """The same of an offer that was refused: what both keys signed was signed all the same, and whoever showed
        it may not show it again. Nothing is raised: what does not hold is left out."""
        heard, forked = self, set(self.forked)
        for each in successions:
            try:
                said = each.open()
                if heard.successors.get(said.old, said.new) != said.new:
                    forked.add(said.old.hex())
                    continue
                heard = heard.succeeding([each])
            except GridError:
                continue
        found = self._lines(heard.successors, pinned)
        heirs = {old.hex(): new.hex() for old, new in found.items()}
        return msgspec.structs.replace(self, heirs=heirs, forked=tuple(sorted(forked & set(heirs))))

    def _lines(self, found: Mapping[bytes, bytes], pinned: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of ``found`` by which others follow what is pinned, was given to, or is known already."""
        given = (bytes.fromhex(host) for hosts in self.scopes.values() for host in hosts)
        kept = dict[bytes, bytes]()
        for key in (*pinned, *given, *self.successors):
            while key in found and key not in kept:
                kept[key] = found[key]
                key = found[key]
        return kept

    def speakers(self, pinned: Iterable[bytes]) -> frozenset[bytes]:
        """The keys that speak for those that are ``pinned`` now: none where one named two successors."""
        heirs, found = self.successors, set[bytes]()
        for key in pinned:
            while key.hex() not in self.forked and key in heirs:
                key = heirs[key]
            found.update(() if key.hex() in self.forked else (key,))
        return frozenset(found)

    def _check_end(self, said: HostSuccession) -> None:
        seen = self.hosts.get(said.old.hex())
        if seen is None or said.old.hex() in self.heirs:
            return
        incarnation, sequence, digest = said.head.incarnation.hex(), said.head.sequence, said.head.hash.hex()
        behind = sequence < seen.sequence or (sequence == seen.sequence and digest != seen.hash)
        if incarnation in seen.past or (incarnation == seen.incarnation and behind):
            raise OfferRefused("a key host was given up at an older chain than it had before", check="heads")

    def given(
        self, context: RoundContext, participant: bytes, policy: ConfidentialPolicy, at: int, trust: Trust
    ) -> Odometer:
        """With this round under ``policy``, at the time ``at`` (seconds).

        Raises :class:`~syft_ext.errors.OfferRefused` as :meth:`check` does.
        """
        rho, scope, hosts = policy.mechanism.rho, policy.scope, [host.key for host in policy.hosts]
        self.check(context, participant, rho, trust)
        self.check_scope(scope, hosts)
        name = _round(context, participant)
        if name in self.rounds:
            return self
        row = RoundGiven(rho, context.domain.hex(), context.process, scope.hex(), at)
        scopes = {**self.scopes, scope.hex(): tuple(host.hex() for host in hosts)}
        return msgspec.structs.replace(self, rounds={**self.rounds, name: row}, scopes=scopes)

    def seeing(self, statement: SessionStatement) -> Odometer:
        """With this host's statement, as far as it is newer.

        Raises :class:`~syft_ext.errors.OfferRefused` for a chain that went back, or in two ways, without
        saying so by an incarnation that was never seen: the host runs on an older database, and might spend twice.
        """
        name, head = statement.host.hex(), statement.head
        before = self.hosts.get(name)
        now = Seen(statement.at, head.incarnation.hex(), head.sequence, head.hash.hex())
        if before is None:
            return msgspec.structs.replace(self, hosts={**self.hosts, name: now})
        older, newer = sorted((before, now), key=lambda seen: (seen.at, seen.sequence))
        past = before.past
        if older.incarnation == newer.incarnation:
            if older.sequence > newer.sequence:
                raise OfferRefused("a key host's chain is shorter than it was before", check="heads")
            if older.sequence == newer.sequence and older.hash != newer.hash:
                raise OfferRefused("a key host shows two different chains", check="heads")
        elif newer.incarnation in past:
            raise OfferRefused("a key host is what it was before it recovered", check="heads")
        elif older.incarnation not in past:
            past = (*past, older.incarnation)
        seen = msgspec.structs.replace(newer, past=past)
        return msgspec.structs.replace(self, hosts={**self.hosts, name: seen})

    def head_of(self, log: bytes) -> TreeHead | None:
        """The newest head that was seen of a log; None of one that is new."""
        seen = self.logs.get(log.hex())
        return None if seen is None else TreeHead(log, seen.size, bytes.fromhex(seen.root), seen.at)

    def knows_head(self, head: TreeHead) -> bool:
        """Whether this very head was seen before.

        Raises :class:`~syft_ext.errors.OfferRefused` where another one of its size was: the log has two views.
        """
        seen = self.logs.get(head.log.hex())
        root = None if seen is None else seen.root_of(head.size)
        if root is not None and root != head.root.hex():
            raise OfferRefused("the Domain's log shows two views: it was another one before", check="log")
        return root is not None

    def following(self, head: TreeHead) -> Odometer:
        """With this head, which was found to continue what was seen."""
        seen = self.logs.get(head.log.hex())
        if seen is not None and head.size <= seen.size:
            return self
        past = () if seen is None else (*seen.past, (seen.size, seen.root))[-_HEADS_KEPT:]
        now = SeenLog(head.size, head.root.hex(), head.at, past)
        return msgspec.structs.replace(self, logs={**self.logs, head.log.hex(): now})


def _round(context: RoundContext, participant: bytes) -> str:
    return f"{context.digest().hex()}/{participant.hex()}"


def same_incarnation(key: Head, session: Head) -> bool:
    """Whether a round key was made by the incarnation that a host speaks as: after a recovery, older keys are
    void."""
    return key.incarnation == session.incarnation
