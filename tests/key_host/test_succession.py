"""A key host that goes on under another key: both sign, what was spent goes along, and the old one is nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from grid.key_host.core import HostCore, HostLimits
from grid.key_host.epochs import EpochKeys
from grid.key_host.granting import grant_key
from grid.key_host.log import log_entries
from grid.key_host.peers import ended
from grid.key_host.policies import decide, register
from grid.key_host.recovery import recover_ledger, tell_rows
from grid.key_host.rounds import open_rounds
from grid.key_host.succession import hand_over, learn_successions, own_line, take_over
from grid.key_host.tables import KeyHostScope, KeyHostSuccession
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.transparency.host_log import open_log
from syft_ext.confidential.transparency.succession import HostSuccession, Succession
from syft_ext.errors import BadRequest, BadSignature, Conflict, Forbidden, InvalidStatement
from syft_ext.identity import Identity
from syft_ext.messages.key_host import DecidePolicy, Recover
from syft_ext.messages.key_host_successions import HandedOver, HandOver, TakeOver
from tests.key_host.parties import RHO, Party, fresh_database
from tests.key_host.test_grants import Round, refused


@pytest.fixture
def fresh(party: Party, tmp_path: Path) -> Iterator[HostCore]:
    """A host that was just started: its home, database and key are its own."""
    db = fresh_database(tmp_path / "fresh.db")
    core = HostCore(
        db,
        Identity.generate(),
        party.clock,
        EpochKeys(tmp_path / "fresh-epochs", 86_400),
        HostLimits(simulator=True),
    )
    core.prepare()
    yield core
    db.close()


def handed(old: HostCore, new: HostCore, *, end_rounds: bool = False) -> HandedOver:
    return hand_over(old, HandOver(new=new.key.hex(), end_rounds=end_rounds))


def taken(new: HostCore, given: HandedOver) -> bytes:
    return take_over(new, TakeOver(succession=given.succession, rows=given.rows)).succession


def spent(core: HostCore) -> list[tuple[int, int]]:
    with core.db.read() as session:
        return [(row.spent, row.rounds) for row in session.query(KeyHostScope)]


def approve(core: HostCore, policy: ConfidentialPolicy, party: Party) -> None:
    register(core, Signed.make(policy, party.owner), "")
    decide(core, DecidePolicy(digest=policy.digest().hex(), state="approved"))


def replaced(party: Party, old: HostCore, new: HostCore) -> bytes:
    """``new`` in the place of ``old``, who was given up."""
    both = taken(new, handed(old, new, end_rounds=True))
    party.hosts[party.hosts.index(old)] = new
    return both


def test_what_was_spent_is_spent_at_the_host_that_follows(party: Party, fresh: HostCore) -> None:
    policy = party.approved(party.policy(rounds=3))
    Round(party, policy, 1).all()
    old, other = party.ordered(policy)
    both = replaced(party, old, fresh)
    assert spent(fresh) == [(RHO, 1)]
    learn_successions(other, [both])

    follows = party.policy(rounds=3)
    for core in (fresh, other):
        approve(core, follows, party)
    for sequence in (2, 3):
        Round(party, follows, sequence).all()
    assert refused(Round(party, follows, 4).grant) == "budget"
    assert spent(fresh) == spent(other) == [(3 * RHO, 3)]


def test_the_old_key_is_nobody_any_more(party: Party, fresh: HostCore) -> None:
    policy = party.approved(party.policy())
    one = Round(party, policy, 1)
    old, other = party.ordered(policy)
    with pytest.raises(Conflict, match="under way"):
        handed(old, fresh)
    both = taken(fresh, handed(old, fresh, end_rounds=True))
    opening = party.opening(old, party.context(policy, 2))
    assert refused(lambda: open_rounds(old, opening)) == "given-up"
    assert refused(lambda: one.worker.grant(old, one.manifest, one.keys)) == "given-up"
    assert refused(lambda: recover_ledger(old, Recover(rows={}, burn=True))) == "given-up"
    # The others serve it until they know, and then no policy that names it, whatever it signs.
    grant_key(other, one.worker.ask(other, one.manifest, one.keys), one.manifest)
    learn_successions(other, [both])
    assert refused(lambda: one.worker.grant(other, one.manifest, one.keys)) == "policy"
    assert refused(lambda: open_rounds(other, party.opening(other, party.context(policy, 2)))) == "policy"
    with pytest.raises(Conflict, match="given up"):
        approve(other, party.policy(rounds=2), party)


def test_an_older_self_ends_when_it_sees_what_it_signed(party: Party, fresh: HostCore) -> None:
    policy = party.approved(party.policy())
    old, _ = party.ordered(policy)
    said = HostSuccession(old=old.key, new=fresh.key, at=1, head=_head(old), log=bytes(32))
    both = Succession.accepted(Signed.make(said, old.identity), fresh.identity)
    learn_successions(old, [both.encode()])
    assert refused(lambda: open_rounds(old, party.opening(old, party.context(policy)))) == "given-up"


def test_no_other_host_takes_the_place_of_one(party: Party, fresh: HostCore) -> None:
    """Without the old key's word the hosts of a scope stay."""
    Round(party, party.approved(party.policy())).all()
    other = party.hosts[1]
    party.hosts[0] = fresh
    with pytest.raises(Conflict, match="leaves out"):
        approve(other, party.policy(rounds=2), party)


