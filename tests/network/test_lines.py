"""Domains that nobody can connect to, and what a Network carries without reading it: real sockets, real apps."""

from __future__ import annotations

import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import apps.domain.app
import apps.network.app
import syft_ext as sy
from grid.accounts.bootstrap import bootstrap_owner
from grid.config import DomainSettings, NetworkSettings
from grid.network import line_keeping, relaying
from grid.network.associations import AssociationService
from grid.network.line_keeping import TUNNELS, takes_one_more
from grid.network.relaying import RelayService
from grid.node.networks import is_this_machine, network_of, teller_of
from grid.web.limits.memory import MemoryBudget
from grid.web.testing import ServedNode
from syft_ext.errors import Forbidden, GridError, TooManyRequests, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages.accounts import Login
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.network import LINE, ListAssociations, RequestAssociation
from syft_ext.transport import Connection, open_transport
from syft_ext.transport.relayed.relay import relay_address

OWNER, PASSWORD = "owner@grid.example", "correct horse battery"


class Scene:
    """A Network, and Domains that associate with it."""

    def __init__(self, root: Path, template: Path) -> None:
        self._root, self._template = root, template
        self.served: list[ServedNode] = []
        settings = NetworkSettings(name="net", auto_accept=True, allow_addresses=["127.0.0.0/8"])
        self.network = self._serve("network", apps.network.app.build, settings)

    def _serve(self, name: str, build: Any, settings: Any) -> ServedNode:
        home = self._root / name
        home.mkdir(exist_ok=True)
        if not (home / "node.db").exists():
            shutil.copyfile(self._template, home / "node.db")
        node = build(home, settings)
        bootstrap_owner(node, OWNER, PASSWORD)
        served = ServedNode(node)
        self.served.append(served)
        return served

    def domain(self, name: str = "north", *, keep_line: bool = True, **more: Any) -> ServedNode:
        more = {"heartbeat_interval": 0.5, "allow_addresses": ["127.0.0.0/8"], **more}
        settings = DomainSettings(name=name, keep_line=keep_line, **more)
        return self._serve(name, apps.domain.app.build, settings)

    def join(self, domain: ServedNode) -> None:
        client = sy.login(domain.url, OWNER, PASSWORD)
        assert client.call(RequestAssociation(address=self.network.url)).status == "accepted"

    def client(self) -> sy.NetworkClient:
        client = sy.login(self.network.url, OWNER, PASSWORD)
        assert isinstance(client, sy.NetworkClient)
        return client

    def close(self) -> None:
        for served in reversed(self.served):
            served.close(0.5)


@pytest.fixture
def scene(tmp_path: Path, sqlite_template: Path, own_folder: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path, sqlite_template)
    yield scene
    scene.close()


def test_a_domain_without_an_address_is_searched_and_asked(scene: Scene) -> None:
    north = scene.domain()
    scene.join(north)
    sy.login(north.url, OWNER, PASSWORD).datasets.create(name="biopsies", tags=["oncology"])
    network = scene.client()
    (view,) = network.domains.all()
    assert (view.name, view.address) == ("north", "") and view.status != "offline"
    (hit,) = network.search(text="biopsies")
    assert hit.domain_name == "north"
    domain = network.connect("north", OWNER, PASSWORD)
    assert [each.name for each in domain.datasets] == ["biopsies"]
    assert domain.connection.transport.address == relay_address(scene.network.url, view.verify_key)


def test_a_line_that_breaks_is_opened_again(scene: Scene) -> None:
    north = scene.domain()
    scene.join(north)
    lines = scene.network.node.service(AssociationService).lines
    key = north.node.identity.verify_key
    before = lines.line(key)
    assert before is not None
    before.close()
    _eventually(lambda: lines.line(key) not in (None, before))
    assert scene.client().connect("north").metadata.name == "north"


def test_who_keeps_no_line_is_not_taken_at_their_word(scene: Scene) -> None:
    north = scene.domain()
    keeper = north.node.service(apps.domain.app.LineKeeper)
    keeper.open = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(Forbidden, match="no line"):
        sy.login(north.url, OWNER, PASSWORD).call(RequestAssociation(address=scene.network.url))


