"""One search over many Domains, some of which are dead or slow."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import blake3
import msgspec
import pytest

from grid.concurrency.breaker import Breaker
from grid.config import NetworkSettings
from grid.network.associations import AssociationService
from grid.network.hub import HubService
from grid.network.search import NetworkSearchService
from grid.node import Context, Node, Principal, Service, handles
from syft_ext.errors import Unauthenticated, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages.datasets import PublishedResults, SearchEntry, SearchPublished, SearchResults
from syft_ext.messages.network import (
    DeleteAssociation,
    ListAssociations,
    RequestAssociation,
    SearchNetwork,
    SearchReply,
)
from tests.network.nodes import USER, World
from tests.network.test_associations import beat, eventually, rows


class Shelf(Service):
    """Publishes one dataset and one model named after the node; can be slow, until it is let go,
    and can answer only when so many are asked at the same time."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.slow = False
        self.let_go = threading.Event()
        self.together: threading.Barrier | None = None
        self.asked = 0

    @handles(SearchPublished)
    def published(self, ctx: Context, message: SearchPublished) -> SearchResults:
        assert ctx.principal.kind == "node"
        self.asked += 1
        if self.slow:
            self.let_go.wait(60.0)
        if self.together is not None:
            self.together.wait(60.0)
        entries = [
            SearchEntry(kind=kind, id="0" * 32, name=f"{self.node.name}-{kind}", description="", tags=[],
                        created_at=0.0)
            for kind in ("dataset", "model", "object")
            if not message.kinds or kind in message.kinds
        ]  # fmt: skip
        return SearchResults(entries=entries)


def make(world: World, *names: str, deadline: float = 0.5) -> tuple[Node, list[Node]]:
    settings = NetworkSettings(auto_accept=True)
    network = world.node(
        "network",
        "net",
        [partial(HubService, settings=settings), partial(NetworkSearchService, deadline=deadline)],
    )
    domains = [world.domain(name, Shelf) for name in names]
    for domain in domains:
        world.call(domain, RequestAssociation(address=network.address))
    return network, domains


def search(world: World, network: Node, **query: object) -> SearchReply:
    reply: SearchReply = world.call(network, SearchNetwork(**query), USER)  # type: ignore[arg-type]
    return reply


def test_datasets_and_models_of_all_domains(world: World) -> None:
    network, domains = make(world, "a", "b")
    reply = search(world, network)
    assert [hit.name for hit in reply.results] == ["a-dataset", "a-model", "b-dataset", "b-model"]
    assert {hit.domain_id for hit in reply.results} == {domain.id for domain in domains}
    assert reply.notes == []
    assert reply.asked == 2
    assert [hit.name for hit in search(world, network, kind="model").results] == ["a-model", "b-model"]
    assert len(search(world, network, limit=1).results) == 1


def test_strangers_may_not_search(world: World) -> None:
    network, _ = make(world)
    with pytest.raises(Unauthenticated):
        world.call(network, SearchNetwork(), Identity.generate())


def test_domains_are_asked_at_the_same_time(world: World) -> None:
    network, domains = make(world, *(f"d{n}" for n in range(6)), deadline=60.0)
    together = threading.Barrier(6)
    for domain in domains:
        domain.service(Shelf).together = together
    assert len(search(world, network, kind="dataset").results) == 6


def test_a_dead_domain_costs_a_note_and_nothing_more(world: World) -> None:
    network, (_, dead) = make(world, "a", "dead")
    world.down.add(dead.address)
    first = search(world, network)
    assert [(note.domain, "cannot be reached" in note.error) for note in first.notes] == [("dead", True)]
    assert [hit.name for hit in first.results] == ["a-dataset", "a-model"]
    second = search(world, network)
    assert "not asked" in second.notes[0].error
    world.clock.advance(60)
    beat(world.nodes["http://a:80"])
    third = search(world, network)
    assert [note.error for note in third.notes] == ["offline"]


def test_a_slow_domain_is_waited_for_until_the_deadline_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, (_, slow) = make(world, "a", "slow", deadline=3.0)
    service = network.service(NetworkSearchService)
    service.breaker = Breaker(first=600.0)
    heard: list[str] = []
    remember = service._remember

    def remembered(key: str, *rest: Any) -> None:
        remember(key, *rest)
        heard.append(key)

    monkeypatch.setattr(service, "_remember", remembered)
    shelf = slow.service(Shelf)
    shelf.slow = True
    first = search(world, network)
    assert 2.9 < first.seconds < 50.0, "it would have answered after a minute"
    assert [note.error for note in first.notes] == ["did not answer in time"]
    assert [hit.name for hit in first.results] == ["a-dataset", "a-model"]
    second = search(world, network)
    assert ["not asked" in note.error for note in second.notes] == [True], "it is remembered"
    shelf.let_go.set()
    eventually(lambda: slow.identity.verify_key in heard)  # and the pause after the failure is not over
    third = search(world, network)
    assert ["not asked" in note.error for note in third.notes] == [True], "its late answer did not clear it"


def test_a_suspect_is_probed_and_comes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    network, (domain,) = make(world, "a", deadline=60.0)
    service = network.service(NetworkSearchService)
    key = domain.identity.verify_key
    service.breaker.failed(key, time.monotonic() - 3.0, "was away")  # the pause of two seconds is over
    shelf = domain.service(Shelf)
    shelf.slow = True
    probe = search(world, network)
    assert probe.seconds < 50.0, "nobody waits for a suspect"
    assert "asked again" in probe.notes[0].error
    shelf.let_go.set()
    eventually(lambda: service.breaker.state(key, time.monotonic()) == "closed")
    assert len(search(world, network).results) == 2


