"""Terms of split networks: what contradicts itself, what is claimed of noise, what is approved and read of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from syft_ext.errors import BadRequest
from syft_ext.messages.split_terms import Crossing, SplitTerms

ONE, TWO, READER, COMMON = ("0" * 64, "1" * 64, "3" * 64, "c" * 64)
WIDTH = 3


def terms(**changes: Any) -> SplitTerms:
    fields: dict[str, Any] = {
        "parties": [ONE, TWO],
        "top": 1,
        "plans": ["a" * 64, "b" * 64],
        "values": ["", ""],
        "task": "train",
        "common": COMMON,
        "rows": 20,
        "batch": 8,
        "width": WIDTH,
        "reader": READER,
    }
    return SplitTerms(**(fields | changes))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"parties": ["a" * 64] * 2}, "two different Domains"),
        ({"batch": 21}, "more rows"),
        ({"task": "predict", "epochs": 2}, "once"),
        ({"task": "predict", "gradients": Crossing(clip=1.0)}, "no gradients"),
        ({"activations": Crossing(noise_multiplier=1.0)}, "clipped"),
        ({"opened": ["loss", "loss"]}, "opened twice"),
        ({"opened": ["activations"]}, "what crosses"),
    ],
)
def test_terms_that_contradict_themselves(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        terms(**fields).check()


def test_what_is_claimed_of_noise() -> None:
    """Each row that crosses is a Gaussian release of a vector of norm 1 that may become any other: Δ = 2."""
    agreed = terms(epochs=3, activations=Crossing(clip=1.0, noise_multiplier=4.0))
    delta, sigma = 2.0, 4.0
    assert agreed.rho(0) == pytest.approx(20 * 3 * delta**2 / (2 * sigma**2))
    assert agreed.rho(1) is None and terms(task="predict").rho(1) is None
    assert agreed.crossing_bytes(0) == agreed.crossing_bytes(1) == 20 * 3 * WIDTH * 4
    assert terms(task="predict").crossing_bytes(1) == 0


def test_what_agrees_with_itself_is_read_in_one_line() -> None:
    terms().check()
    assert (terms().members, terms().trains, terms(epochs=2).batches) == ([ONE, TWO], True, 6)
    as_they_are = "480 bytes in all, as they are: they tell of the rows, and nothing is promised"
    assert str(terms(opened=["loss"], epochs=2)) == (
        f"a split network, train: 2 times through 20 rows in common {COMMON} in batches of 8 (6 batches; order "
        f"from 0); party 0 is {ONE}, with the bottom plan {'a' * 64}; party 1 is {TWO}, with the top plan "
        f"{'b' * 64}; activations cross from party 0 to party 1: f32[8, 3] in each batch, {as_they_are}; "
        f"gradients cross from party 1 to party 0: f32[8, 3] in each batch, {as_they_are}; the parameters of each "
        f"party stay there, as an object that nobody reads; opened to {READER}: loss"
    )
    noisy = str(
        terms(
            task="predict",
            activations=Crossing(clip=2.0, noise_multiplier=4.0),
        )
    )
    assert (
        "each row clipped to a norm of 2, with noise of deviation 8 in each number: ρ = 2.5 (zCDP)" in noisy
    )
    assert "gradients" not in noisy and "the predictions of party 1 stay there" in noisy
    assert noisy.endswith("nothing is opened to anybody")
    assert "to a norm of 2, without noise" in str(terms(gradients=Crossing(clip=2.0)))


def test_each_part_of_what_is_approved_is_in_its_digest() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"parties": [TWO, ONE]},
        {"top": 0},
        {"plans": ["b" * 64, "a" * 64]},
        {"values": ["d" * 64, ""]},
        {"task": "predict"},
        {"common": ONE},
        {"rows": 21},
        {"batch": 4},
        {"epochs": 2},
        {"seed": 1},
        {"width": 4},
        {"activations": Crossing(clip=1.0)},
        {"gradients": Crossing(clip=1.0)},
        {"opened": ["loss"]},
        {"reader": ONE},
    ]
    assert len({terms(**each).digest() for each in changes}) == len(changes)
    assert msgspec.convert(msgspec.to_builtins(terms()), SplitTerms) == terms()
