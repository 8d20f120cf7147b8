"""Never two outputs of a round, never over budget, whatever is repeated, omitted and restored.

``python -m tests.key_host.world`` runs it for longer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.key_host.world import MUTANTS, PROCESSES, SHAPES, Broken, World, fast_folder, without

_places = st.tuples(st.sampled_from(PROCESSES), st.sampled_from((1, 2)))
_order = st.permutations(range(4))


class Operator(RuleBasedStateMachine):
    """What an operator may do, in any order."""

    @initialize(shape=st.sampled_from(SHAPES))
    def begin(self, shape: tuple[int, int]) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=fast_folder())
        self.count = shape[0]
        self.world = World(Path(self._folder.name), *shape)

    def _hosts(self, order: list[int]) -> list[int]:
        return [each for each in order if each < self.count]

    @rule(place=_places, which=st.integers(0, 1), order=_order, asked=st.integers(1, 4))
    def attempt(self, place: tuple[str, int], which: int, order: list[int], asked: int) -> None:
        self.world.attempt(place, which, self._hosts(order)[:asked])

    @rule(place=_places, order=_order)
    def leave_out(self, place: tuple[str, int], order: list[int]) -> None:
        first, second, *_ = self._hosts(order)
        self.world.attempt_without(place, first, second)

    @precondition(lambda self: self.world.outputs)
    @rule(number=st.integers(0, 100), order=_order, asked=st.integers(1, 4))
    def confirm(self, number: int, order: list[int], asked: int) -> None:
        self.world.confirm(number, self._hosts(order)[:asked])

    @rule(number=st.integers(0, 100), order=_order, peers=_order)
    def restore(self, number: int, order: list[int], peers: list[int]) -> None:
        self.world.restore(self._hosts(order)[0], number, self._hosts(peers))

    @rule(order=_order, peers=_order)
    def recover(self, order: list[int], peers: list[int]) -> None:
        self.world.recover(self._hosts(order)[0], self._hosts(peers))

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
            self._folder.cleanup()


TestOperator = Operator.TestCase
TestOperator.settings = settings(max_examples=3, stateful_step_count=10, deadline=None, derandomize=True)

A1, A2, B1 = (PROCESSES[0], 1), (PROCESSES[0], 2), (PROCESSES[1], 1)
BOTH = (0, 1)


def _unnoticed(world: World) -> None:
    """A host goes on with an old database, of which a peer has seen more."""
    world.attempt(A1, 0, (0, 1, 2))
    world.attempt(A2, 0, (0, 1, 2))
    world.restore(0, 0, ())
    world.attempt(A2, 0, (0, 1, 2))


def _overspend(world: World) -> None:
    """Each host in turn is restored to the beginning, and recovers."""
    for place in (A1, A2):
        world.attempt(place, 0, BOTH)
    for host in BOTH:
        world.restore(host, 0, BOTH)
    world.attempt(B1, 0, BOTH)
    world.party.process = "c" * 32
    fresh = (PROCESSES[1], 5)
    world._open(fresh)
    world.attempt(fresh, 0, BOTH)


def _two_outputs(world: World) -> None:
    """An output is released; then each host is restored to before, and another is asked for."""
    for which in (0, 1):
        world.attempt(A1, which, BOTH)
        for number in range(len(world.outputs)):
            world.confirm(number, BOTH)
        for host in BOTH:
            world.restore(host, 0, BOTH)


def _word_left_out(world: World) -> None:
    """The only peer who could know is not heard."""
    world.attempt_without(A1, 0, 1)


STORIES: dict[str, tuple[tuple[int, int], Callable[[World], None]]] = {
    "notice": ((3, 1), _unnoticed),
    "union": ((2, 0), _overspend),
    "expiry": ((2, 0), _two_outputs),
    "statements": ((2, 0), _word_left_out),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as name:
        yield Path(name)


@pytest.mark.parametrize("name", sorted(STORIES))
def test_what_an_operator_tries_does_not_succeed(name: str, folder: Path) -> None:
    shape, story = STORIES[name]
    world = World(folder, *shape)
    story(world)
    world.close()


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_it_succeeds_where_hosts_do_not_keep_the_rule(name: str, folder: Path) -> None:
    """Each of the rules is needed, and each would be missed."""
    shape, story = STORIES[name]
    world = World(folder, *shape)
    with without(name), pytest.raises(Broken):
        story(world)
    world.close()
