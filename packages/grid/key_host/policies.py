"""Policies here: registered by anybody, decided about by the operator, by digest.

The strictest of the approved policies of a scope decides what the scope may spend, and how often somebody may take
part: an older policy, still approved, cannot be used to spend what a newer one takes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from grid.key_host.core import HostCore, Turn
from grid.key_host.log import write_log
from grid.key_host.peers import ended, heirs
from grid.key_host.tables import KeyHostCharge, KeyHostPolicy, KeyHostRound
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.transparency.succession import current
from syft_ext.errors import Conflict, Forbidden, InvalidStatement, KeyRefused, NotFound
from syft_ext.messages import key_host as m

__all__ = ["HeldPolicy", "ScopeLimits", "decide", "held", "limits_of", "register", "view", "views"]


@dataclass(frozen=True, slots=True)
class HeldPolicy:
    """A policy that this host has, with its row.

    Attributes:
        ended: why nothing is done under it whatever was decided: a key of its hosts was given up; else "".
    """

    row: KeyHostPolicy
    policy: ConfidentialPolicy
    ended: str = ""

    @property
    def signed(self) -> Signed[ConfidentialPolicy]:
        """As its owner signed it."""
        return Signed(body=self.row.statement, signer=self.policy.owner, signature=self.row.signature)

    @property
    def simulated(self) -> bool:
        """Whether it takes evidence that protects nothing."""
        return self.policy.evidence.allow_simulator

    def require(self, *states: m.PolicyState) -> None:
        """Raise :class:`KeyRefused` (``policy``) unless the operator decided so, and its hosts are those of
        now."""
        if self.ended:
            raise KeyRefused(self.ended, reason="policy")
        if self.row.state not in states:
            raise KeyRefused(f"the policy is {self.row.state} at this host", reason="policy")


def held(session: Session, digest: bytes) -> HeldPolicy:
    """The policy with this digest. Raises :class:`KeyRefused` (``policy``) where it was never registered here."""
    row = session.get(KeyHostPolicy, digest.hex())
    if row is None:
        raise KeyRefused("this host does not know the policy", reason="policy")
    found = _held(row)
    return replace(found, ended=ended(session, [host.key for host in found.policy.hosts]))


def _held(row: KeyHostPolicy) -> HeldPolicy:
    return HeldPolicy(row, ConfidentialPolicy.decode(row.statement))


def register(core: HostCore, signed: Signed[ConfidentialPolicy], by: str) -> m.HostPolicy:
    """Keep a policy until the operator decides; what is known already stays as it is.

    Raises :class:`BadSignature` or :class:`InvalidStatement` for one that its owner did not sign or that does not
    hold together, :class:`Forbidden` where this host is none of its hosts.
    """
    policy = signed.open(ConfidentialPolicy, signed.signer)
    if policy.owner != signed.signer:
        raise InvalidStatement("a policy is signed by its scope's owner")
    if all(host.key != core.key for host in policy.hosts):
        raise Forbidden("this host is none of the policy's hosts")
    if policy.production and policy.evidence.allow_simulator:
        raise InvalidStatement("a production policy takes no simulated evidence")
    digest = policy.digest().hex()
    with core.db.read() as session:
        row = session.get(KeyHostPolicy, digest)
        if row is not None:
            return view(_held(row))
    with core.turn() as turn:
        row = turn.session.get(KeyHostPolicy, digest)
        if row is None:
            _make_room(core, turn)
            row = KeyHostPolicy(
                digest=digest,
                scope_id=policy.scope.hex(),
                statement=signed.body,
                signature=signed.signature,
                state="registered",
                registered_at=turn.at,
                registered_by=by,
                decided_at=None,
                domains="",
            )
            turn.session.add(row)
            turn.session.flush()
    return view(_held(row))


def _make_room(core: HostCore, turn: Turn) -> None:
    """Whoever hands in policies that nobody decides about must not keep others from it: the oldest goes."""
    undecided = (
        select(KeyHostPolicy.digest)
        .where(KeyHostPolicy.state == "registered")
        .order_by(KeyHostPolicy.registered_at.desc(), KeyHostPolicy.digest)
        .offset(core.limits.policies - 1)
    )
    for digest in turn.session.scalars(undecided).all():
        turn.session.execute(delete(KeyHostPolicy).where(KeyHostPolicy.digest == digest))


def decide(core: HostCore, message: m.DecidePolicy) -> m.HostPolicy:
    """The operator's word. Raises :class:`NotFound`, and :class:`Conflict` for what was revoked, for hosts that do
    not carry what the scope has spent, or for simulated evidence where the settings do not allow it."""
    with core.turn() as turn:
        row = turn.session.get(KeyHostPolicy, message.digest)
        if row is None:
            raise NotFound("no such policy was handed in here")
        found = _held(row)
        if row.state == "revoked" and message.state != "revoked":
            raise Conflict("this policy was revoked, for ever")
        if message.state == "approved":
            given_up = ended(turn.session, [host.key for host in found.policy.hosts])
            if given_up:
                raise Conflict(given_up)
            _check_scope(turn, found)
        if message.state == "approved" and found.simulated and not core.limits.simulator:
            raise Conflict(
                "this policy takes simulated evidence, which protects nothing: start with --simulator"
            )
        row.state, row.decided_at, row.domains = (
            message.state,
            turn.at,
            "\n".join(sorted(set(message.domains))),
        )
        write_log(core, turn, message.state, policy=bytes.fromhex(message.digest))
    return view(found)


def _check_scope(turn: Turn, found: HeldPolicy) -> None:
    """The hosts of a scope only ever become more.

    All hosts of a policy are needed for each of its rounds, and each charges. So those of the scope's first policy
    know all that is ever spent in it, whatever others come with later ones: no budget begins anew. One that goes
    on under another key stands for itself. Policies that were retired before they had a round do not count.

    Raises :class:`Conflict`.
    """
    hosts, successors = {host.key for host in found.policy.hosts}, heirs(turn.session)
    others = select(KeyHostPolicy).where(
        KeyHostPolicy.scope_id == found.row.scope_id,
        KeyHostPolicy.digest != found.row.digest,
        KeyHostPolicy.state != "registered",
    )
    for row in turn.session.scalars(others):
        if row.state != "approved" and not _has_rounds(turn, row):
            continue
        known = {current(host.key, successors) for host in _held(row).policy.hosts}
        if not known <= hosts:
            raise Conflict(
                "the hosts of a scope carry what it has spent, and this policy leaves out some that the policy "
                f"{row.digest} has: with other hosts, name another scope",
                policy=row.digest,
            )


def _has_rounds(turn: Turn, row: KeyHostPolicy) -> bool:
    rounds = select(KeyHostRound.context).where(KeyHostRound.policy == row.digest).limit(1)
    charges = select(KeyHostCharge.context).where(KeyHostCharge.policy == row.digest).limit(1)
    return any(turn.session.scalar(each) is not None for each in (rounds, charges))


def view(found: HeldPolicy) -> m.HostPolicy:
    """A policy as it is shown."""
    row = found.row
    return m.HostPolicy(
        digest=row.digest,
        scope=row.scope_id,
        state=row.state,  # type: ignore[arg-type]
        simulated=found.simulated,
        registered_at=row.registered_at,
        decided_at=row.decided_at,
        hosts={host.key.hex(): host.url for host in found.policy.hosts},
        domains=row.domains.split(),
    )


def views(session: Session) -> m.HostPolicies:
    """All policies, the newest first."""
    rows = session.scalars(
        select(KeyHostPolicy).order_by(KeyHostPolicy.registered_at.desc(), KeyHostPolicy.digest)
    )
    return m.HostPolicies(policies=[view(_held(row)) for row in rows])


@dataclass(frozen=True, slots=True)
class ScopeLimits:
    """What a scope may spend in all (10^−9 of ρ), how often one person may take part, and how far apart; and who
    vouches for persons in it."""

    rho: int
    participations: int
    separation: int
    authorities: frozenset[bytes]

    @classmethod
    def strictest(cls, policies: Sequence[ConfidentialPolicy]) -> ScopeLimits:
        """Of several policies of one scope."""
        return cls(
            rho=min(each.budget.rho for each in policies),
            participations=min(each.cohort.participations for each in policies),
            separation=max(each.cohort.separation for each in policies),
            authorities=frozenset(key for each in policies for key in each.cohort.authorities),
        )


def limits_of(turn: Turn, policy: ConfidentialPolicy) -> ScopeLimits:
    """What holds for a grant under ``policy``: it and all policies of its scope that are approved here.

    Raises :class:`KeyRefused` (``budget``) where some of them have noise and others have none.
    """
    rows = turn.session.scalars(
        select(KeyHostPolicy.statement).where(
            KeyHostPolicy.scope_id == policy.scope.hex(), KeyHostPolicy.state == "approved"
        )
    )
    policies = [policy, *map(ConfidentialPolicy.decode, rows)]
    if len({each.mechanism.rho == 0 for each in policies}) > 1:
        raise KeyRefused("a scope with a budget pays for no rounds without noise", reason="budget")
    return ScopeLimits.strictest(policies)
