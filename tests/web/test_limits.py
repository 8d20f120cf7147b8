"""What one caller can take of a node: memory, connections, requests; by network and by account."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from grid.node.networks import network_of
from grid.web.http.application import Application
from grid.web.http.handler import ServerState
from grid.web.http.routing import Router
from grid.web.http.settings import WebSettings
from grid.web.limits.connections import ConnectionTable
from grid.web.limits.memory import FREE, Holding, MemoryBudget
from grid.web.limits.pace import Pace
from grid.web.testing import ServedNode
from syft_ext.errors import TooManyRequests, Unavailable

from .probe import make_node, token_of
from .wire import RawSocket, Wire

HTTP = urllib3.PoolManager(retries=False)
MB = 1 << 20


# -- networks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("127.0.0.9", "127.0.0.9"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_what_counts_as_one_caller(address: str, network: str) -> None:
    assert network_of(address) == network


# -- memory -------------------------------------------------------------------------------------------


def test_nobody_gets_more_than_a_share() -> None:
    budget = MemoryBudget(64 * MB)
    stranger, other = budget.holding("192.0.2.1"), budget.holding("192.0.2.1")
    stranger.take(3 * MB)
    with pytest.raises(Unavailable) as caught:
        other.take(2 * MB)  # a sixteenth for one network
    assert caught.value.extra["retry_after"] >= 1
    budget.holding("192.0.2.2").take(4 * MB)
    other.belongs_to("user ann")
    other.take(16 * MB)  # a quarter for one account
    with pytest.raises(Unavailable):
        other.take(1)
    stranger.release()
    assert budget.used == 20 * MB


def test_strangers_together_leave_half_to_who_is_known() -> None:
    budget = MemoryBudget(64 * MB)
    taken = 0
    for number in range(32):
        holding = budget.holding(f"192.0.2.{number}")
        if holding.move(0, 4 * MB):
            taken += 4 * MB
    assert taken == 32 * MB
    known = budget.holding("192.0.2.99")
    known.belongs_to("user ann")
    known.take(16 * MB)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 40), st.booleans(), st.sampled_from(["", "a", "b"])),
        max_size=60,
    )
)
def test_the_budget_is_never_passed_and_all_comes_back(
    moves: list[tuple[int, int, bool, str]],
) -> None:
    budget = MemoryBudget(40 * FREE)
    holdings = [budget.holding(f"192.0.2.{number % 2}") for number in range(4)]
    for number, size, release, account in moves:
        holding = holdings[number]
        if release:
            holding.release()
        else:
            holding.move(holding.size, size * FREE // 2)
        if account:
            with contextlib.suppress(Unavailable):
                holding.belongs_to(account)
        assert 0 <= budget.used <= budget.limit
        assert budget.used == sum(each.size for each in holdings if each.size > FREE)
    for holding in holdings:
        holding.release()
    assert budget.used == 0


def test_many_threads_lose_nothing() -> None:
    budget = MemoryBudget(1 << 40)
    holding = budget.holding("192.0.2.1")

    def work() -> None:
        for _ in range(2000):
            assert holding.move(0, 3 * FREE)
            assert holding.move(3 * FREE, 0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (holding.size, budget.used) == (0, 0)


# -- connections --------------------------------------------------------------------------------------


def test_a_network_has_so_many_connections() -> None:
    table = ConnectionTable(10, 3, exempt=lambda network: network == "proxy")
    assert [table.open("a") for _ in range(4)] == [True, True, True, False]
    assert table.open("b")
    assert [table.open("proxy") for _ in range(4)] == [True] * 4  # who is behind it, it says
    table.close("a")
    assert table.open("a")
    assert len(table) == 8


def test_when_it_is_crowded_whoever_rests_most_makes_room() -> None:
    called: list[int] = []
    table = ConnectionTable(10, 10, make_room=lambda: called.append(len(table)))
    assert all(table.open("a") for _ in range(9)) and called == []
    assert table.open("b") and called == [10]
    assert not table.open("one too many")
    state = ServerState(Application(Router(), WebSettings()))
    ended: list[str] = []

    def resting(network: str, since: float) -> Any:
        name = f"{network} {since}"
        return SimpleNamespace(network=network, rests_since=since, let_go=lambda: ended.append(name))

    state.idle = [*(resting("greedy", 5.0 + number) for number in range(9)), resting("modest", 1.0)]  # type: ignore[assignment]
    state.make_room()
    assert ended == ["greedy 5.0"]  # of the largest, the one that rests longest


# -- pace ---------------------------------------------------------------------------------------------


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def make_pace(rate: float, burst: float, time: Time) -> Pace:
    return Pace(rate, burst, patience=2.0, now=time, sleep=time.sleep)


def test_who_comes_faster_waits_and_nobody_else() -> None:
    clock = Time()
    pace = make_pace(10.0, 5.0, clock)
    for _ in range(6):
        pace.wait("fast")
    assert clock.slept == []
    pace.wait("fast")
    assert clock.slept == [pytest.approx(0.1)]
    pace.wait("other")
    assert len(clock.slept) == 1


def test_a_debt_is_refused_slowly_and_ends() -> None:
    clock = Time()
    pace = make_pace(10.0, 5.0, clock)
    pace.charge("bad", 1e9)
    with pytest.raises(TooManyRequests) as caught:
        pace.wait("bad")
    assert clock.slept == [2.0]  # its connection comes no faster than that
    assert caught.value.extra["retry_after"] >= 1
    clock.now += 10
    pace.wait("bad")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_over_any_time_no_more_pass_than_the_rate(pauses: list[float]) -> None:
    clock = Time()
    pace = make_pace(10.0, 5.0, clock)
    passed: list[float] = []
    for pause in pauses:
        clock.now += pause
        try:
            pace.wait("x")
        except TooManyRequests:
            continue
        passed.append(clock.now)
    for first in range(0, len(passed), 7):
        for last in range(first, len(passed)):
            assert last - first <= 10.0 * (passed[last] - passed[first]) + 5.0 + 1.001


# -- over sockets -------------------------------------------------------------------------------------


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[ServedNode]:
    settings = WebSettings(
        connections_per_address=6,
        websockets_per_address=2,
        hosts=("north.example",),
        trusted_proxies=("127.0.0.2",),
        metrics="token",
        metrics_token="a scraper's secret",
    )
    with ServedNode(make_node(tmp_path), settings) as node:
        yield node


def get(node: ServedNode, path: str, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTP.request("GET", node.url + path, headers={**sent, "Connection": "close"})


def test_connections_beyond_the_limit_are_told_so(tight: ServedNode) -> None:
    wires = [Wire(tight.url) for _ in range(6)]
    for wire in wires:
        assert wire.request("GET", "/healthz")[0] == 200
    late = Wire(tight.url)
    status, headers, body = late.response()
    assert (status, json.loads(body)["code"]) == (429, "too-many-requests")
    assert headers["retry-after"] == "5"
    late.close()
    wires.pop().close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        wire = Wire(tight.url)
        wire.send(f"GET /healthz HTTP/1.1\r\nHost: {wire.host}\r\n\r\n")
        if wire.response()[0] == 200:
            break
        wire.close()
        time.sleep(0.05)
    else:
        pytest.fail("the place was not given back")
    for each in [*wires, wire]:
        each.close()


def test_strangers_websockets_have_a_limit_and_users_do_not_fill_it(tight: ServedNode) -> None:
    known = {"Authorization": f"Bearer {token_of(tight.node)}"}
    users = [RawSocket(tight.url, "/ws", **known) for _ in range(2)]
    time.sleep(0.2)  # until they are known
    strangers = [RawSocket(tight.url, "/ws"), RawSocket(tight.url, "/messages")]
    with pytest.raises(AssertionError, match="429"):
        RawSocket(tight.url, "/ws")
    for each in (*users, *strangers):
        each.close()


@pytest.mark.parametrize(
    "host", ["north.example", "NORTH.example:80", "localhost", "a.localhost", "127.0.0.1", "[::1]:1"]
)
def test_names_that_the_node_answers_to(tight: ServedNode, host: str) -> None:
    assert get(tight, "/healthz", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "north.example.evil", "localhost.evil", "127.0.0.1.evil", "x"]
)
def test_names_that_it_does_not(tight: ServedNode, host: str) -> None:
    """DNS rebinding: a page's own name leads here, and the page reads what only this network may."""
    for path in ("/healthz", "/metadata", "/docs", "/nowhere"):
        refused = get(tight, path, Host=host)
        assert (refused.status, json.loads(refused.data)["code"]) == (421, "misdirected-request")
    with Wire(tight.url) as wire:
        wire.send(f"GET http://{host}/metadata HTTP/1.1\r\nHost: north.example\r\n\r\n")
        assert wire.response()[0] == 421
    with pytest.raises(AssertionError, match="421"):
        RawSocket(tight.url, "/ws", Host=host, Origin=f"http://{host}")


