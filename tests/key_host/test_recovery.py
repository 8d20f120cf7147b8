"""A host whose database was restored is noticed by the others, and goes on only with what they know."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from grid.key_host.chain import is_whole
from grid.key_host.core import HostCore
from grid.key_host.log import log_entries
from grid.key_host.recovery import peers_needed, recover_ledger, tell_rows
from grid.key_host.restored import put_right
from grid.key_host.tables import KeyHostLedgerRow, KeyHostScope, KeyHostState
from grid.spending.record import Spent
from grid.storage.sql.database import Database
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.transparency.host_log import HostLogEntry, open_log
from syft_ext.errors import (
    BadRequest,
    BadSignature,
    Conflict,
    Forbidden,
    InvalidStatement,
    KeyRefused,
    LedgerRolledBack,
)
from syft_ext.identity import Identity
from syft_ext.messages.key_host import Recover
from tests.key_host.parties import RHO, Party, make_party
from tests.key_host.test_grants import Round, refused


def save(core: HostCore, to: Path) -> Path:
    """A copy of the host's SQLite file as it is now."""
    core.db.fold()
    shutil.copyfile(str(core.db.url.database), to)
    return to


def restore(core: HostCore, copy: Path) -> None:
    """Put the copy in place of the host's database, as an operator would."""
    path = str(core.db.url.database)
    core.db.close()
    for suffix in ("-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
    shutil.copyfile(copy, path)
    core.db = Database(f"sqlite:///{path}")


def rows_for(core: HostCore, *peers: HostCore) -> dict[str, bytes]:
    return {peer.key.hex(): tell_rows(peer, core.key.hex()).encode() for peer in peers}


def _spent(core: HostCore) -> tuple[int, int]:
    with core.db.read() as session:
        row = session.scalars(select(KeyHostScope)).one()
        return row.spent, row.rounds


def test_a_restored_file_is_noticed_by_what_a_peer_has_seen(party: Party, tmp_path: Path) -> None:
    """The operator copies the database back; peers' heads are in every request, and cannot be left out."""
    policy = party.approved(party.policy())
    first = Round(party, policy, 1)
    copy = save(first.host, tmp_path / "copy.db")
    first.all()
    Round(party, policy, 2).all()  # its sessions told the other host of row 1
    restore(first.host, copy)
    third = Round(party, policy, 3)
    with pytest.raises(LedgerRolledBack, match="row 1 of this ledger, which is not there"):
        third.grant()
    with pytest.raises(LedgerRolledBack):  # from now on, whatever is asked
        party.session(policy)


def test_a_ledger_that_grew_other_rows_is_noticed(party: Party, tmp_path: Path) -> None:
    policy = party.approved(party.policy())
    first = Round(party, policy, 1)
    copy = save(first.host, tmp_path / "copy.db")
    first.all()
    second = Round(party, policy, 2)
    second.all()
    other = party.ordered(policy)[1]
    restore(first.host, copy)
    # It grows the same number of rows with a peer that was restored to the same moment.
    party.process = "a" * 32
    rounds = [Round(party, policy, sequence) for sequence in (1, 2)]
    with pytest.raises(LedgerRolledBack):
        rounds[0].grant()
    assert other is not first.host


def test_a_peer_that_is_older_than_what_was_seen_of_it_is_refused(party: Party, tmp_path: Path) -> None:
    policy = party.approved(party.policy())
    first = Round(party, policy, 1)
    other = party.ordered(policy)[1]
    copy = save(other, tmp_path / "copy.db")
    first.all()
    Round(party, policy, 2).all()
    restore(other, copy)
    party.clock.advance(5)
    third = Round(party, policy, 3)
    assert refused(third.grant) == "peer-rolled-back"


def test_recovery_takes_the_union_and_ends_every_round_that_is_not_released(
    party: Party, tmp_path: Path
) -> None:
    policy = party.approved(party.policy(rounds=3, participations=3))
    first, released = Round(party, policy, 1), Round(party, policy, 2)
    other = party.ordered(policy)[1]
    released.all()
    shares = released.worker.output(released.manifest, released.keys, b"o" * 32)
    for core in party.ordered(policy):
        released.worker.confirm(core, released.manifest, shares)
    copy = save(first.host, tmp_path / "copy.db")
    first.all()
    restore(first.host, copy)
    done = recover_ledger(first.host, Recover(rows=rows_for(first.host, other)))
    assert (done.expired, done.learned, done.burnt) == (1, 1, [])
    assert _spent(first.host) == _spent(other) == (2 * RHO, 2)
    fresh = party.session(policy)
    # OPEN in the backup, granted since: to another manifest it is granted no more.
    changed = party.manifest(first.context, first.keys, ["cy", "dan"])
    assert refused(lambda: fresh.grant(first.host, changed, first.keys)) == "over"
    assert refused(lambda: fresh.grant(first.host, first.manifest, first.keys)) == "over"
    again = fresh.output(released.manifest, released.keys, b"p" * 32)
    assert refused(lambda: fresh.confirm(first.host, released.manifest, again)) == "other-output"
    third = Round(party, policy, 3)
    third.all()
    assert refused(Round(party, policy, 4).grant) in ("budget", "participations")


def test_a_round_that_a_backup_does_not_know_is_not_opened_again_once_it_was_granted(
    party: Party, tmp_path: Path
) -> None:
    policy = party.approved(party.policy())
    core, other = party.ordered(policy)
    copy = save(core, tmp_path / "copy.db")
    one = Round(party, policy, 1)
    one.all()
    restore(core, copy)
    recover_ledger(core, Recover(rows=rows_for(core, other)))
    assert refused(lambda: party.open(policy, one.context)) == "charged"


def test_a_recovered_host_restored_once_more_is_noticed(party: Party, tmp_path: Path) -> None:
    """Its peers have seen the incarnation after the recovery."""
    policy = party.approved(party.policy())
    core, other = party.ordered(policy)
    copy = save(core, tmp_path / "copy.db")
    Round(party, policy, 1).all()
    restore(core, copy)
    recover_ledger(core, Recover(rows=rows_for(core, other)))
    Round(party, policy, 2).all()
    restore(core, copy)
    third = Round(party, policy, 3)
    with pytest.raises(LedgerRolledBack, match="incarnation"):
        third.worker.grant(core, third.manifest, third.keys)
    party.clock.advance(1)
    core.db.close()
    with core.turn() as turn:
        turn.state.halted = ""
    later = Round(party, policy, 4)
    assert refused(lambda: later.worker.grant(other, later.manifest, later.keys)) == "peer-rolled-back"


def test_too_few_peers_are_not_enough_unless_the_budget_is_given_up(tmp_path: Path) -> None:
    party = make_party(tmp_path, 3)
    policy = party.approved(party.policy(dishonest=1))
    core, *others = party.ordered(policy)
    Round(party, policy, 1).all()
    assert peers_needed(policy) == 2
    one = rows_for(core, others[0])
    with pytest.raises(Conflict, match="too few"):
        recover_ledger(core, Recover(rows=one))
    done = recover_ledger(core, Recover(rows=one, burn=True))
    assert done.burnt == [policy.scope.hex()]
    assert refused(Round(party, policy, 2).grant) == "budget" or core is not party.ordered(policy)[0]
    second = Round(party, policy, 3)
    assert refused(lambda: second.worker.grant(core, second.manifest, second.keys)) == "budget"


def test_rows_are_signed_by_the_peer_for_this_host_now(party: Party) -> None:
    policy = party.approved(party.policy())
    core, other = party.ordered(policy)
    rows = tell_rows(other, core.key.hex()).encode()
    with pytest.raises(BadSignature):
        recover_ledger(core, Recover(rows={core.key.hex(): rows}))
    with pytest.raises(Forbidden):
        tell_rows(other, Identity.generate().verify_key)
    with pytest.raises(BadRequest, match="meant for this one"):
        recover_ledger(core, Recover(rows={other.key.hex(): tell_rows(other, other.key.hex()).encode()}))
    party.clock.advance(601)
    with pytest.raises(KeyRefused, match="too old"):
        recover_ledger(core, Recover(rows={other.key.hex(): rows}))


def test_a_halted_host_tells_nobody_what_it_knows(party: Party) -> None:
    policy = party.approved(party.policy())
    core, other = party.ordered(policy)
    other.halt("restored")
    with pytest.raises(LedgerRolledBack):
        tell_rows(other, core.key.hex())


def test_what_the_node_knows_to_be_restored_waits_for_a_recovery(party: Party) -> None:
    policy = party.approved(party.policy())
    core, other = party.ordered(policy)
    with core.db.transaction() as session:
        assert put_right(session, Spent(), False) == 1
        assert put_right(session, Spent(), False) == 0
    with pytest.raises(LedgerRolledBack, match="recover"):
        party.session(policy)
    recover_ledger(core, Recover(rows=rows_for(core, other)))
    Round(party, policy).all()


def test_rows_of_ledger_and_log_are_never_changed_or_removed(party: Party) -> None:
    one = Round(party)
    one.all()
    core = one.host
    for table in ("key_host_ledger", "key_host_log"):
        for statement in (f"UPDATE {table} SET hash = ''", f"DELETE FROM {table}"):
            with pytest.raises(DBAPIError, match="never changed"), core.db.transaction() as session:
                session.execute(text(statement))
    with core.db.read() as session:
        assert is_whole(session)


def test_a_row_that_somebody_changed_is_seen(party: Party) -> None:
    one = Round(party)
    one.all()
    with one.host.db.transaction() as session:
        session.execute(text("DROP TRIGGER key_host_ledger_no_update"))
        row = session.scalars(select(KeyHostLedgerRow)).one()
        changed = row.body[:-1] + bytes([row.body[-1] ^ 1])
        session.execute(update(KeyHostLedgerRow).values(body=changed))
    with one.host.db.read() as session:
        assert not is_whole(session)


def test_the_log_of_a_host_is_a_chain_that_anybody_can_check(party: Party) -> None:
    policy = party.approved(party.policy())
    core, other = party.ordered(policy)
    recover_ledger(core, Recover(rows=rows_for(core, other)))
    with core.db.read() as session:
        encoded = log_entries(core, session, 0, 100)
        incarnation = session.get_one(KeyHostState, 1).incarnation
    entries = [Signed[HostLogEntry].decode(each) for each in encoded]
    opened = open_log(entries, core.key)
    assert [each.action for each in opened] == ["approved", "recovered"]
    assert opened[0].policy == policy.digest()
    assert opened[1].incarnation.hex() == incarnation
    assert open_log(entries[1:], core.key, (1, opened[0].digest())) == opened[1:]
    for broken in (entries[1:], entries[::-1], [entries[0], entries[0]]):
        with pytest.raises(InvalidStatement):
            open_log(broken, core.key)
