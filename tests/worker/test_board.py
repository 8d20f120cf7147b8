"""Which trainings a Worker's owner allows."""

from __future__ import annotations

import pytest

from grid.storage.sql.database import Database
from grid.worker.board import TrainingBoard, allowed
from syft_ext.clock import ManualClock
from syft_ext.errors import NotFound
from syft_ext.messages.worker import OpenTraining


@pytest.mark.parametrize(
    ("patterns", "answer"),
    [
        ([], False),
        (["digits/1.0"], True),
        (["digits"], True),
        (["digits/2.0"], False),
        (["dig*/1.*"], True),
        (["Digits"], False),
        (["other", "*/1.0"], True),
        (["all"], True),
        (["di"], False),
    ],
)
def test_patterns(patterns: list[str], answer: bool) -> None:
    assert allowed(patterns, "digits", "1.0") is answer


def test_a_name_with_a_slash_is_matched_as_a_whole() -> None:
    assert allowed(["a/b/1"], "a/b", "1")
    assert not allowed(["a/b"], "a/b", "1"), "that is version b of a"


def training(name: str) -> OpenTraining:
    return OpenTraining(name=name, version="1", status="running", authentication=False, created_at=0.0)


def test_decisions_stay(database: Database) -> None:
    clock = ManualClock()
    board = TrainingBoard(database, clock)
    see = [training("a"), training("b")]
    rows = board.see("k", see, everything=False, patterns=["a"])
    assert [row.decision for row in rows] == ["approved", "waiting"]
    board.decide("a", "1", "denied")
    board.decide("b", "1", "approved")
    rows = board.see("k", see, everything=True, patterns=["a"])
    assert [row.decision for row in rows] == ["denied", "approved"], "the owner's word is kept"
    with pytest.raises(NotFound):
        board.decide("c", "1", "approved")


def test_a_start_begins_anew_what_had_failed_but_not_what_is_over(database: Database) -> None:
    board = TrainingBoard(database, ManualClock())
    board.see("k", [training(name) for name in "abc"], everything=True, patterns=[])
    for name, state in (("a", "joined"), ("b", "failed"), ("c", "over")):
        board.update("k", name, "1", state=state)
    board.begin()
    assert {row.name: row.state for row in board.rows()} == {"a": "idle", "b": "idle", "c": "over"}
