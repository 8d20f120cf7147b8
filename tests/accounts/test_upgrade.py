"""A database from before this version keeps its people: nobody gains a power, nobody is locked out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from grid import schema
from grid.accounts.effective_permissions import Callers
from grid.accounts.groups import GroupManager
from grid.accounts.service import PASSWORDS
from grid.accounts.settings import load_settings
from grid.accounts.tables import Totp, UserKey, UserSession
from grid.accounts.users import UserManager
from grid.storage.sql.database import Database
from syft_ext.clock import ManualClock
from tests.conftest import throw_away_database

USER, GROUP, SESSION, KEY = "1" * 32, "2" * 32, "3" * 32, "a" * 64
OLD_ROWS = (
    f"INSERT INTO users VALUES ('{USER}', 'ann@x.org', 'hash', 2, 1.0, NULL)",
    f"INSERT INTO user_groups (id, name) VALUES ('{GROUP}', 'ward')",
    f"INSERT INTO user_group_members VALUES ('{GROUP}', '{USER}')",
    f"INSERT INTO user_keys (verify_key, user_id, used_at) VALUES ('{KEY}', '{USER}', 5.0)",
    "INSERT INTO user_sessions (id, user_id, verify_key, created_at, expires_at)"
    f" VALUES ('{SESSION}', '{USER}', '{KEY}', 5.0, 9e9)",
    "INSERT INTO setup (id, owner_id, created_at, node_name, allow_user_signup, session_lifetime, key_lifetime)"
    f" VALUES (1, '{USER}', 1.0, 'hospital', false, 3600.0, 60.0)",
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of the version before, with a user, their group, key and session."""

    def filled(url: str) -> Database:
        db = Database(url)
        schema.upgrade(db, "0007")
        with db.transaction() as session:
            for statement in OLD_ROWS:
                session.execute(text(statement))
        return db

    if request.param == "sqlite":
        db = filled(f"sqlite:///{tmp_path / 'old.db'}")
        yield db
        db.close()
        return
    with throw_away_database() as url:
        db = filled(url)
        yield db
        db.close()


def test_people_of_an_older_version(old: Database) -> None:
    for _ in range(2):  # down and up again loses what is new only
        schema.upgrade(old)
        (group,) = GroupManager(old).all()
        assert (group.name, group.users, group.flags) == ("ward", [USER], [])
        view = UserManager(old, ManualClock(), PASSWORDS).get(USER)
        assert (view.groups, view.verify_keys, view.totp) == (["ward"], [KEY], False)
        assert view.flags == ["can_triage_requests"]
        principal = Callers(old).of_session({"jti": SESSION, "sub": USER})
        assert principal is not None and principal.flags == {"can_triage_requests"}
        callers = Callers(old)
        assert callers.of_key(KEY, 64.0) is not None and callers.of_key(KEY, 66.0) is None
        with old.read() as session:
            settings = load_settings(session)
            assert settings is not None and settings.require_totp is False
            key, opened = session.scalars(select(UserKey)).one(), session.scalars(select(UserSession)).one()
            assert (key.name, key.added_at, opened.remote) == ("", None, "")
            assert session.scalars(select(Totp)).all() == []
        schema.downgrade(old, "0007")