def test_a_key_in_two_hands_is_followed_by_nobody(party: Party, fresh: HostCore) -> None:
    policy = party.approved(party.policy())
    Round(party, policy).all()
    old, other = party.ordered(policy)
    thief = Identity.generate()
    said = HostSuccession(old=old.key, new=key_of(thief), at=1, head=_head(old), log=bytes(32))
    learn_successions(other, [Succession.accepted(Signed.make(said, old.identity), thief).encode()])
    both = replaced(party, old, fresh)
    learn_successions(other, [both])
    with pytest.raises(Conflict, match=r"leaves out|two hands"):
        approve(other, party.policy(rounds=2), party)
    assert refused(lambda: open_rounds(other, party.opening(other, party.context(policy, 2)))) == "policy"


def test_it_is_done_again_after_a_crash_and_for_one_key_only(party: Party, fresh: HostCore) -> None:
    Round(party, party.approved(party.policy())).all()
    old = party.hosts[0]
    first, again = handed(old, fresh, end_rounds=True), handed(old, fresh)
    assert first.succession == again.succession
    assert taken(fresh, first) == taken(fresh, again)
    assert spent(fresh) == [(RHO, 1)]
    with pytest.raises(Conflict, match="before"):
        hand_over(old, HandOver(new="a" * 64))
    with pytest.raises(BadRequest, match="follow itself"):
        hand_over(party.hosts[1], HandOver(new=party.hosts[1].key.hex()))


def test_who_was_not_named_takes_over_nothing(party: Party, fresh: HostCore) -> None:
    policy = party.approved(party.policy())
    old, other = party.ordered(policy)
    given = handed(old, fresh)
    with pytest.raises(BadRequest, match="another key host"):
        taken(other, given)
    forged = Signed.make(HostSuccession.decode(Signed.decode(given.succession).body), Identity.generate())
    with pytest.raises(BadSignature):
        take_over(fresh, TakeOver(succession=forged.encode(), rows=given.rows))
    with pytest.raises(InvalidStatement):
        learn_successions(other, [given.succession])  # the new key has not signed


def test_one_that_has_made_keys_takes_over_nothing(party: Party, fresh: HostCore) -> None:
    policy = party.approved(party.policy())
    first, second = party.ordered(policy)
    Round(party, policy).all()
    given = hand_over(first, HandOver(new=second.key.hex(), end_rounds=True))
    with pytest.raises(Conflict, match="of its own"):
        taken(second, given)


def test_strangers_and_unknown_keys_are_not_kept(party: Party, fresh: HostCore) -> None:
    other, thief = party.hosts[1], Identity.generate()
    said = HostSuccession(old=fresh.key, new=key_of(thief), at=1, head=_head(fresh), log=bytes(32))
    learn_successions(other, [Succession.accepted(Signed.make(said, fresh.identity), thief).encode()])
    with other.db.read() as session:
        assert own_line(other, session) == []
    half = Succession(by_old=Signed.make(said, thief), by_new=Signed.make(said, thief))
    with pytest.raises(BadSignature):
        half.open()


def test_both_logs_say_so_and_the_line_is_told(party: Party, fresh: HostCore) -> None:
    old = party.hosts[0]
    both = replaced(party, old, fresh)
    with old.db.read() as session:
        entries = [Signed.decode(each) for each in log_entries(old, session, 0, 100)]
        last = open_log(entries, old.key)[-1]
    assert (last.action, last.what) == ("succeeded", fresh.key.hex())
    assert Succession.decode(both).open().log == last.digest()
    with fresh.db.read() as session:
        entries = [Signed.decode(each) for each in log_entries(fresh, session, 0, 100)]
        assert [(each.action, each.what) for each in open_log(entries, fresh.key)] == [
            ("succeeds", old.key.hex())
        ]
        assert own_line(fresh, session) == [both]