def test_strangers_keep_no_lines(scene: Scene) -> None:
    """A key that has not asked to associate is refused, before anything is kept of it."""
    north = scene.domain()
    keeper = north.node.service(apps.domain.app.LineKeeper)
    key = scene.network.node.identity.verify_key
    with keeper.held(key), pytest.raises(Unavailable, match="has not asked to associate"):
        keeper.open(key, scene.network.url, 60.0)
    assert len(scene.network.node.service(AssociationService).lines) == 0


def test_who_waits_for_a_line_that_is_kept_no_more_is_told(scene: Scene) -> None:
    """The beat of a Domain ends each line that no association needs."""
    keeper = scene.domain(heartbeat_interval=3600.0).node.service(apps.domain.app.LineKeeper)
    key = scene.network.node.identity.verify_key
    with socket.create_server(("127.0.0.1", 0)) as mute, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(keeper.open, key, "http://{}:{}".format(*mute.getsockname()), 3600.0)
        reached, _ = mute.accept()
        keeper.keep({})
        with reached, pytest.raises(Unavailable, match="is kept no more"):
            asked.result(60)


def test_an_association_that_ends_takes_its_line_along(scene: Scene) -> None:
    north = scene.domain()
    scene.join(north)
    client = sy.login(north.url, OWNER, PASSWORD)
    (row,) = client.call(ListAssociations()).associations
    assert row.kind == "network"
    network = scene.client()
    (row,) = network.call(ListAssociations()).associations
    assert row.address == LINE
    network.call(sy.messages.network.DeleteAssociation(association_id=row.association_id))
    lines = scene.network.node.service(AssociationService).lines
    _eventually(lambda: lines.line(north.node.identity.verify_key) is None)
    with pytest.raises(Unavailable, match="no such Domain"):
        Connection(
            open_transport(relay_address(scene.network.url, north.node.identity.verify_key))
        ).metadata()


def _eventually(met: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_network_bounds_what_it_carries(scene: Scene) -> None:
    """By the caller's address; a connection that ends makes room."""
    north = scene.domain(keep_line=False)
    scene.join(north)
    relays = scene.network.node.service(RelayService)
    relays.settings = msgspec.structs.replace(relays.settings, relayed_per_address=2)
    address = relay_address(scene.network.url, north.node.identity.verify_key)
    callers = [Connection(open_transport(address)) for _ in range(3)]
    for caller in callers[:2]:
        assert caller.metadata().name == "north"  # at its address: the way through the Network is one
    with pytest.raises(Unavailable, match="too many connections"):
        callers[2].metadata()
    callers[0].close()
    _eventually(lambda: _answers(callers[2]))
    for caller in callers:
        caller.close()


def _answers(caller: Connection) -> bool:
    try:
        return bool(caller.metadata().name)
    except Unavailable:
        return False


def test_what_comes_through_a_tunnel_counts_against_the_domains_memory(scene: Scene) -> None:
    """As what comes in any other way: a stranger behind a Network holds no more of it."""
    north = scene.domain()
    scene.join(north)
    held: Counter[int] = Counter()  # by budget: the Network has one of its own
    most: Counter[int] = Counter()
    real = MemoryBudget.take

    def take(budget: MemoryBudget, name: str, wanted: int, *, stranger: bool) -> bool:
        held[id(budget)] += wanted
        most[id(budget)] = max(most[id(budget)], held[id(budget)])
        return real(budget, name, wanted, stranger=stranger)

    address = relay_address(scene.network.url, north.node.identity.verify_key)
    domain = sy.login(address, OWNER, PASSWORD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryBudget, "take", take)
        domain.store.put(torch.ones(200_000))  # type: ignore[attr-defined]
    assert len([each for each in most.values() if each > 0]) == 2


@settings(max_examples=60)
@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.booleans()), max_size=900))
def test_no_hub_takes_all_tunnels(hubs: int, asked: list[tuple[int, bool]]) -> None:
    """Whatever the others hold, a hub has half of an even share at least; one alone has all."""
    held: Counter[str] = Counter()
    for number, ends in asked:
        hub = str(number % hubs)
        if ends:
            held[hub] = max(0, held[hub] - 1)
        elif takes_one_more(held, hub, hubs):
            held[hub] += 1
        else:
            assert held[hub] >= TUNNELS // (2 * hubs)
        assert held.total() <= TUNNELS
    greedy: Counter[str] = Counter()
    while takes_one_more(greedy, "0", hubs):
        greedy["0"] += 1
    assert greedy["0"] == TUNNELS if hubs == 1 else takes_one_more(greedy, "1", hubs)


