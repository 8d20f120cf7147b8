"""What a Worker's owner, and those whose word they take, decided: for definitions, never for names."""

from __future__ import annotations

import msgspec
import pytest

from grid.config import WorkerSettings
from grid.storage.sql.database import Database
from grid.worker.board import OWNER, TrainingBoard, Trust, narrowed, whose_word
from grid.worker.bounds import bounds_of
from syft_ext.clock import ManualClock
from syft_ext.errors import Conflict, InvalidConfig, NotFound
from syft_ext.messages.training_reviews import ReviewState, TrainingReview, WorkerBounds
from syft_ext.messages.worker import OpenTraining

STATES: tuple[ReviewState, ...] = (
    *("none", "pending", "approved", "denied", "revoked", "withdrawn", "own", "open"),
)


@pytest.mark.parametrize(
    ("patterns", "answer"),
    [
        ([], True),
        (["digits/1.0"], True),
        (["digits"], True),
        (["digits/2.0"], False),
        (["dig*/1.*"], True),
        (["Digits"], False),
        (["other", "*/1.0"], True),
        (["di"], False),
    ],
)
def test_patterns_narrow_what_is_looked_at(patterns: list[str], answer: bool) -> None:
    assert narrowed(patterns, "digits", "1.0") is answer


def test_a_name_with_a_slash_is_matched_as_a_whole() -> None:
    assert narrowed(["a/b/1"], "a/b", "1")
    assert not narrowed(["a/b"], "a/b", "1"), "that is version b of a"


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("trust", ["nobody", "domain", "owner"])
@pytest.mark.parametrize("reviewers", [[], [""], ["officer@hospital.org"]], ids=str)
def test_only_named_reviewers_count_and_the_domains_own_where_its_owner_is_trusted(
    state: ReviewState, trust: Trust, reviewers: list[str]
) -> None:
    word = whose_word(TrainingReview(state=state, reviewers=reviewers, digest="a" * 64), trust)
    named = state == "approved" and reviewers == ["officer@hospital.org"] and trust != "nobody"
    assert bool(word) is (named or (state == "own" and trust == "owner"))


