"""The order of ways, without any network: which is taken, who is closed, what is said of the others."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.errors import Unavailable
from syft_ext.messages.envelope import Envelope
from syft_ext.transport.base import IncomingFrame, Pieces, Transport
from syft_ext.transport.ways.race import Way, race

NAMES = ("direct", "webrtc", "turn", "relay")
LONG = 60.0


class Led(Transport):
    """What a way led to."""

    def __init__(self, name: str) -> None:
        self.name, self.closed = name, threading.Event()

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        raise NotImplementedError

    def close(self) -> None:
        self.closed.set()


class Ways:
    """Ways of which a test says what becomes of them: "leads", "fails", or "waits" until :meth:`let_go`."""

    def __init__(self, **fates: str) -> None:
        self.led: dict[str, Led] = {}
        self.started: list[str] = []
        self._go = threading.Event()
        self.ways = [Way(name, self._opener(name, fate), name == "relay") for name, fate in fates.items()]

    def _opener(self, name: str, fate: str) -> Callable[[], Transport]:
        def opened() -> Transport:
            self.started.append(name)
            if fate == "waits":
                self._go.wait(LONG)
            if fate == "fails":
                raise Unavailable(f"no {name} here")
            self.led[name] = Led(name)
            return self.led[name]

        return opened

    def let_go(self) -> None:
        self._go.set()


def test_the_first_that_leads_there_is_taken_and_no_other_is_started() -> None:
    ways = Ways(direct="leads", webrtc="leads", turn="leads", relay="leads")
    outcome = race(ways.ways, seconds=LONG, stagger=LONG)
    assert (outcome.name, ways.started) == ("direct", ["direct"])
    assert outcome.failed == dict.fromkeys(NAMES[1:], "not needed: direct leads there")
    assert not ways.led["direct"].closed.is_set()


def test_one_that_fails_starts_the_next_at_once() -> None:
    ways = Ways(direct="fails", webrtc="fails", turn="leads", relay="leads")
    outcome = race(ways.ways, seconds=LONG, stagger=LONG)
    assert (outcome.name, ways.started) == ("turn", ["direct", "webrtc", "turn"])
    assert outcome.failed == {
        "direct": "no direct here",
        "webrtc": "no webrtc here",
        "relay": "not needed: turn leads there",
    }


def test_one_that_is_slow_lets_the_next_begin_and_is_closed_when_it_comes() -> None:
    ways = Ways(direct="waits", webrtc="leads", turn="leads", relay="leads")
    outcome = race(ways.ways, seconds=LONG, stagger=0.01)
    assert outcome.name == "webrtc"
    assert outcome.failed["direct"] == "slower than webrtc"
    ways.let_go()
    while "direct" not in ways.led:
        threading.Event().wait(0.01)
    assert ways.led["direct"].closed.wait(LONG)
    assert not ways.led["webrtc"].closed.is_set()


def test_the_last_resort_lets_those_before_it_come() -> None:
    ways = Ways(webrtc="waits", relay="leads")
    timer = threading.Timer(0.3, ways.let_go)
    timer.start()
    outcome = race(ways.ways, seconds=LONG, stagger=0.0, last_resort_waits=LONG)
    assert outcome.name == "webrtc"
    assert ways.led["relay"].closed.wait(LONG)


def test_the_last_resort_waits_no_longer_than_it_may() -> None:
    ways = Ways(webrtc="waits", relay="leads")
    outcome = race(ways.ways, seconds=LONG, stagger=0.0, last_resort_waits=0.05)
    assert outcome.name == "relay"
    assert outcome.failed == {"webrtc": "did not come about in time"}
    ways.let_go()


def test_when_none_leads_there_each_says_why() -> None:
    ways = Ways(**dict.fromkeys(NAMES, "fails"))
    with pytest.raises(Unavailable) as refused:
        race(ways.ways, seconds=LONG, stagger=LONG)
    assert all(f"{name}: no {name} here" in refused.value.detail for name in NAMES)


def test_the_time_has_an_end() -> None:
    ways = Ways(direct="waits", relay="waits")
    with pytest.raises(Unavailable, match="no answer in time"):
        race(ways.ways, seconds=0.1, stagger=0.0)
    ways.let_go()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["leads", "fails"]), min_size=4, max_size=4))
def test_each_way_broken_in_each_combination(fates: list[str]) -> None:
    ways = Ways(**dict(zip(NAMES, fates, strict=True)))
    if "leads" not in fates:
        with pytest.raises(Unavailable):
            race(ways.ways, seconds=LONG, stagger=LONG)
        return
    outcome = race(ways.ways, seconds=LONG, stagger=LONG)
    first = NAMES[fates.index("leads")]
    assert outcome.name == first
    assert set(outcome.failed) == set(NAMES) - {first}
    assert all(outcome.failed[name] == f"no {name} here" for name in itertools.takewhile(first.__ne__, NAMES))
