"""Whoever falls silent, and whenever: the sum is that of who stayed, exactly, or there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.errors import BadRequest, Conflict
from syft_ext.secure_aggregation.server import MaskedSum, Phase
from tests.secure_aggregation.machines import STEPS, Play, a_round, rules


@pytest.mark.parametrize("phase", STEPS)
def test_three_of_ten_drop_out_in_one_phase(phase: Phase) -> None:
    generator = np.random.default_rng(7)
    differences = [generator.normal(size=500) for _ in range(10)]
    weights = [int(each) for each in generator.integers(1, 5000, 10)]
    play = Play(rules(10, max_weight=5000), differences, weights, dict.fromkeys((0, 4, 9), phase))
    found = play.run()
    assert found is not None
    steps, weight = play.plain()
    assert (found.steps == steps).all() and found.weight == weight
    stayed = 7 if phase in (Phase.SHARES, Phase.MASKED) else 10
    assert len(play.server.survivors) == stayed


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_the_sum_is_that_of_whoever_stayed_or_there_is_none(data: st.DataObject) -> None:
    count = data.draw(st.integers(3, 14))
    size = data.draw(st.integers(1, 40))
    bits = data.draw(st.sampled_from([32, 64]))
    most = 1 if bits == 32 else data.draw(st.sampled_from([1, 7, 100_000]))
    noise = data.draw(st.sampled_from([None, 0.01])) if most == 1 else None
    least = -(-2 * count // 3)
    threshold = data.draw(st.integers(least, count))
    found = rules(count, threshold=threshold, minimum=threshold, bits=bits, max_weight=most, noise=noise)
    generator = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    differences = [generator.normal(size=size) * 10.0 ** generator.integers(-8, 8) for _ in range(count)]
    weights = [int(each) for each in generator.integers(1, most + 1, count)]
    silent = data.draw(st.dictionaries(st.integers(0, count - 1), st.sampled_from(STEPS), max_size=count))
    play = Play(found, differences, weights, silent)
    opened = play.run()
    left = {phase: sum(play.speaks(number, phase) for number in range(count)) for phase in STEPS}
    if min(left.values()) < threshold:
        assert opened is None and play.server.phase is Phase.BELOW
        return
    assert opened is not None
    steps, weight = play.plain()
    assert (opened.steps == steps).all() and opened.weight == weight


def test_below_the_threshold_nothing_can_be_opened() -> None:
    play = Play(rules(6), [np.ones(3)] * 6, silent=dict.fromkeys((0, 1, 2), Phase.UNMASK))
    assert play.run() is None
    total = MaskedSum(3, play.rules)
    for name in play.server.survivors:
        total.add(play.vectors[int(name)])
    with pytest.raises(BadRequest, match="do not fit together"):
        play.server.open()


def test_without_one_that_was_counted_the_masks_do_not_cancel() -> None:
    play = Play(rules(5), [np.ones(3)] * 5)
    assert play.run() is not None
    masks, total = play.server.open(), MaskedSum(3, play.rules)
    for name in play.server.survivors[:-1]:
        total.add(play.vectors[int(name)])
    with pytest.raises(BadRequest, match="masks are those of"):
        total.open(masks)
    total.add(play.vectors[int(play.server.survivors[0])])
    with pytest.raises(BadRequest, match="cannot be read"):
        total.open(masks)


def test_who_answers_wrongly_is_found_out_and_the_sum_is_right_all_the_same() -> None:
    from syft_ext.secure_aggregation.statements import OpenedShares

    play = Play(rules(9), [np.ones(3)] * 9, silent={0: Phase.MASKED})
    assert play.run() is not None
    liar = play.server.survivors[2]
    part = play.server.parts[liar]
    said = OpenedShares.decode(part.answer)
    part.answer = OpenedShares(said.survivors, tuple(bytes(31) + b"\7" for _ in said.shares)).encode()
    assert play.server.open().liars == {play.server.place(liar)}
    steps, _ = play.plain()
    assert (play.sum().steps == steps).all()


def test_the_domain_takes_each_thing_once_and_in_its_phase() -> None:
    play = Play(rules(3), [np.zeros(2)] * 3)
    first, other = play.clients[0].advertise(), play.clients[1].advertise()
    server = play.server
    with pytest.raises(BadRequest, match="key that their participant"):
        server.advertise("0", *first, signer="0" * 64)
    with pytest.raises(BadRequest, match="not signed"):
        server.advertise("0", first[0], other[1])
    with pytest.raises(BadRequest, match="another round"):
        server.advertise(
            "0", *Play(rules(3), [np.zeros(2)] * 3, round=a_round(base=b"x" * 32)).clients[0].advertise()
        )
    server.advertise("0", *first)
    server.advertise("0", *first)
    with pytest.raises(Conflict, match="other keys"):
        server.advertise("0", *other)
    with pytest.raises(Conflict, match="takes part in this round already"):
        server.advertise("9", *first)
    play.advertise()
    assert server.roster is not None
    with pytest.raises(Conflict, match="closed"):
        server.advertise("4", *first)
    with pytest.raises(BadRequest, match="are expected"):
        server.share("0", [b""])
    with pytest.raises(Conflict, match="not in the list"):
        server.share("stranger", [b""])
    play.share()
    sealed = play.clients[0].share(server.roster.encode())
    server.share("0", sealed)
    with pytest.raises(Conflict, match="other shares"):
        server.share("0", sealed[::-1])
    with pytest.raises(Conflict, match="not in the sum"):
        server.confirm("0", b"")
    play.mask()
    with pytest.raises(BadRequest, match="no signature"):
        server.confirm("0", bytes(64))
    with pytest.raises(Conflict, match="not at unmask"):
        server.answer("0", b"")
    play.confirm()
    with pytest.raises(BadRequest):
        server.answer("0", b"\x92")
    play.unmask()
    assert server.phase is Phase.SUM and server.advance(overdue=True) is None