def training(
    name: str,
    digest: str = "",
    state: ReviewState = "pending",
    version: str = "1",
    by: str = "officer@hospital.org",
) -> OpenTraining:
    review = TrainingReview(state=state, digest=(digest or name).ljust(64, "0"), reviewers=[by])
    return OpenTraining(
        name=name, version=version, status="running", authentication=False, created_at=0.0, review=review
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def board(database: Database, clock: ManualClock) -> TrainingBoard:
    return TrainingBoard(database, clock)


def see(
    board: TrainingBoard, *trainings: OpenTraining, trust: Trust = "domain", patterns: tuple[str, ...] = ()
) -> list[str]:
    return [row.decision for row in board.see("k", trainings, trust=trust, patterns=patterns)]


def test_a_pattern_approves_nothing(board: TrainingBoard) -> None:
    assert (
        see(board, training("a", state="open"), training("b", state="pending"), patterns=("*",))
        == ["waiting"] * 2
    )
    assert see(board, training("a", state="open"), patterns=("other",)) == [], "nor is it looked at"


def test_the_owners_word_stays_whatever_the_domain_says(board: TrainingBoard) -> None:
    assert see(board, training("a", state="approved"), training("b")) == ["approved", "waiting"]
    board.decide("a", "1", "denied")
    board.decide("b", "1", "approved")
    assert see(board, training("a", state="approved"), training("b", state="denied")) == [
        "denied",
        "approved",
    ]
    with pytest.raises(NotFound):
        board.decide("c", "1", "approved")


def test_another_definition_under_an_approved_name_waits(board: TrainingBoard) -> None:
    see(board, training("a", "aa"), trust="nobody")
    board.decide("a", "1", "approved")
    assert see(board, training("a", "aa"), training("a", "bb"), trust="nobody") == ["approved", "waiting"]
    assert see(board, training("a", "cc", version="2"), trust="nobody") == ["waiting"], (
        "and so does a new version"
    )


def test_which_of_two_definitions_is_meant_must_be_said(board: TrainingBoard) -> None:
    see(board, training("a", "aa"), training("a", "ab"))
    with pytest.raises(Conflict) as caught:
        board.decide("a", "1", "approved")
    assert sorted(caught.value.extra["digests"]) == ["aa".ljust(64, "0"), "ab".ljust(64, "0")]
    with pytest.raises(Conflict):
        board.decide("a", "1", "approved", "a")
    assert board.decide("a", "1", "approved", "ab").digest == "ab".ljust(64, "0")
    assert {row.digest[:2]: row.decision for row in board.rows()} == {"aa": "waiting", "ab": "approved"}
    with pytest.raises(NotFound):
        board.decide("a", "1", "approved", "ac")


def test_an_approval_that_is_revoked_or_trusted_no_more_is_none(board: TrainingBoard) -> None:
    assert see(board, training("a", state="approved")) == ["approved"]
    assert see(board, training("a", state="revoked")) == ["waiting"]
    assert see(board, training("a", state="approved")) == ["approved"]
    assert see(board, training("a", state="approved"), trust="nobody") == ["waiting"]
    (row,) = board.rows()
    assert (row.decided_by, row.decided_at) == ("", None)


def test_it_says_by_whom(board: TrainingBoard) -> None:
    see(board, training("a", state="approved"), training("b", state="own"), training("c"), trust="owner")
    board.decide("c", "1", "approved")
    assert {row.name: row.decided_by for row in board.rows()} == {
        "a": "reviewers of the Domain: officer@hospital.org",
        "b": "the Domain's owner, whose own it is",
        "c": OWNER,
    }


def test_what_another_domain_offers_is_another_thing(board: TrainingBoard) -> None:
    see(board, training("a"))
    board.decide("a", "1", "approved")
    rows = board.see("another key", [training("a")], trust="nobody", patterns=())
    assert [row.decision for row in rows] == ["waiting"]


def test_what_cannot_be_decided_on_is_no_row(board: TrainingBoard) -> None:
    bad = [
        training("a"),
        training("b" * 129, "bb"),
        training("c", version="1" * 65),
        training("d", "not hex"),
        training("e", "é"),
    ]
    none = msgspec.structs.replace(training("f"), review=TrainingReview())
    assert see(board, *bad, none) == ["waiting"]
    assert [row.name for row in board.rows()] == ["a"]


def test_a_version_is_compared_with_the_one_approved_before(board: TrainingBoard, clock: ManualClock) -> None:
    for version, digest in (("1", "aa"), ("2", "bb"), ("3", "cc"), ("4", "dd")):
        see(board, training("a", digest, version=version), trust="nobody")
        board.update("k", digest.ljust(64, "0"), shown={"definition": version})
        clock.advance(1)
    see(board, training("other", "ee"), trust="nobody")
    for version in ("2", "1"):
        board.decide("a", version, "approved")
        clock.advance(1)
    board.decide("a", "3", "denied")
    before = {version: board.approved_before(board.find("a", version)) for version in "1234"}
    assert {version: found and found.version for version, found in before.items()} == {
        "1": "2",
        "2": None,
        "3": "1",
        "4": "1",
    }


def test_a_start_begins_anew_what_had_failed_but_not_what_is_over(board: TrainingBoard) -> None:
    see(board, *(training(name) for name in "abcd"))
    for name, state in (("a", "joined"), ("b", "failed"), ("c", "over"), ("d", "spent")):
        board.update("k", name.ljust(64, "0"), state=state)
    board.begin()
    assert {row.name: row.state for row in board.rows()} == {
        "a": "idle",
        "b": "idle",
        "c": "over",
        "d": "idle",
    }


def test_settings_make_bounds_and_those_that_bound_nothing_are_refused() -> None:
    assert bounds_of(WorkerSettings()) == WorkerBounds()
    settings = WorkerSettings(clip_norm=1.5, noise_multiplier=2.0, min_rows=5, max_samples=6, max_reports=7)
    assert bounds_of(settings) == WorkerBounds(
        clip_norm=1.5, noise_multiplier=2.0, min_rows=5, max_samples=6, max_reports=7
    )
    with pytest.raises(InvalidConfig, match="clip_norm"):
        bounds_of(WorkerSettings(noise_multiplier=1.0))


def test_a_move_to_another_domain_leaves_each_training_to_be_named(board: TrainingBoard) -> None:
    """The same definition at two Domains: no digest tells one from the other."""
    for key in ("old", "new"):
        board.see(key, [training("a", "aa")], trust="nobody", patterns=())
    with pytest.raises(Conflict):
        board.find("a", "1", "aa")
    assert board.find("a", "1", domain_key="new").domain_key == "new"
    assert board.decide("a", "1", "approved", "aa", domain_key="new").domain_key == "new"
    assert {row.domain_key: row.decision for row in board.rows()} == {"old": "waiting", "new": "approved"}
    board.see("old", [training("b", "bb")], trust="nobody", patterns=())
    assert board.find("b", "1", domain_key="new").domain_key == "old", "which is said to be of another one"
    board.see("new", [training("a", "cc")], trust="nobody", patterns=())
    with pytest.raises(Conflict):
        board.find("a", "1", domain_key="new")


@pytest.mark.parametrize("at_once", [True, False])
def test_a_domain_that_offers_without_end_fills_no_disk(
    board: TrainingBoard, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    monkeypatch.setattr("grid.worker.board.MOST_WAITING", 10)
    see(board, training("mine", "aa"), training("denied", "ab"), trust="nobody")
    board.decide("mine", "1", "approved")
    board.decide("denied", "1", "denied")
    board.see("other", [training("x", "ee")], trust="nobody", patterns=())
    offers = [training(f"t{number}", f"{number:064x}") for number in range(100)]
    if at_once:
        see(board, training("mine", "aa"), *offers)
    else:
        for offer in offers:
            clock.advance(1)
            assert see(board, training("mine", "aa"), offer) == ["approved", "waiting"]
    rows = board.rows()
    assert sorted(row.name for row in rows if row.decision == "waiting") == sorted(
        ["x", *(f"t{number}" for number in range(90, 100))]
    )
    assert {row.name: row.decision for row in rows if row.decision != "waiting"} == {
        "mine": "approved",
        "denied": "denied",
    }


def test_what_is_offered_now_is_kept_before_what_was(
    board: TrainingBoard, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.worker.board.MOST_WAITING", 3)
    see(board, training("old", "aa"))
    for number in range(5):
        clock.advance(1)
        see(board, training("old", "aa"), training(f"t{number}", f"{number:064x}"))
    assert sorted(row.name for row in board.rows()) == ["old", "t3", "t4"]