def test_the_tunnels_of_a_hub_are_counted_until_they_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_keeping, "TUNNELS", 2)
    north = scene.domain(keep_line=False)
    scene.join(north)
    address = relay_address(scene.network.url, north.node.identity.verify_key)
    callers = [Connection(open_transport(address)) for _ in range(3)]
    for caller in callers[:2]:
        assert caller.metadata().name == "north"
    with pytest.raises(Unavailable, match="cannot be reached"):
        callers[2].metadata()
    callers[0].close()
    _eventually(lambda: _answers(callers[2]))
    for caller in callers:
        caller.close()
    keeper = north.node.service(apps.domain.app.LineKeeper)
    _eventually(lambda: not keeper._tunnels)


@pytest.mark.parametrize("keep_line", [True, False], ids=["line", "address"])
@pytest.mark.parametrize("believed", [True, False], ids=["believed", "not believed"])
def test_callers_of_a_network_count_each_by_themselves(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, keep_line: bool, believed: bool
) -> None:
    """One who guesses passwords is slowed down, and not the others, nor whoever comes from that address itself."""
    key = scene.network.node.identity.verify_key
    north = scene.domain(keep_line=keep_line, trusted_networks=[key] if believed else [])
    scene.join(north)
    address = relay_address(scene.network.url, north.node.identity.verify_key)
    monkeypatch.setattr(relaying, "network_of", lambda remote: "203.0.113.9")
    for _ in range(12):
        with pytest.raises(GridError) as refusal:
            _log_in_with_a_new_key(address, "a guess")
    assert isinstance(refusal.value, TooManyRequests)
    monkeypatch.setattr(relaying, "network_of", lambda remote: "192.0.2.1")
    domain = _log_in_with_a_new_key(address, PASSWORD)
    seen = {
        entry.detail["remote"]
        for entry in domain.call(ListAudit()).entries
        if entry.operation == "auth.login"
    }
    node_id = scene.network.node.id[:16]
    told = (
        {"203.0.113.9", "192.0.2.1"}
        if believed
        else {f"203.0.113.9 via {node_id}", f"192.0.2.1 via {node_id}"}
    )
    assert told <= seen


def _log_in_with_a_new_key(address: str, password: str) -> Connection:
    """As a stranger: nothing is known of the key that signs."""
    connection = Connection(open_transport(address), Identity.generate())
    connection.token = connection.call(Login(email=OWNER, password=password)).token
    return connection


@pytest.mark.parametrize("said", ["", "127.0.0.1", "::1", "my own machine", "127.0.0.1 via "])
def test_no_network_says_that_a_caller_is_on_this_machine(scene: Scene, said: str) -> None:
    """What comes from there is not slowed down."""
    hub = scene.network.node.identity
    north = scene.domain(trusted_networks=[hub.verify_key])
    scene.join(north)
    keeper = north.node.service(apps.domain.app.LineKeeper)
    (row,) = keeper.associations.registry.accepted("outgoing", "network")
    place = keeper._place(row, said)
    assert teller_of(place) == scene.network.node.id[:16]
    assert not is_this_machine(network_of(place))
    assert len(place) <= 64
    assert keeper._place(row, "203.0.113.9") == "203.0.113.9"
    assert keeper._place(row, "2001:db8::/64") == "2001:db8::/64"