def test_a_caller_may_shorten_the_deadline_not_lengthen_it(world: World) -> None:
    network, (slow,) = make(world, "slow", deadline=0.3)
    shelf, service = slow.service(Shelf), network.service(NetworkSearchService)
    shelf.slow = True
    assert search(world, network, deadline=30.0).seconds < 25.0
    service.breaker.succeeded(slow.identity.verify_key)
    service._deadline = 30.0
    assert search(world, network, deadline=0.05).seconds < 25.0
    shelf.let_go.set()


def test_a_domain_that_left_while_the_network_was_away_is_found_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, (domain,) = make(world, "a")
    service = domain.service(AssociationService)
    monkeypatch.setattr(service, "tell", lambda row, message: None)  # the word of the end is lost
    (mine,) = world.call(domain, ListAssociations()).associations
    world.call(domain, DeleteAssociation(association_id=mine.association_id))
    assert rows(network)[0].status == "accepted"
    reply = search(world, network)
    assert reply.results == []
    eventually(lambda: rows(network)[0].status == "revoked")
    assert search(world, network).asked == 0


def test_errors_of_one_domain_stay_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    network, (_, bad) = make(world, "a", "bad")

    def fail(ctx: Context, message: SearchPublished) -> SearchResults:
        raise Unavailable("the index is being rebuilt")

    monkeypatch.setitem(bad.map._handlers, "search.published", (bad.map.operation("search.published"), fail))
    reply = search(world, network)
    assert [note.error for note in reply.notes] == ["the index is being rebuilt"]
    assert len(reply.results) == 2


def test_principals_of_domains_are_nodes_only_while_associated(world: World) -> None:
    network, (domain,) = make(world, "a")
    assert domain.principal_of_key(network.identity.verify_key) == Principal(
        "node",
        network.id,
        network.identity.verify_key,
        "net",
        claims={"node_kind": "network", "direction": "outgoing"},
    )
    association = domain.service(AssociationService).registry.by_key(network.identity.verify_key)
    assert association is not None
    world.call(domain, DeleteAssociation(association_id=association.id))
    assert domain.principal_of_key(network.identity.verify_key).kind == "key"


class Pages(Service):
    """Publishes as many datasets as it is told to, and answers as a Domain does: by the digest of the entries."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.names = [f"{node.name}{number}" for number in range(40)]
        self.lies = False
        self.told: list[str] = []

    @handles(SearchPublished)
    def published(self, ctx: Context, message: SearchPublished) -> PublishedResults:
        entries = [
            SearchEntry(kind="dataset", id="0" * 32, name=name, description="d" * 50, tags=[], created_at=0.0,
                        details={"rows": 7})
            for name in self.names if message.text in name
        ]  # fmt: skip
        digest = blake3.blake3(msgspec.msgpack.encode(entries)).digest()
        same = message.known == digest or self.lies
        self.told.append("unchanged" if same else "entries")
        return PublishedResults(entries=[] if same else entries, digest=digest, unchanged=same)


def pages(world: World, *names: str) -> tuple[Node, list[Pages]]:
    settings = NetworkSettings(auto_accept=True)
    makers = [partial(HubService, settings=settings), partial(NetworkSearchService, deadline=2.0)]
    network = world.node("network", "net", makers)
    domains = [world.domain(name, Pages) for name in names]
    for domain in domains:
        world.call(domain, RequestAssociation(address=network.address))
    return network, [domain.service(Pages) for domain in domains]


def test_what_did_not_change_is_not_told_again_and_what_did_is_seen_at_once(world: World) -> None:
    network, (a, b) = pages(world, "a", "b")
    first, second = search(world, network), search(world, network)
    assert (first.results, len(first.results)) == (second.results, 80)
    assert first.results[0].item["details"] == {"rows": 7}
    assert (a.told, b.told) == (["entries", "unchanged"], ["entries", "unchanged"])
    a.names.remove("a5")  # no longer published
    a.names.append("a-new")
    third = {hit.name for hit in search(world, network).results}
    assert third == {*a.names, *b.names}
    assert (a.told[-1], b.told[-1]) == ("entries", "unchanged")
    a.names[:] = [f"a{number}" for number in range(40)]  # back to an older state, as after a restore
    assert search(world, network).results == first.results
    assert a.told[-1] == "entries"
    a.names.clear()
    assert {hit.name for hit in search(world, network).results} == set(b.names)


def test_what_is_remembered_belongs_to_one_query_and_one_domain(world: World) -> None:
    network, (a, b) = pages(world, "a", "b")
    assert len(search(world, network).results) == 80
    for query in ({"text": "a"}, {"limit": 99}, {"kind": "dataset"}, {"text": "", "tags": ["t"]}):
        search(world, network, **query)
        assert (a.told[-1], b.told[-1]) == ("entries", "entries"), query
    assert {hit.domain_name for hit in search(world, network, text="a").results} == {"a"}


def test_a_domain_that_is_dead_is_not_answered_for_from_memory(world: World) -> None:
    network, _ = pages(world, "a", "b")
    assert len(search(world, network).results) == 80
    world.down.add("http://a:80")
    reply = search(world, network)
    assert {hit.domain_name for hit in reply.results} == {"b"}
    assert [note.domain for note in reply.notes] == ["a"]


def test_a_domain_cannot_say_unchanged_of_what_it_never_told(world: World) -> None:
    network, (a, _) = pages(world, "a", "b")
    a.lies = True
    reply = search(world, network)
    assert {hit.domain_name for hit in reply.results} == {"b"}
    assert [(note.domain, "never told" in note.error) for note in reply.notes] == [("a", True)]
