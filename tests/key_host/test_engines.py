"""The same on SQLite and PostgreSQL: a round to its release, and many who want the last of a budget at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from grid.key_host.chain import is_whole
from grid.key_host.erasing import erase
from grid.key_host.recovery import recover_ledger
from grid.key_host.tables import KeyHostCharge, KeyHostParticipation, KeyHostScope
from grid.storage.sql.database import Database
from syft_ext.errors import KeyRefused
from syft_ext.messages.key_host import Recover
from tests.key_host.parties import RHO, Party, fresh_database, make_party
from tests.key_host.test_grants import Round, refused
from tests.key_host.test_recovery import rows_for


@pytest.fixture
def mixed(database_url: str, tmp_path: Path) -> Iterator[Party]:
    """One host on the engine, the other on SQLite."""
    databases = [Database(database_url), fresh_database(tmp_path / "other.db")]
    yield make_party(tmp_path, databases=databases)
    for db in databases:
        db.close()


def test_a_round_on_each_engine(mixed: Party) -> None:
    policy = mixed.approved(mixed.policy(rounds=2, participations=2))
    one = Round(mixed, policy)
    one.all()
    shares = one.worker.output(one.manifest, one.keys, b"o" * 32)
    for core in mixed.ordered(policy):
        one.worker.confirm(core, one.manifest, shares)
    other = one.worker.output(one.manifest, one.keys, b"p" * 32)
    core, peer = mixed.hosts
    assert refused(lambda: one.worker.confirm(core, one.manifest, other)) == "other-output"
    with pytest.raises(DBAPIError, match="never changed"), core.db.transaction() as session:
        session.execute(text("UPDATE key_host_ledger SET hash = ''"))
    Round(mixed, policy, 2).all()
    recover_ledger(core, Recover(rows=rows_for(core, peer)))
    third = Round(mixed, policy, 3)
    assert refused(lambda: third.worker.grant(core, third.manifest, third.keys)) == "participations"
    mixed.clock.advance(3 * 86_400)
    assert erase(core) >= 1
    with core.db.read() as session:
        assert is_whole(session)


def test_nobody_overspends_at_once(mixed: Party) -> None:
    policy = mixed.approved(mixed.policy(rounds=3))
    rounds = [Round(mixed, policy, sequence) for sequence in range(1, 9)]
    core = mixed.hosts[0]

    def ask(one: Round) -> str:
        try:
            one.worker.grant(core, one.manifest, one.keys)
        except KeyRefused as refusal:
            return str(refusal.extra["reason"])
        return "granted"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, rounds))
    assert sorted(answers) == ["budget"] * 5 + ["granted"] * 3
    with core.db.read() as session:
        scope = session.scalars(select(KeyHostScope)).one()
        assert (scope.spent, scope.rounds) == (3 * RHO, 3)
        assert len(session.scalars(select(KeyHostCharge)).all()) == 3
        assert len(session.scalars(select(KeyHostParticipation)).all()) == 6
        assert is_whole(session)
