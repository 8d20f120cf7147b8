"""The life of a round: one manifest, one output, whatever is asked in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.key_host.machines.round import (
    MOST_ATTEMPTS,
    RELEASE_SEED_LIVES,
    RoundEffect,
    RoundFacts,
    RoundStatus,
    RoundStep,
    confirm,
    expire,
    grant,
    recover,
)
from syft_ext.errors import KeyRefused

ERASE_AT = 1000
OPEN = RoundFacts(RoundStatus.OPEN, ERASE_AT)

_digests = st.sampled_from([b"a", b"b", b"c"])
_times = st.integers(0, ERASE_AT + 2 * RELEASE_SEED_LIVES)
_events = st.one_of(
    st.tuples(st.just("grant"), _digests, _times),
    st.tuples(st.just("confirm"), _digests, _digests, _times),
    st.tuples(st.just("expire"), _times),
    st.tuples(st.just("recover")),
)


def _apply(facts: RoundFacts, event: tuple[object, ...]) -> RoundStep:
    rules = {"grant": grant, "confirm": confirm, "expire": expire, "recover": recover}
    step: RoundStep = rules[str(event[0])](facts, *event[1:])  # type: ignore[operator]
    return step


@given(st.lists(_events, max_size=30))
def test_one_charge_one_manifest_one_output(events: list[tuple[object, ...]]) -> None:
    facts, charges = OPEN, 0
    granted: set[bytes | None] = set()
    released: set[bytes | None] = set()
    erased: set[RoundEffect] = set()
    for event in events:
        before = facts
        try:
            step = _apply(facts, event)
        except KeyRefused:
            continue
        facts = step.facts
        charges += step.effects.count(RoundEffect.CHARGE)
        if event[0] == "grant":
            granted.add(facts.manifest)
            assert not erased, "a key was given whose seed is gone"
        if event[0] == "confirm":
            released.add(facts.output)
            assert RoundEffect.ERASE_UPLOAD_SEED in step.effects or before.status is RoundStatus.RELEASED
        erased |= {each for each in step.effects if each is not RoundEffect.CHARGE}
        erased.discard(RoundEffect.RECORD)
        assert before.status is not RoundStatus.RELEASED or facts.status is RoundStatus.RELEASED
        assert before.status is not RoundStatus.EXPIRED or facts.status is RoundStatus.EXPIRED
    assert charges == len(granted) <= 1
    assert len(released) <= 1
    assert facts.attempts <= MOST_ATTEMPTS


def _reason(call: object, *arguments: object) -> str:
    with pytest.raises(KeyRefused) as refusal:
        call(*arguments)  # type: ignore[operator]
    return str(refusal.value.extra["reason"])


def test_each_refusal_says_why() -> None:
    granted = grant(OPEN, b"a", 1).facts
    released = confirm(granted, b"a", b"out", 2).facts
    assert _reason(grant, granted, b"b", 2) == "other-manifest"
    assert _reason(grant, released, b"a", 3) == "released"
    assert _reason(grant, OPEN, b"a", ERASE_AT) == "over"
    assert _reason(grant, recover(granted).facts, b"a", 2) == "over"
    assert _reason(confirm, OPEN, b"a", b"out", 1) == "not-granted"
    assert _reason(confirm, granted, b"b", b"out", 1) == "other-manifest"
    assert _reason(confirm, granted, b"a", b"out", ERASE_AT) == "over"
    assert _reason(confirm, released, b"a", b"other", 3) == "other-output"


def test_the_same_is_granted_again_and_charged_once_up_to_a_bound() -> None:
    step = grant(OPEN, b"a", 1)
    assert step.effects == (RoundEffect.CHARGE,)
    for _ in range(MOST_ATTEMPTS - 1):
        step = grant(step.facts, b"a", 2)
        assert step.effects == ()
    assert _reason(grant, step.facts, b"a", 2) == "attempts"


def test_the_same_output_is_confirmed_again_and_recorded_once() -> None:
    first = confirm(grant(OPEN, b"a", 1).facts, b"a", b"out", 2)
    assert first.effects == (RoundEffect.RECORD, RoundEffect.ERASE_UPLOAD_SEED)
    assert confirm(first.facts, b"a", b"out", 3) == RoundStep(first.facts)


def test_seeds_go_when_a_round_is_over_and_a_day_after_its_release() -> None:
    assert expire(OPEN, ERASE_AT - 1) == RoundStep(OPEN)
    assert expire(OPEN, ERASE_AT).effects == (RoundEffect.ERASE_SEEDS,)
    released = confirm(grant(OPEN, b"a", 1).facts, b"a", b"out", 900).facts
    assert expire(released, 900 + RELEASE_SEED_LIVES - 1) == RoundStep(released)
    assert expire(released, 900 + RELEASE_SEED_LIVES) == RoundStep(released, (RoundEffect.ERASE_SEEDS,))
