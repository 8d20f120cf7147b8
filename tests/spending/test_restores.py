"""A database that is put back gives nothing out twice, whatever was spent, copied, lost and restarted before."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from grid.installation.claim import Installation
from grid.privacy.budget.tables import PrivacyBudget
from syft_ext.errors import Conflict, RestoredDatabase
from tests.spending.restoring import LIMIT, USER, Home, template


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Iterator[Home]:
    shutil.copytree(prepared, tmp_path / "home")
    home = Home(tmp_path / "home")
    yield home
    home.stop()


KINDS = ("grant", "budget", "ledger", "rule")


@seed(12)
@settings(max_examples=6, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.sampled_from(KINDS),
            st.tuples(
                st.sampled_from(("put back", "and lose the record", "and cut the record")), st.integers(0, 3)
            ),
            st.sampled_from(("copy", "restart")),
        ),
        max_size=14,
    )
)
def test_nothing_is_ever_given_twice(
    prepared: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[str | tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("restores")
    shutil.copytree(prepared, folder / "home")
    home = Home(folder / "home")
    home.copy()
    try:
        for step in steps:
            if step in KINDS:
                home.spend(str(step))
            elif step == "copy":
                home.copy()
            elif step == "restart":
                home.restart()
            else:
                record = home.home / "blobs" / "store.spent"
                if step[0] == "and lose the record":
                    record.unlink(missing_ok=True)
                elif step[0] == "and cut the record" and record.exists():
                    record.write_bytes(record.read_bytes()[:-7])
                home.put_back(int(step[1]))
                if home.waits:
                    assert not any(map(home.spend, KINDS))
                    home.installation.acknowledge()
        for what in KINDS:
            while home.spend(what):
                pass
            assert home.given[what] <= LIMIT, (what, home.given)
    finally:
        home.stop()


def test_just_what_was_spent_stays_spent(home: Home) -> None:
    home.copy()
    home.restart()
    for what in KINDS:
        assert home.spend(what) and home.spend(what)
    home.put_back(0)
    assert home.left() == (LIMIT, LIMIT)
    view = home.installation.restore()
    assert view.waiting and view.complete and view.spent >= 3
    assert view.known.epoch > view.database.epoch and "older" in view.reason
    assert home.left() == (LIMIT, LIMIT), "looking changes nothing"
    done = home.installation.acknowledge()
    assert not done.waiting and done.spent >= 3 and home.left() == (LIMIT - 2, LIMIT - 2)
    with pytest.raises(Conflict):
        home.installation.acknowledge()
    home.restart()
    assert not home.waits and home.spend("grant") and home.left()[0] == LIMIT - 3


def test_without_the_record_all_that_is_left_counts_as_spent(home: Home) -> None:
    home.copy()
    home.restart()
    (home.home / "blobs" / "store.spent").unlink()
    home.put_back(0)
    view = home.installation.restore()
    assert view.waiting and not view.complete
    home.installation.acknowledge()
    assert not any(map(home.spend, ("grant", "budget")))
    with home.installation.database.read() as session:
        row = session.get_one(PrivacyBudget, USER)
        assert row.spent == row.granted == LIMIT * 10**9


def test_what_was_given_after_the_copy_and_spent_is_not_fresh_when_it_is_given_again(home: Home) -> None:
    """A ledger that the older database never had begins with what was told of its rows."""
    home.copy()
    home.restart()
    assert home.spend("ledger")
    home.put_back(0)
    home.installation.acknowledge()
    assert home.left()[1] == LIMIT - 1


def test_nothing_is_swept_and_no_epoch_begins_while_it_waits(home: Home) -> None:
    home.copy()
    home.restart()
    home.put_back(0)
    for _ in range(2):
        with pytest.raises(RestoredDatabase):
            home.installation.advance()
        with pytest.raises(RestoredDatabase):
            home.installation.check_running()
        home.restart()
        assert home.waits, "a restart is no acknowledgement"


def test_a_replica_waits_too(home: Home, tmp_path: Path) -> None:
    """Also one whose own home is as old as the database; and it need not acknowledge again."""
    home.copy()
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(home.home / "node.key", other / "node.key")
    url = f"sqlite:///{home.home}/node.db"
    contents = f"file://{home.home}/blobs"

    def replica() -> Installation:
        from apps.assembly import open_installation

        installation = open_installation("domain", other, url, contents)
        installation.claim()
        return installation

    replica().database.close()
    home.restart()
    home.put_back(0)
    second = replica()
    with pytest.raises(RestoredDatabase):
        second.advance()
    home.installation.acknowledge()
    second.database.close()
    second = replica()
    second.advance()
    second.database.close()


def test_a_database_that_is_put_back_below_a_running_node(home: Home) -> None:
    """Its transactions see that it is behind; nothing is spent."""
    home.copy()
    home.restart()
    assert home.spend("grant")
    with sqlite3.connect(home.copies[0]) as source, sqlite3.connect(home.home / "node.db") as target:
        source.backup(target)
    source.close()
    target.close()
    with pytest.raises(RestoredDatabase), home.installation.database.transaction() as session:
        home.installation.check_spending(session)
    assert not home.spend("grant")
    home.restart()
    assert home.waits
    home.installation.acknowledge()
    assert home.left()[0] == LIMIT - 1


@pytest.mark.parametrize("step", ["the database", "the note", "the home"])
def test_killed_while_it_is_acknowledged(home: Home, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed has acknowledged once the database says so, and not before."""
    home.copy()
    home.restart()
    assert home.spend("grant")
    home.put_back(0)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if step == "the database":
        monkeypatch.setattr(home.installation.database, "run", die)
    elif step == "the note":
        monkeypatch.setattr(home.installation.contents, "reached", die)
    else:
        monkeypatch.setattr("grid.installation.claim.write_record", die)
    with pytest.raises(KeyboardInterrupt):
        home.installation.acknowledge()
    monkeypatch.undo()
    home.restart()
    assert home.waits is (step == "the database")
    if home.waits:
        home.installation.acknowledge()
    assert home.left()[0] == LIMIT - 1
