"""Shares, masks, words and statements, against vectors made elsewhere and what must hold of all of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.errors import BadRequest, InvalidConfig
from syft_ext.secure_aggregation.keys import SumKeys, agree, public_half
from syft_ext.secure_aggregation.masks import add_masks, mask_words
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.seals import PairSeals
from syft_ext.secure_aggregation.shamir import PRIME, Interpolation, read_share, share, write_share
from syft_ext.secure_aggregation.statements import Advertisement, Roster, Survivors
from syft_ext.secure_aggregation.vector import read_sum, steps_of, to_words
from tests.secure_aggregation.machines import Play, rules
from tests.secure_aggregation.vectors import PUBLISHED, made
from tests.shared_material import shared


def vectors(name: str) -> Any:
    return json.loads(shared("confidential", "vectors", name).read_text())


def test_shares_as_others_compute_them() -> None:
    for case in vectors("shamir-prime-selfmade.json")["cases"]:
        secret, coefficients = int(case["secret"], 16), [int(each, 16) for each in case["coefficients"]]
        expected = {int(place): int(value, 16) for place, value in case["shares"].items()}
        assert dict(enumerate(share(secret, coefficients, case["n"]), 1)) == expected
        chosen = sorted(expected)[-case["t"] :]
        assert Interpolation(chosen)(expected) == secret


def test_masks_as_others_compute_them() -> None:
    vector = vectors("mask-aes256ctr-selfmade.json")
    key, stream = bytes.fromhex(vector["key"]), bytes.fromhex(vector["stream"])
    assert mask_words(key, len(vector["u64_le"]), 64).tolist() == vector["u64_le"]
    assert mask_words(key, len(stream) // 4, 32).tobytes() == stream


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_threshold_of_shares_gives_the_secret_and_the_others(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 64))
    threshold = data.draw(st.integers(1, count))
    field = st.integers(0, PRIME - 1)
    secret, coefficients = (
        data.draw(field),
        data.draw(st.lists(field, min_size=threshold - 1, max_size=threshold - 1)),
    )
    shares = dict(enumerate(share(secret, coefficients, count), 1))
    places = data.draw(st.permutations(sorted(shares)))
    assert Interpolation(places[:threshold])(shares) == secret
    other = places[-1]
    assert Interpolation(places[:threshold], other)(shares) == shares[other]


def test_fewer_shares_fit_every_secret() -> None:
    shares = dict(enumerate(share(5, [7, 11], 5), 1))
    for guess in (0, 1, PRIME - 1):  # with any guess at 0 there is a polynomial through two shares
        through = {PRIME - 1: guess, 1: shares[1], 2: shares[2]}
        third = Interpolation(through, 3)(through)
        assert Interpolation((1, 2, 3))({1: shares[1], 2: shares[2], 3: third}) == Interpolation(through)(
            through
        )


@given(st.integers(0, (1 << 256) - 1))
def test_shares_are_field_elements(value: int) -> None:
    data = value.to_bytes(32, "big")
    if value < PRIME:
        assert write_share(read_share(data)) == data
    else:
        with pytest.raises(BadRequest):
            read_share(data)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("count", [1, 5, 1 << 15, (1 << 16) + 3])
def test_masks_come_off_again_and_are_one_stream_however_long(bits: int, count: int) -> None:
    keys = [bytes([i]) * 32 for i in range(5)]
    words = np.arange(count).astype(f"<u{bits // 8}")
    masked = words.copy()
    add_masks(masked, keys[:3], keys[3:])
    expected = words.copy()
    for number, key in enumerate(keys):
        mask = mask_words(key, count + 7, bits)[:count]
        expected = expected + mask if number < 3 else expected - mask
    assert (masked == expected).all()
    add_masks(masked, keys[3:], keys[:3])
    assert (masked == words).all()


def test_masked_words_are_uniform() -> None:
    """χ² over the bytes of each place of a word, and over pairs of neighbours' top bits: 255 degrees of
    freedom, so that a statistic beyond 400 comes once in 10^8 times."""
    count = 200_000
    play = Play(rules(3, bits=32), [np.zeros(count), np.ones(count) / 400, np.full(count, -1e-9)])
    play.run()
    for masked in play.vectors.values():
        found = np.frombuffer(masked, np.uint8)[: 4 * count].reshape(-1, 4)
        for column in (*found.T, found[:-1:2, 3] & 0xF0 | found[1::2, 3] >> 4):
            seen, expected = np.bincount(column, minlength=256), len(column) / 256
            assert 130 < float(((seen - expected) ** 2).sum() / expected) < 400
        assert len({masked[i : i + 16] for i in range(0, 16_000, 16)}) == 1000


def test_seals_are_for_one_pair_one_direction_and_one_list() -> None:
    mine, theirs, strange = (SumKeys(bytes([i]) * 32).seal_key for i in range(3))
    sealed = PairSeals(mine, public_half(theirs), b"r" * 32, 1, 2).seal(3, 4)
    assert PairSeals(theirs, public_half(mine), b"r" * 32, 2, 1).open(sealed) == (3, 4)
    others = [
        PairSeals(theirs, public_half(mine), b"s" * 32, 2, 1),
        PairSeals(theirs, public_half(mine), b"r" * 32, 2, 3),
        PairSeals(theirs, public_half(mine), b"r" * 32, 3, 1),
        PairSeals(mine, public_half(theirs), b"r" * 32, 1, 2),
        PairSeals(strange, public_half(mine), b"r" * 32, 2, 1),
    ]
    for other in others:
        with pytest.raises(BadRequest):
            other.open(sealed)
    for damaged in (sealed[:-1], sealed + b"\0", bytes([sealed[0] ^ 1]) + sealed[1:], b""):
        with pytest.raises(BadRequest):
            PairSeals(theirs, public_half(mine), b"r" * 32, 2, 1).open(damaged)


def test_a_key_that_gives_everybody_the_same_secret_is_none() -> None:
    for low_order in (bytes(32), b"\1" + bytes(31)):
        with pytest.raises(BadRequest):
            agree(SumKeys(b"k" * 32).mask_key, low_order)


# -- words --------------------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_sums_of_words_are_the_sums_themselves_at_the_edge_of_the_room(data: st.DataObject) -> None:
    bits = data.draw(st.sampled_from([32, 64]))
    count = data.draw(st.integers(3, 64))
    most = 1 if bits == 32 else data.draw(st.integers(1, 1 << 32))
    found = rules(count, bits=bits, max_weight=min(most, 10**9), clip=data.draw(st.floats(1e-20, 1e20)))
    weights = data.draw(st.lists(st.integers(1, found.max_weight), min_size=count, max_size=count))
    signs = data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=count, max_size=count))
    total = np.zeros(3, f"<u{bits // 8}")
    exact = 0
    for weight, sign in zip(weights, signs, strict=True):
        steps = np.array([sign * found.grid.bound, 0], np.int64)
        exact += weight * int(steps[0])
        total += to_words(steps, weight, found)
    read = read_sum(total, count, found)
    assert read.steps.tolist() == [exact, 0] and read.weight == sum(weights)


def test_differences_are_clipped_on_the_grid_and_noise_is_each_ones_own() -> None:
    found = rules(5, clip=0.5, noise=1.0)
    large = np.full(1000, 3.0)
    quiet = steps_of(lambda: [large], rules(5, clip=0.5))
    assert sum(int(each) ** 2 for each in quiet) <= found.grid.bound**2
    first, again, other = (steps_of(lambda: [large], found, key * 32) for key in (b"a", b"a", b"b"))
    assert (first == again).all() and (first != other).any()
    spread = float(np.std((first - quiet).astype(np.float64)))
    assert abs(spread / float(found.variance) ** 0.5 - 1) < 0.15


# -- rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"threshold": 6, "minimum": 10}, "threshold"),
        ({"threshold": 11, "minimum": 11}, "threshold"),
        ({"threshold": 7, "minimum": 7, "corrupt": 4}, "corrupt"),
        ({"threshold": 7, "minimum": 6}, "minimum"),
        ({"threshold": 7, "minimum": 11}, "minimum"),
        ({"threshold": 7, "minimum": 7, "max_weight": 100, "bits": 32}, "bits"),
        ({"threshold": 7, "minimum": 7, "max_weight": 2, "noise": 1.0}, "noise"),
        ({"threshold": 7, "minimum": 7, "noise": 1e-7}, "noise"),
        ({"threshold": 7, "minimum": 7, "noise": 1e6, "bits": 32}, "bits"),
    ],
)
def test_rules_that_do_not_protect_or_do_not_fit(values: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        SumRules.parse({"participants": 10, "corrupt": 0, "clip": 1.0, "bits": 64, **values})
    assert caught.value.extra["field"] == f"secure_aggregation.{field}"


@given(st.integers(3, 64), st.data())
@settings(deadline=None)
def test_two_sets_of_survivors_never_both_have_a_threshold_of_signatures(n: int, data: st.DataObject) -> None:
    """Of what is accepted: honest participants sign one set each, bought ones as many as there are."""
    values = {"threshold": data.draw(st.integers(2, n)), "corrupt": data.draw(st.integers(0, n))}
    try:
        found = SumRules.parse({"participants": n, "minimum": n, "clip": 1.0, "bits": 64, **values})
    except InvalidConfig:
        return
    honest = n - found.corrupt
    for first in range(honest + 1):
        assert min(first, honest - first) + found.corrupt < found.threshold


# -- statements ---------------------------------------------------------------------------------------


def test_statements_are_written_in_one_way_only() -> None:
    play = Play(rules(3), [np.zeros(1)] * 3)
    play.advertise()
    assert play.server.roster is not None
    data = play.server.roster.encode()
    assert Roster.decode(data).digest == play.server.roster.digest
    said = play.server.roster.at(1).advertisement.encode()
    assert Advertisement.decode(said).encode() == said
    survivors = Survivors(b"r" * 32, (1, 2), (1,)).encode()
    for kind, good in ((Roster, data), (Advertisement, said), (Survivors, survivors)):
        for bad in (good[:-1], good + b"\0", b"", b"\x80", good.replace(b"\x01", b"\xcc\x01", 1)):
            if bad != good:
                with pytest.raises(BadRequest):
                    kind.decode(bad)


def test_a_list_of_keys_in_another_order_is_none() -> None:
    from syft_ext.secure_aggregation.statements import _Members

    play = Play(rules(3), [np.zeros(1)] * 3)
    play.advertise()
    assert play.server.roster is not None
    found = _Members.decode(play.server.roster.encode())
    with pytest.raises(BadRequest, match="order"):
        Roster.decode(_Members(found.round, found.members[::-1]).encode())


def test_what_was_published_is_what_the_machines_say() -> None:
    assert json.loads(json.dumps(made())) == json.loads(PUBLISHED.read_text())
