"""Going on after a database was restored (A9): what is not known counts as spent, and as over.

A new incarnation; every round that is not released is over; what was charged is the union of what is known here
and at each peer that answers, of which there must be n − t + f + 1 for a policy's guarantees. With all hosts
needed (t = n) that is f + 1: one of them is neither dishonest nor rolled back, and knows every round that was
completed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from grid.key_host.chain import LedgerEntry, append, head_of
from grid.key_host.charging import burn, learn_spent, spent_in
from grid.key_host.core import HostCore, Turn
from grid.key_host.log import write_log
from grid.key_host.machines.round import recover
from grid.key_host.peers import ended, heirs
from grid.key_host.policies import HeldPolicy, held
from grid.key_host.rounds import HeldRound
from grid.key_host.tables import KeyHostPolicy, KeyHostRound
from syft_ext.confidential.asks import ScopeRows
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import RoundContext
from syft_ext.confidential.sessions import CHALLENGE_LIFE
from syft_ext.confidential.transparency.succession import current
from syft_ext.errors import BadRequest, Conflict, Forbidden, KeyRefused
from syft_ext.messages import key_host as m

__all__ = ["peers_needed", "recover_ledger", "tell_rows"]


def peers_needed(policy: ConfidentialPolicy) -> int:
    """How many other hosts have to tell what they know, at least."""
    return len(policy.hosts) - policy.threshold + policy.dishonest + 1


def tell_rows(core: HostCore, caller: str) -> Signed[ScopeRows]:
    """What is known here of the scopes of all policies that ``caller`` (verify key, hex) is a host of.

    Raises :class:`Forbidden` where there is none, and as a grant would while this host is halted: what it knows
    may be old.
    """
    with core.turn() as turn:
        turn.require_running()
        known = _policies(turn)
        successors = heirs(turn.session)
        shared = [
            each
            for each in known
            if any(current(host.key, successors).hex() == caller for host in each.policy.hosts)
        ]
        if not shared or ended(turn.session, [bytes.fromhex(caller)]):
            raise Forbidden("this is for the other hosts of a policy")
        scopes = sorted({each.row.scope_id for each in shared})
        rows = ScopeRows(
            host=core.key,
            recipient=bytes.fromhex(caller),
            at=turn.at,
            head=head_of(turn.session, turn.incarnation),
            policies=tuple(each.signed for each in shared),
            scopes=tuple(spent_in(turn.session, scopes)),
        )
    return Signed.make(rows, core.identity)


def _policies(turn: Turn) -> list[HeldPolicy]:
    digests = turn.session.scalars(
        select(KeyHostPolicy.digest).where(KeyHostPolicy.state != "registered").order_by(KeyHostPolicy.digest)
    )
    return [held(turn.session, bytes.fromhex(digest)) for digest in digests]


@dataclass(slots=True)
class _Counts:
    expired: int = 0
    learned: int = 0


def recover_ledger(core: HostCore, message: m.Recover) -> m.Recovered:
    """Go on. Raises :class:`Conflict` where too few peers told what they know, and nothing is to be burnt."""
    rows = _opened(core, message.rows)
    counts = _Counts()
    with core.turn() as turn:
        turn.require_standing()
        for told in rows.values():
            if abs(turn.at - told.at) > 2 * CHALLENGE_LIFE:
                raise KeyRefused("what a host told is too old: ask it again", reason="time")
            counts.learned += sum(learn_spent(turn.session, scope) for scope in told.scopes)
            _keep_policies(core, turn, told)
        burnt = _lacking(core, turn, rows)
        if burnt and not message.burn:
            raise Conflict(
                f"for {len(burnt)} scopes too few hosts told what they know; ask more, or give up their budgets",
                scopes=burnt,
            )
        for scope in burnt:
            burn(turn.session, scope)
        for row in turn.session.scalars(select(KeyHostRound)):
            held_round = HeldRound(row, RoundContext.decode(row.statement))
            step = recover(held_round.facts())
            counts.expired += step.facts.status != held_round.facts().status
            held_round.take(step)
        turn.state.past = f"{turn.state.past}\n{turn.state.incarnation}".strip()
        turn.state.incarnation, turn.state.halted = secrets.token_hex(32), ""
        entry = LedgerEntry(what="recover", at=turn.at, scope=turn.incarnation)
        head = append(turn.session, turn.incarnation, entry)
        write_log(core, turn, "recovered")
    return m.Recovered(expired=counts.expired, learned=counts.learned, burnt=burnt, sequence=head.sequence)


def _keep_policies(core: HostCore, turn: Turn, told: ScopeRows) -> None:
    """Policies that a lost database had, by which scopes have charges: their hosts are the scopes' hosts. They are
    retired until the operator approves them again."""
    for signed in told.policies:
        policy = signed.open(ConfidentialPolicy, ConfidentialPolicy.decode(signed.body).owner)
        digest = policy.digest().hex()
        if any(host.key == core.key for host in policy.hosts) and not turn.session.get(KeyHostPolicy, digest):
            turn.session.add(
                KeyHostPolicy(
                    digest=digest,
                    scope_id=policy.scope.hex(),
                    statement=signed.body,
                    signature=signed.signature,
                    state="retired",
                    registered_at=turn.at,
                    registered_by=told.host.hex(),
                    decided_at=turn.at,
                    domains="",
                )
            )
            turn.session.flush()


def _opened(core: HostCore, rows: Mapping[str, bytes]) -> dict[bytes, ScopeRows]:
    opened = {}
    for name, encoded in rows.items():
        host = bytes.fromhex(name) if len(name) == 64 else b""
        told = Signed[ScopeRows].decode(encoded).open(ScopeRows, host)
        if told.host != host or told.recipient != core.key or host == core.key:
            raise BadRequest("what a host told is signed by it, and meant for this one")
        opened[host] = told
    return opened


def _lacking(core: HostCore, turn: Turn, rows: Mapping[bytes, ScopeRows]) -> list[str]:
    """The scopes for a policy of which too few told what they know: known here, or told of by anybody."""
    policies = [each.policy for each in _policies(turn)]
    for told in rows.values():
        for signed in told.policies:
            policy = ConfidentialPolicy.decode(signed.body)
            policies.append(signed.open(ConfidentialPolicy, policy.owner))
    lacking, successors = set(), heirs(turn.session)
    for policy in policies:
        hosts = [current(host.key, successors) for host in policy.hosts]
        answered = sum(key in rows and not ended(turn.session, [key]) for key in hosts if key != core.key)
        if core.key in hosts and answered < peers_needed(policy):
            lacking.add(policy.scope.hex())
    return sorted(lacking)
