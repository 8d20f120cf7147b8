"""Newcomers while a round is on its way by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from grid.federated.participation import waiting_room
from grid.federated.participation.waiting_room import Waiter, WaitingRoom
from syft_ext.messages.federated import CheckInReply

REJECTED = CheckInReply(status="rejected")


class Room:
    """A room in which a round answers everybody, or nobody yet."""

    def __init__(self) -> None:
        self.rounds: list[int] = []
        self.answers = True
        self.room = WaitingRoom(self.assign_slots)

    def assign_slots(self, waiters: Sequence[Waiter]) -> None:
        self.rounds.append(len(waiters))
        for waiter in waiters:
            waiter.seen = "cycle"
            if self.answers or not waiter.patient:
                waiter.answer = REJECTED

    def enter(self, wait: float) -> threading.Thread:
        waiter = Waiter("worker", str(wait), None, None, patient=False)
        thread = threading.Thread(target=self.room.enter, args=(waiter, wait))
        thread.start()
        return thread


def test_who_can_wait_joins_the_round_that_is_coming() -> None:
    room = Room()
    with room.room.expecting():
        patient = room.enter(30.0)
        room.enter(0.0).join()
        assert room.rounds[-1] >= 1, "who cannot wait is answered at once"
        before, other = len(room.rounds), room.enter(30.0)
        while len(room.room) < (1 if not patient.is_alive() else 2):
            time.sleep(0.001)
        assert len(room.rounds) == before
        present = room.room.begin_round()
        assert present
        room.assign_slots(present)
        assert room.room.end_round(present) is False
        other.join()
        patient.join()
    assert len(room.rounds) == before + 1, "everybody was seen: nothing is left to do at the end"


def test_where_none_comes_they_are_looked_at_afterwards() -> None:
    room = Room()
    with pytest.raises(ZeroDivisionError), room.room.expecting():
        patient = room.enter(30.0)
        while not len(room.room):
            time.sleep(0.001)
        assert room.rounds == []
        raise ZeroDivisionError
    patient.join()
    assert room.rounds == [1]


def test_newcomers_gather_while_there_is_nothing_to_assign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_room, "PAUSE", 0.2)
    room = Room()
    room.answers, room.room.empty = False, True
    threads = [room.enter(30.0) for _ in range(5)]
    while not room.rounds:
        time.sleep(0.001)
    time.sleep(0.3)
    count = len(room.rounds)
    assert room.rounds[0] == 5 and count <= 2, "one round sees them all"
    room.enter(0.0).join()
    assert room.rounds[count:] == [6], "who cannot wait does not"
    room.answers = True
    room.room.assign_slots()
    for thread in threads:
        thread.join()
