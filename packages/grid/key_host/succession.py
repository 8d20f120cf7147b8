"""Key hosts that go on under another key: this one, and others of its policies.

The old host gives up: it signs who follows it, closes its rounds, and makes no key any more. The new one, with a
home and a database of its own, countersigns and begins with all that was spent. Hosts and participants follow
what both keys signed. A policy that names a key that was given up is served by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.key_host.chain import LedgerEntry, append, head_of
from grid.key_host.charging import learn_spent, spent_in
from grid.key_host.core import HostCore, Turn
from grid.key_host.log import last_entry, write_log
from grid.key_host.machines.round import recover
from grid.key_host.peers import check_end, heirs
from grid.key_host.rounds import HeldRound
from grid.key_host.tables import (
    KeyHostPolicy,
    KeyHostRound,
    KeyHostScope,
    KeyHostSuccession,
)
from syft_ext.confidential.asks import ScopeRows
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import RoundContext
from syft_ext.confidential.transparency.succession import HostSuccession, Succession
from syft_ext.errors import BadRequest, Conflict, InvalidStatement
from syft_ext.messages import key_host_successions as m

__all__ = ["hand_over", "learn_successions", "own_line", "take_over"]


def own_line(core: HostCore, session: Session) -> list[bytes]:
    """The successions, encoded, by which this host follows others, the last first."""
    found, key = list[bytes](), core.key.hex()
    for _ in range(64):
        row = session.scalars(select(KeyHostSuccession).where(KeyHostSuccession.new == key)).first()
        if row is None:
            break
        found.append(row.statement)
        key = row.old
    return found


def learn_successions(core: HostCore, statements: Iterable[bytes]) -> None:
    """Remember what hosts signed of their keys, where the old one is in a policy that was decided about here; or
    is this host's own: then it is an older self, or its key is used elsewhere, and ends.

    Of two successors of one key neither counts from then on. Raises what the statements' own checks raise, and
    :class:`~syft_ext.errors.KeyRefused` (``peer-rolled-back``) where the old host ended before what was seen of
    it.
    """
    for statement in statements:
        said = Succession.decode(statement).open()
        with core.db.read() as session:  # anybody hands them in: what says nothing new costs no turn
            if not _concerns(core, session, said):
                continue
        with core.turn() as turn:
            row = turn.session.get(KeyHostSuccession, said.old.hex())
            if row is not None:
                if row.new != said.new.hex() and row.conflict is None:
                    row.conflict = statement
                continue
            check_end(turn.session, said.old, said.head)
            _keep(turn, said, statement)


def _concerns(core: HostCore, session: Session, said: HostSuccession) -> bool:
    row = session.get(KeyHostSuccession, said.old.hex())
    if row is not None:
        return row.new != said.new.hex() and row.conflict is None
    return said.old == core.key or said.old in _known(session)


def _known(session: Session) -> set[bytes]:
    """The keys of all hosts that are in policies that were decided about here, and of those that follow them."""
    rows = session.scalars(select(KeyHostPolicy.statement).where(KeyHostPolicy.state != "registered"))
    keys = {host.key for statement in rows for host in ConfidentialPolicy.decode(statement).hosts}
    return keys | set(heirs(session).values())


def _keep(turn: Turn, said: HostSuccession, statement: bytes) -> None:
    if said.new in heirs(turn.session) or said.new.hex() == said.old.hex():
        raise InvalidStatement("keys of key hosts follow each other in a circle")
    turn.session.add(
        KeyHostSuccession(
            old=said.old.hex(), new=said.new.hex(), statement=statement, conflict=None, at=turn.at
        )
    )
    turn.session.flush()


def hand_over(core: HostCore, message: m.HandOver) -> m.HandedOver:
    """End this host, in favour of the key that its operator names; the same is answered again.

    Raises :class:`Conflict` where another one was named before, or rounds are under way that are not to be ended.
    """
    new = key_of(message.new)
    if new == core.key:
        raise BadRequest("a key does not follow itself")
    with core.turn(spends=True) as turn:
        row = turn.session.get(KeyHostSuccession, core.key.hex())
        if row is None:
            turn.require_running()
            _end_rounds(turn, allowed=message.end_rounds)
            write_log(core, turn, "succeeded", what=new.hex())
            said = HostSuccession(
                old=core.key,
                new=new,
                at=turn.at,
                head=head_of(turn.session, turn.incarnation),
                log=last_entry(turn.session),
            )
            signed = Signed.make(said, core.identity)
            _keep(turn, said, signed.encode())
        elif row.new != new.hex():
            raise Conflict(f"this host was given up before, for {row.new}", successor=row.new)
        else:
            signed = _by_old(row)
        rows = Signed.make(_all_rows(core, turn, new), core.identity)
    return m.HandedOver(succession=signed.encode(), rows=rows.encode())


def _by_old(row: KeyHostSuccession) -> Signed[HostSuccession]:
    try:
        return Signed[HostSuccession].decode(row.statement)
    except InvalidStatement:  # both signed by now, and somebody handed that in here
        return Succession.decode(row.statement).by_old


def _end_rounds(turn: Turn, *, allowed: bool) -> None:
    """Every round that is not released is over, as after a recovery."""
    for row in turn.session.scalars(select(KeyHostRound)):
        held_round = HeldRound(row, RoundContext.decode(row.statement))
        step = recover(held_round.facts())
        if step.facts.status != held_round.facts().status:
            if not allowed:
                raise Conflict("rounds are under way: let them be released, or end them")
            held_round.take(step)


def _all_rows(core: HostCore, turn: Turn, new: bytes) -> ScopeRows:
    scopes = turn.session.scalars(select(KeyHostScope.id).order_by(KeyHostScope.id)).all()
    kept = turn.session.scalars(
        select(KeyHostPolicy).where(KeyHostPolicy.state != "registered").order_by(KeyHostPolicy.digest)
    )
    policies = [
        Signed[ConfidentialPolicy](
            body=row.statement,
            signer=ConfidentialPolicy.decode(row.statement).owner,
            signature=row.signature,
        )
        for row in kept
    ]
    return ScopeRows(
        host=core.key,
        recipient=new,
        at=turn.at,
        head=head_of(turn.session, turn.incarnation),
        policies=tuple(policies),
        scopes=tuple(spent_in(turn.session, scopes)),
    )


def take_over(core: HostCore, message: m.TakeOver) -> m.TakenOver:
    """Go on for a host that was given up, with all that was spent there; done again, only what was spent since is
    new: an older self of that host may have gone on.

    Raises :class:`BadRequest` for what was handed to another host, and :class:`Conflict` where this one has made
    keys of its own before, or the old key has named another successor, too.
    """
    by_old = Signed[HostSuccession].decode(message.succession)
    said = HostSuccession.decode(by_old.body)
    by_old.open(HostSuccession, said.old)
    told = Signed[ScopeRows].decode(message.rows).open(ScopeRows, said.old)
    if said.new != core.key or told.recipient != core.key or told.host != said.old:
        raise BadRequest("this was handed to another key host")
    if (told.head, told.at < said.at) != (said.head, False):
        raise BadRequest("what was handed over is older than the word that it was")
    with core.turn() as turn:
        turn.require_running()
        row = turn.session.get(KeyHostSuccession, said.old.hex())
        if row is None:
            if turn.session.scalar(select(func.count()).select_from(KeyHostRound)):
                raise Conflict("this host has made keys of its own: start another one")
            row = _begin(core, turn, said, by_old, told)
        elif row.new == core.key.hex():
            for scope in told.scopes:
                learn_spent(turn.session, scope)
            if HostSuccession.decode(_by_old(row).body).at < said.at:
                row.statement = Succession.accepted(by_old, core.identity).encode()
        elif row.conflict is None:
            row.conflict = Succession.accepted(by_old, core.identity).encode()
        statement, named = row.statement, row.new
    if named != core.key.hex():
        raise Conflict(f"that key has named {named}, too: it is in two hands", successor=named)
    return m.TakenOver(succession=statement)


def _begin(
    core: HostCore, turn: Turn, said: HostSuccession, by_old: Signed[HostSuccession], told: ScopeRows
) -> KeyHostSuccession:
    _keep(turn, said, Succession.accepted(by_old, core.identity).encode())
    for scope in told.scopes:
        learn_spent(turn.session, scope)
    for signed in told.policies:
        policy = signed.open(ConfidentialPolicy, ConfidentialPolicy.decode(signed.body).owner)
        if turn.session.get(KeyHostPolicy, policy.digest().hex()) is None:
            turn.session.add(
                KeyHostPolicy(
                    digest=policy.digest().hex(),
                    scope_id=policy.scope.hex(),
                    statement=signed.body,
                    signature=signed.signature,
                    state="retired",
                    registered_at=turn.at,
                    registered_by=said.old.hex(),
                    decided_at=turn.at,
                    domains="",
                )
            )
    entry = LedgerEntry(what="recover", at=turn.at, scope=turn.incarnation)
    append(turn.session, turn.incarnation, entry)
    write_log(core, turn, "succeeds", what=said.old.hex())
    turn.session.flush()
    return turn.session.get_one(KeyHostSuccession, said.old.hex())
