"""The bus of a node: who is called, in which order, and what becomes of errors."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from grid.node.events import Event, EventBus, TransactionEvent


@dataclass(frozen=True, slots=True)
class Told(Event):
    name: str


@dataclass(frozen=True, slots=True)
class Written(TransactionEvent):
    name: str


def test_handlers_are_called_at_once_in_the_order_of_their_subscription() -> None:
    bus, heard = EventBus(), []
    for number in range(3):
        bus.subscribe(Told, lambda event, number=number: heard.append((number, event.name)))
    bus.subscribe(Written, lambda event: heard.append(event.name))
    bus.publish(Told("a"))
    assert heard == [(0, "a"), (1, "a"), (2, "a")]
    bus.publish(Written("b"))
    assert heard[3:] == ["b"]
    bus.publish(Event())  # nobody subscribed to that


def test_who_subscribes_while_an_event_is_told_hears_the_next_one() -> None:
    bus, heard = EventBus(), []

    def first(event: Told) -> None:
        heard.append("first")
        if len(heard) == 1:
            bus.subscribe(Told, lambda event: heard.append("second"))

    bus.subscribe(Told, first)
    bus.publish(Told("a"))
    assert heard == ["first"]
    bus.publish(Told("b"))
    assert heard == ["first", "first", "second"]


def test_what_has_happened_is_told_to_all_whatever_becomes_of_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus, heard = EventBus(), []

    def fail(event: Told) -> None:
        heard.append("failed")
        raise ValueError(len(heard))

    for handler in (fail, lambda event: heard.append("told"), fail, lambda event: heard.append("told")):
        bus.subscribe(Told, handler)
    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match="1"):
        bus.publish(Told("a"))
    assert heard == ["failed", "told", "failed", "told"]
    assert "another handler of Told failed, too" in caplog.text


def test_the_first_error_ends_an_event_inside_a_transaction() -> None:
    bus, heard = EventBus(), []

    def fail(event: Written) -> None:
        raise KeyError(event.name)

    for handler in (lambda event: heard.append("written"), fail, lambda event: heard.append("never")):
        bus.subscribe(Written, handler)
    with pytest.raises(KeyError, match="a"):
        bus.publish(Written("a"))
    assert heard == ["written"]


def test_events_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Told("a").name = "b"  # type: ignore[misc]
