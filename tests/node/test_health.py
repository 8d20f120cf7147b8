"""Whoever asks a node how it is hears so within seconds, whatever hangs, and however often they ask."""

from __future__ import annotations

import threading

import pytest

from grid.node import health
from grid.node.health import Health
from syft_ext.errors import Unavailable


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SECONDS", 0.2)


def fails() -> None:
    raise Unavailable("the disk is full")


def breaks() -> None:
    raise ZeroDivisionError


def test_what_hangs_is_named_and_hides_nothing_else() -> None:
    go_on = threading.Event()
    asked: list[int] = []

    def hang() -> None:
        asked.append(1)
        go_on.wait(60)

    node = Health(
        {"database": hang, "disk": fails, "jobs": breaks, "sandbox": lambda: None, "audit": go_on.wait},
        lambda: [str(go_on.wait(60))],
    )
    for _ in range(3):
        checks, warnings = node.ask()
        assert checks == {
            "database": "the database does not answer",
            "disk": "the disk is full",
            "jobs": "failed",
            "sandbox": "ok",
            "audit": "no answer",
        }
        assert warnings == ["what else must be known of this node could not be found out: no answer"]
    assert asked == [1], "nobody asks again what has not answered"
    go_on.set()
    for _ in range(600):
        checks, warnings = node.ask()
        if checks["database"] == checks["audit"] == "ok" and warnings == ["True"]:
            return
    pytest.fail(f"it does not recover: {checks}, {warnings}")


def test_answers_are_those_of_now() -> None:
    full = [True]

    def disk() -> None:
        if full[0]:
            fails()

    node = Health({"disk": disk}, lambda: ["disk"] * full[0])
    assert node.ask() == ({"disk": "the disk is full"}, ["disk"])
    full[0] = False
    assert node.ask() == ({"disk": "ok"}, [])
