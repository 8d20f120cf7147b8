"""What every accountant has to pass: a class of its own derives from this one, and says how to make it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import pytest

from grid.privacy.accounting.events import Event, GaussianEvent, PureEvent, Unbounded
from grid.privacy.accounting.interface import Accountant
from syft_ext.errors import BadRequest

DELTAS = (1e-12, 1e-9, 1e-6, 1e-3, 0.1, 0.9)


class AccountantContract:
    """``events``: some that it can account for."""

    events: ClassVar[Sequence[Event]]

    def make(self) -> Accountant:
        raise NotImplementedError

    def spent(self, *events: Event, delta: float = 1e-6) -> float:
        accountant = self.make()
        for event in events:
            accountant.compose(event)
        return accountant.epsilon(delta)

    def test_nothing_costs_nothing(self) -> None:
        assert [self.make().epsilon(delta) for delta in (0.0, *DELTAS)] == [0.0] * (len(DELTAS) + 1)
        accountant = self.make()
        accountant.compose(Unbounded(), 0)
        assert accountant.epsilon(1e-6) == 0.0

    def test_nothing_is_given_back(self) -> None:
        accountant, before = self.make(), 0.0
        for event in [*self.events, *self.events]:
            accountant.compose(event)
            after = accountant.epsilon(1e-6)
            assert before <= after < math.inf
            before = after
        assert before > 0

    def test_a_larger_delta_never_costs_more(self) -> None:
        accountant = self.make()
        for event in self.events:
            accountant.compose(event, 3)
            found = [accountant.epsilon(delta) for delta in DELTAS]
            assert found == sorted(found, reverse=True)

    def test_many_are_as_one_after_the_other(self) -> None:
        for event in self.events:
            together = self.make()
            together.compose(event, 20)
            assert together.epsilon(1e-6) == pytest.approx(self.spent(*[event] * 20), rel=1e-12)

    def test_the_order_makes_no_difference(self) -> None:
        there = self.spent(*self.events)
        assert there == pytest.approx(self.spent(*reversed(self.events)), rel=1e-12)
        assert there >= max(self.spent(event) for event in self.events)

    def test_without_noise_there_is_no_bound(self) -> None:
        assert self.spent(*self.events, Unbounded()) == math.inf
        assert self.spent(Unbounded(), *self.events, delta=0.5) == math.inf

    def test_wrong_numbers_are_refused_and_change_nothing(self) -> None:
        accountant = self.make()
        accountant.compose(self.events[0])
        before = accountant.epsilon(1e-6)
        for value in (-1.0, math.inf, math.nan):
            for event in (PureEvent(value), GaussianEvent(value), GaussianEvent(0.0)):
                with pytest.raises(BadRequest):
                    accountant.compose(event)
        for count in (-1, 1.5, True):
            with pytest.raises(BadRequest):
                accountant.compose(self.events[0], count)  # type: ignore[arg-type]
        for delta in (-1e-9, 1.0, 2.0, math.nan):
            with pytest.raises(BadRequest):
                accountant.epsilon(delta)
        assert accountant.epsilon(1e-6) == before