def test_metrics_by_token(tight: ServedNode) -> None:
    assert get(tight, "/metrics").status == 401
    assert get(tight, "/metrics", Authorization="Bearer wrong").status == 401
    assert get(tight, "/metrics", Authorization="Bearer a scraper's secret").status == 200
    user = token_of(tight.node)  # who may not see the dashboard
    assert get(tight, "/metrics", Authorization=f"Bearer {user}").status == 403


def test_metrics_are_this_machines_own(tmp_path: Path) -> None:
    with ServedNode(make_node(tmp_path / "a")) as node:
        assert get(node, "/metrics").status == 200
        for field in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):  # a proxy that nobody named
            assert get(node, "/metrics", **{field: "203.0.113.9"}).status == 403
    behind = WebSettings(trusted_proxies=("127.0.0.1",))
    with ServedNode(make_node(tmp_path / "b"), behind) as node:
        assert get(node, "/metrics", X_Forwarded_For="203.0.113.9").status == 403
    with ServedNode(make_node(tmp_path / "c"), WebSettings(metrics="open")) as node:
        assert get(node, "/metrics", X_Forwarded_For="203.0.113.9").status == 200


def test_hsts_is_said_over_tls_and_behind_trusted_proxies_alone(tmp_path: Path) -> None:
    behind = WebSettings(trusted_proxies=("127.0.0.1",))
    with ServedNode(make_node(tmp_path / "a"), behind) as node:
        https = {"X_Forwarded_Proto": "https"}
        for path in ("/healthz", "/nowhere", "/users/me"):
            assert "max-age=" in get(node, path, **https).headers["Strict-Transport-Security"]
        assert "Strict-Transport-Security" not in get(node, "/healthz").headers
    with ServedNode(make_node(tmp_path / "b")) as node:  # nobody's word is taken
        assert "Strict-Transport-Security" not in get(node, "/healthz", **https).headers


def test_a_holding_of_nobody_counts_nothing() -> None:
    budget = MemoryBudget(MB)
    assert isinstance(budget.holding(""), Holding)
    assert budget.used == 0