def test_a_host_that_recovers_asks_the_one_that_follows(party: Party, fresh: HostCore) -> None:
    policy = party.approved(party.policy())
    Round(party, policy).all()
    old, other = party.ordered(policy)
    both = replaced(party, old, fresh)
    learn_successions(other, [both])
    learn_successions(fresh, [both])
    rows = tell_rows(fresh, other.key.hex())
    done = recover_ledger(other, Recover(rows={fresh.key.hex(): rows.encode()}))
    assert done.burnt == []


def test_who_was_named_second_is_told_and_neither_counts(party: Party, fresh: HostCore) -> None:
    """Who has the old key, too, may be quicker than its owner: theirs is not handed out as this host's."""
    old, thief = party.hosts[0], Identity.generate()
    said = HostSuccession(old=old.key, new=key_of(thief), at=1, head=_head(old), log=bytes(32))
    party.hosts.append(fresh)
    approve(fresh, party.policy(), party)  # by which it knows the old key
    party.hosts.pop()
    learn_successions(fresh, [Succession.accepted(Signed.make(said, old.identity), thief).encode()])
    given = handed(old, fresh)
    with pytest.raises(Conflict, match="two hands"):
        taken(fresh, given)
    with fresh.db.read() as session:
        assert own_line(fresh, session) == []
        assert "two hands" in ended(session, [key_of(thief)])


def test_what_an_older_self_spent_after_it_was_given_up_is_spent_at_its_successor(
    party: Party, fresh: HostCore
) -> None:
    """Its database was put back to before, and it went on until it was given up once more."""
    policy = party.approved(party.policy(rounds=5))
    Round(party, policy, 1).all()
    old, _ = party.ordered(policy)
    first = handed(old, fresh, end_rounds=True)
    taken(fresh, first)
    _restored_to_before(old)
    party.clock.advance(10)
    Round(party, policy, 2).all()
    again = handed(old, fresh, end_rounds=True)
    assert again.succession != first.succession
    both = taken(fresh, again)
    assert spent(fresh) == [(2 * RHO, 2)]
    assert taken(fresh, again) == both and taken(fresh, first) == both
    assert Succession.decode(both).open().head == _head(old)


def test_a_host_that_was_put_back_is_not_followed_from_there(party: Party, fresh: HostCore) -> None:
    """Else what others saw of it after that would be spent again under the new key."""
    policy = party.approved(party.policy(rounds=5))
    Round(party, policy, 1).all()
    old, other = party.ordered(policy)
    before = _head(old)
    Round(party, policy, 2).all()
    Round(party, policy, 3).all()
    said = HostSuccession(old=old.key, new=fresh.key, at=1, head=before, log=bytes(32))
    both = Succession.accepted(Signed.make(said, old.identity), fresh.identity).encode()
    assert refused(lambda: learn_successions(other, [both])) == "peer-rolled-back"
    learn_successions(other, [replaced(party, old, fresh)])


def test_a_key_in_two_hands_answers_for_nobody_at_a_recovery(party: Party, fresh: HostCore) -> None:
    policy = party.approved(party.policy())
    Round(party, policy).all()
    old, other = party.ordered(policy)
    thief = Identity.generate()
    said = HostSuccession(old=old.key, new=key_of(thief), at=1, head=_head(old), log=bytes(32))
    both = replaced(party, old, fresh)
    learn_successions(other, [both])
    rows = tell_rows(fresh, other.key.hex())
    tell_rows(other, fresh.key.hex())
    learn_successions(other, [Succession.accepted(Signed.make(said, old.identity), thief).encode()])
    for key in (fresh.key, key_of(thief), old.key):
        with pytest.raises(Forbidden):
            tell_rows(other, key.hex())
    with pytest.raises(Conflict, match="too few hosts"):
        recover_ledger(other, Recover(rows={fresh.key.hex(): rows.encode()}))


def _restored_to_before(core: HostCore) -> None:
    with core.turn() as turn:
        turn.session.execute(delete(KeyHostSuccession))


def _head(core: HostCore):  # type: ignore[no-untyped-def]
    from grid.key_host.chain import head_of

    with core.turn() as turn:
        return head_of(turn.session, turn.incarnation)
