"""The noise of outputs: its words, its distribution, its published vectors."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from syft_ext.confidential.kernel.noise import BLOCK, NoiseSeed, add_noise
from syft_ext.errors import BadRequest
from syft_ext.privacy.noise import DiscreteGaussian
from tests.confidential.kernel.make_vectors import VECTORS, noise_of, seed_of
from tests.shared_material import shared

M, POLICY = b"m" * 32, b"p" * 32
KEYS = [bytes([n]) * 32 for n in range(4)]
IDS = [f"{n:032x}" for n in range(4)]


def hkdf_extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, "sha256")


def hkdf_expand_32(key: bytes, info: bytes) -> bytes:
    return hmac.digest(key, info + b"\1", "sha256")


def test_the_seed_is_made_as_it_says() -> None:
    parts = [
        hkdf_expand_32(hkdf_extract(bytes(32), key), b"grid noise v1\0" + M + name.encode())
        for key, name in zip(KEYS, IDS, strict=True)
    ]
    mixed = bytes(32)
    for part in (parts[0], parts[2], parts[3]):
        mixed = bytes(a ^ b for a, b in zip(mixed, part, strict=True))
    opened = hashlib.sha256(b"\1\0\1\1").digest()
    seed = NoiseSeed(M, POLICY)
    for n, (key, name) in enumerate(zip(KEYS, IDS, strict=True)):
        if n == 1:
            seed.unopened()
        else:
            seed.opened(key, name)
    assert seed.finish() == hkdf_extract(M, mixed + opened + POLICY)


def test_all_that_makes_it_changes_it() -> None:
    base: dict[str, Any] = {"manifest": M, "policy": POLICY, "uploads": list(zip(KEYS, IDS, strict=True))}
    other = [
        base,
        base | {"manifest": b"n" * 32},
        base | {"policy": b"q" * 32},
        *(
            base | {"uploads": [*base["uploads"][:n], change, *base["uploads"][n + 1 :]]}
            for n in range(4)
            for change in (None, (b"other key of someone who is hone", IDS[n]), (KEYS[n], "f" * 32))
        ),
        base | {"uploads": base["uploads"][:3]},
        base | {"uploads": [*base["uploads"], None]},
        base | {"uploads": [None] * 4},
    ]
    seeds = [seed_of(**each) for each in other]
    assert all(one != another for one, another in combinations(seeds, 2))


def test_each_block_has_a_key_of_its_own_and_batches_make_no_difference() -> None:
    sigma, seed = Fraction(1000), b"s" * 32
    size = 2 * BLOCK + 17
    found = noise_of(size, seed, sigma)
    for index in range(3):
        key = hkdf_expand_32(seed, b"grid noise block v1\0" + index.to_bytes(8, "big"))
        draws = DiscreteGaussian(sigma**2).draws(key)
        expected = found[index * BLOCK : (index + 1) * BLOCK]
        first = draws.take(min(1000, len(expected)))
        assert (first == expected[:1000]).all()
        assert (draws.take(len(expected) - len(first)) == expected[len(first) :]).all()
    assert (noise_of(BLOCK, seed, sigma) == found[:BLOCK]).all()


def test_it_is_added_and_room_is_checked() -> None:
    totals = np.full(10, 2**40, np.int64)
    add_noise(totals, b"s" * 32, Fraction(9))
    assert (totals - 2**40 == noise_of(10, b"s" * 32, Fraction(9))).all()
    full = np.full(10, 2**63 - 5, np.int64)
    with pytest.raises(BadRequest, match="64 bits"):
        add_noise(full, b"s" * 32, Fraction(9))
    add_noise(full, b"s" * 32, Fraction(0))
    assert (full == 2**63 - 5).all(), "no noise is none"


@pytest.mark.parametrize("sigma", [Fraction(1, 2), Fraction(1), Fraction(2), Fraction(10)])
def test_it_is_distributed_as_the_reference(sigma: Fraction) -> None:
    """χ² against the probabilities of the reference, over many keys; seeded, so that it holds always or never."""
    path = shared("confidential", "vectors", "discrete-gaussian-reference.json")
    (case,) = [each for each in json.loads(path.read_text())["cases"] if each["sigma"] == float(sigma)]
    drawn = np.concatenate([noise_of(BLOCK, bytes([n]) * 32, sigma) for n in range(4)])
    chances = {0: case["pmf"]["0"]}
    for y, chance in case["pmf"].items():
        if chance * len(drawn) >= 10:
            chances |= {int(y): chance, -int(y): chance}
    expected = {y: chance * len(drawn) for y, chance in chances.items()}
    found = {y: int((drawn == y).sum()) for y in chances}
    statistic = math.fsum((found[y] - e) ** 2 / e for y, e in expected.items())
    rest, left = len(drawn) - math.fsum(expected.values()), len(drawn) - sum(found.values())
    statistic += (left - rest) ** 2 / rest if rest >= 5 else 0.0
    freedom = len(chances)
    assert statistic < freedom + 5 * math.sqrt(2 * freedom) + 10
    assert drawn.var() == pytest.approx(case["variance"], rel=0.03)
    assert abs(drawn.mean()) < 5 * math.sqrt(case["variance"] / len(drawn))


def test_the_published_vectors_hold() -> None:
    """What was written once holds for ever: another version makes the same noise of the same round."""
    for case in json.loads(VECTORS.read_text())["cases"]:
        uploads = [
            None if each is None else (bytes.fromhex(each["content_key"]), each["assignment"])
            for each in case["uploads"]
        ]
        seed = seed_of(bytes.fromhex(case["manifest"]), bytes.fromhex(case["policy"]), uploads)
        assert seed.hex() == case["seed"]
        noise = noise_of(case["size"], seed, Fraction(case["sigma"]))
        assert noise[: len(case["first"])].tolist() == case["first"]
        assert {n: int(noise[int(n)]) for n in case["some"]} == case["some"]
        assert hashlib.sha256(noise.astype("<i8").tobytes()).hexdigest() == case["sha256"]


def test_the_vectors_lie_beside_their_maker() -> None:
    assert VECTORS.parent == Path(__file__).parent
