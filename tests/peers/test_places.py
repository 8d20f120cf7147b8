"""Who ends for whom where no place at a gateway is free: one network keeps nobody out, whatever it sends."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.peers.places import SPEAKING, Place, Standing, standing_of, who_gives_way


def place(network: str, standing: Standing = Standing.STRANGER, made_at: float = 0.0) -> Place[None]:
    made = Place("ab" * 32, "cd" * 16, None, network, made_at)
    made.standing = standing
    return made


@pytest.mark.parametrize(
    ("caller", "standing"),
    [
        ("user 1", Standing.ACCOUNT),
        ("node 1", Standing.ACCOUNT),
        ("worker 1", Standing.WORKER),
        ("", Standing.STRANGER),
        ("useless 1", Standing.STRANGER),
    ],
)
def test_what_is_known_of_a_caller(caller: str, standing: Standing) -> None:
    assert standing_of(caller) == standing


def test_whoever_has_not_spoken_in_time_ends_first() -> None:
    late, young = place("a", made_at=0.0), place("b", made_at=SPEAKING)
    crowd = [place("c", Standing.WORKER) for _ in range(9)]
    assert who_gives_way([*crowd, young, late], "d", SPEAKING + 1) is late
    assert who_gives_way([young, late], "a", SPEAKING) is None


def test_the_largest_network_gives_one_up_the_least_known_and_latest_of_it() -> None:
    first, last = place("a", made_at=1.0), place("a", made_at=2.0)
    worker, account = place("a", Standing.WORKER, 3.0), place("a", Standing.ACCOUNT, 4.0)
    small = [place("b", made_at=5.0), place("b", made_at=6.0)]
    assert who_gives_way([first, last, worker, account, *small], "c", 7.0) is last
    assert who_gives_way([worker, account, *small], "a", 7.0) is None, "no network takes from its equals"
    assert who_gives_way([account, account, account], "c", 7.0) is None, "accounts keep theirs"


NETWORKS = st.sampled_from(["attacker", "school", "lab", "home"])


@given(
    st.lists(st.tuples(NETWORKS, st.sampled_from(Standing), st.floats(0, 100)), min_size=1, max_size=60),
    NETWORKS,
)
def test_any_crowd(crowd: list[tuple[str, Standing, float]], newcomer: str) -> None:
    """Who ends is nobody's account, and never of a network that has fewer than the newcomer's then has."""
    places = [place(network, standing, made_at) for network, standing, made_at in crowd]
    held = Counter(each.network for each in places)
    ended = who_gives_way(places, newcomer, 100.0)
    late = [p for p in places if p.standing == Standing.STRANGER and 100.0 - p.made_at > SPEAKING]
    if ended is None:
        assert not late
        most = Counter(p.network for p in places if p.standing < Standing.ACCOUNT)
        assert all(held[network] <= held[newcomer] + 1 for network in most)
        return
    assert ended.standing < Standing.ACCOUNT
    assert ended in late or held[ended.network] - 1 >= held[newcomer] + 1


@given(st.lists(NETWORKS, max_size=200))
def test_an_attacker_who_comes_at_every_turn_keeps_nobody_out(comers: list[str]) -> None:
    """Of six places, all taken by one network: whoever else comes first from theirs has one then, and keeps it."""
    places = [place("attacker") for _ in range(6)]
    for turn, comer in enumerate(comers):
        for each in (comer, "attacker"):
            ended = who_gives_way(places, each, 1.0)
            if ended is not None:
                places.remove(ended)
                places.append(place(each, made_at=turn / 1000))
        assert comer in [each.network for each in places]
