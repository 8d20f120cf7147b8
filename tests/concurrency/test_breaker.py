"""The memory of Domains that do not answer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from grid.concurrency.breaker import Breaker


def test_a_circuit_opens_probes_and_closes() -> None:
    breaker = Breaker(first=2.0, longest=10.0)
    assert breaker.state("d", 0.0) == "closed"
    breaker.failed("d", 0.0, "timeout")
    assert (breaker.state("d", 1.9), breaker.error("d")) == ("open", "timeout")
    assert breaker.state("d", 2.0) == "half-open"
    assert breaker.state("d", 2.0) == "open", "one probe at a time"
    breaker.failed("d", 2.1, "timeout")
    assert breaker.state("d", 6.0) == "open", "the pause doubled"
    assert breaker.state("d", 6.2) == "half-open"
    breaker.succeeded("d")
    assert breaker.state("d", 6.3) == "closed"
    assert breaker.state("other", 0.0) == "closed"


@settings(max_examples=50)
@given(st.lists(st.floats(0, 100), max_size=40))
def test_pauses_stay_within_their_bounds(steps: list[float]) -> None:
    breaker, now = Breaker(first=1.0, longest=8.0), 0.0
    for step in steps:
        now += step
        breaker.failed("d", now, "x")
        assert breaker.state("d", now + 0.99) == "open"
        assert breaker.state("d", now + 8.0) == "half-open"
