"""Lists of objects, and what else shows that an object is there."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from grid.access import shown
from grid.access.decision import governs, require, sees
from grid.access.lists import members, set_members
from grid.access.viewer import Viewer
from grid.storage.sql.database import Database
from syft_ext.errors import Forbidden, NotFound, TooLarge
from tests.access.given import FIRST, NOW, OWNER, SECOND, USER, granted

VIEWER = Viewer(USER, frozenset({"*", USER}))


def test_a_list_holds_those_that_were_put_there_last(db: Database) -> None:
    with db.transaction() as session:
        assert members(session, FIRST, "read") == []
        set_members(session, FIRST, "read", ["z" * 32, USER, USER])
        set_members(session, FIRST, "search", ["*"])
        set_members(session, SECOND, "read", [OWNER])
        assert members(session, FIRST, "read") == [USER, "z" * 32]
        set_members(session, FIRST, "read", [OWNER])
        assert members(session, FIRST, "read") == [OWNER]
        set_members(session, FIRST, "read", [])
        assert members(session, FIRST, "read") == []
        assert members(session, FIRST, "search") == ["*"] and members(session, SECOND, "read") == [OWNER]


def test_who_is_shown_an_object_is_told_how_to_ask(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def show_first(session: Session, viewer: Viewer, object_id: str) -> str | None:
        return "asset of ward" if object_id == FIRST else None

    monkeypatch.setattr(shown, "_SOURCES", [])
    assert shown.register_shown(show_first) is shown.register_shown(show_first) is show_first
    assert [show_first] == shown._SOURCES
    with db.transaction() as session:
        assert shown.name_shown(session, VIEWER, FIRST) == "asset of ward"
        assert shown.name_shown(session, VIEWER, SECOND) == ""
        with pytest.raises(Forbidden, match="not compute on it; ask"):
            require(session, VIEWER, "compute", [FIRST], now=NOW)
        with pytest.raises(NotFound):
            require(session, VIEWER, "compute", [FIRST, SECOND], now=NOW)


def test_only_the_cap_of_a_grant_stands_in_the_way(db: Database) -> None:
    with db.transaction() as session:
        assert require(session, VIEWER, "read", [], now=NOW) == frozenset(), "nothing asks for nothing"
        assert not sees(session, VIEWER, FIRST, now=NOW)
        grant = granted(session, max_output_bytes=10)
        assert sees(session, VIEWER, FIRST, now=NOW)
        assert require(session, VIEWER, "read", [FIRST], now=NOW, output_bytes=10) == {grant.id}
        with pytest.raises(TooLarge, match="more than your grant allows") as caught:
            require(session, VIEWER, "read", [FIRST], now=NOW, output_bytes=11)
        assert caught.value.extra == {"size": 11}
        with pytest.raises(NotFound):  # the other one is not there for them: it is no matter of size
            require(session, VIEWER, "read", [FIRST, SECOND], now=NOW, output_bytes=11)


def test_a_network_governs_nothing(db: Database) -> None:
    with db.transaction() as session:
        assert governs(session, OWNER, FIRST) and not governs(session, USER, FIRST)
        assert not governs(session, "", FIRST)
