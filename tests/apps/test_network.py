"""A Network and Domains as processes: associate, search, carry messages, end it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

import syft_ext as sy
from syft_ext.errors import GridError, Unauthenticated, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata
from syft_ext.messages.datasets import SearchPublished
from syft_ext.messages.network import DomainView, ListDomains
from syft_ext.messages.objects import GetObject, PutObject
from syft_ext.tensors import encode_tensors
from syft_ext.transport import Connection, open_transport
from syft_ext.transport.relayed.relay import relay_address
from tests.apps.conftest import OWNER, PASSWORD, Nodes, grid
from tests.nodes import NodeProcess

pytestmark = pytest.mark.slow


def eventually(condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)


def logged_in(nodes: Nodes, *running: NodeProcess) -> None:
    for node in running:
        nodes.login(node, save=True)


def statuses(network: NodeProcess) -> dict[str, str]:
    rows = grid("network", "domains", "--url", network.url, "--format", "json").json
    return {row["name"]: row["status"] for row in rows}


def associate(domain: NodeProcess, network: NodeProcess) -> None:
    asked = grid("domain", "associate", network.url, "--url", domain.url, "--format", "json")
    assert asked.code == 0, asked.err


def test_the_whole_life_of_an_association(nodes: Nodes) -> None:
    network, domain = nodes.start("network", "net"), nodes.start("domain", "a")
    logged_in(nodes, network, domain)
    asked = grid("domain", "associate", network.url, "--url", domain.url, "--note", "hi", "--format", "json")
    assert (asked.json["status"], asked.json["kind"]) == ("pending", "network"), asked.err
    again = grid("domain", "associate", network.url, "--url", domain.url, "--note", "hi")
    step = f"grid network accept {asked.json['association_id']} --url {network.url}"
    assert step in again.err, "people read what happens next"
    (request,) = grid("network", "requests", "--url", network.url, "--format", "json").json
    assert (request["name"], request["address"], request["note"]) == ("a", domain.url, "hi")
    assert statuses(network) == {}

    denied = grid("network", "deny", "a", "--reason", "who?", "--url", network.url, "--format", "json")
    assert denied.json["status"] == "denied"
    mine = grid("domain", "associations", "--url", domain.url, "--format", "json").json
    eventually(
        lambda: (
            grid("domain", "associations", "--url", domain.url, "--format", "json").json[0]["status"]
            == "denied"
        ),
        "the word of the denial",
    )
    assert len(mine) == 1
    # The Domain is down while it is accepted; it learns of it when it is back.
    domain.kill()
    assert grid("network", "accept", "a", "--url", network.url).code == 0
    domain = nodes.restart(domain)
    logged_in(nodes, domain)
    eventually(lambda: statuses(network).get("a") in ("online", "busy"), "the heartbeat")
    network.kill()
    network = nodes.restart(network)
    logged_in(nodes, network)
    eventually(lambda: statuses(network).get("a") in ("online", "busy"), "the heartbeat after a restart")

    assert grid("network", "remove", "a", "--url", network.url).code == 0
    assert statuses(network) == {}
    eventually(
        lambda: (
            grid("domain", "associations", "--url", domain.url, "--format", "json").json[0]["status"]
            == "revoked"
        ),
        "the word of the end",
    )
    assert grid("network", "remove", "a", "--url", network.url).code == 4
    anonymous = grid("network", "requests", "--url", network.url, GRID_USER_HOME=str(nodes.root / "nobody"))
    assert anonymous.code == 3
    assert "grid login" in anonymous.err


def test_search_and_messages_through_a_network(nodes: Nodes) -> None:
    network = nodes.start("network", "net", "--auto-accept", "--offline-after", "60")
    domains = [nodes.start("domain", name) for name in ("a", "dead", "slow")]
    stranger = nodes.start("domain", "stranger")
    logged_in(nodes, network, *domains)
    for domain in domains:
        associate(domain, network)
        client = nodes.login(domain)
        assert isinstance(client, sy.DomainClient)
        client.datasets.create(f"biopsies-{domain.home.name}", {"x": [1.0]}, tags=["oncology"])
    first = grid("search", "biopsies", "--tag", "oncology", "--url", network.url, "--format", "json")
    assert sorted(row["domain"] for row in first.json) == ["a", "dead", "slow"], first.err

    # -- one dead, one that does not answer
    domains[1].kill()
    domains[2].process.send_signal(signal.SIGSTOP)
    user = nodes.login(network)
    assert isinstance(user, sy.NetworkClient)
    begun = time.monotonic()
    hits = user.search("biopsies")
    seconds = time.monotonic() - begun
    assert [hit.domain_name for hit in hits] == ["a"]
    assert seconds < 20.0, "the deadline is two seconds"
    begun = time.monotonic()
    found = grid("search", "biopsies", "--url", network.url, "--format", "json")
    assert [row["domain"] for row in found.json] == ["a"]
    assert "note: dead:" in found.err
    assert "note: slow:" in found.err
    again = user.call(sy_search())
    remembered = [note.error for note in again.notes]
    assert len(remembered) == 2 and all("not asked" in each or "asked again" in each for each in remembered)
    domains[2].process.send_signal(signal.SIGCONT)

    # -- messages carried to a Domain
    views: list[DomainView] = user.call(ListDomains()).domains
    view = next(each for each in views if each.name == "a")
    _carry(nodes, network, view)
    _refuse_strangers(network, stranger, view)


def sy_search() -> Any:
    from syft_ext.messages.network import SearchNetwork

    return SearchNetwork(text="biopsies")


def _carry(nodes: Nodes, network: NodeProcess, view: DomainView) -> None:
    """20 MB to the Domain and back, through the Network, which it is sealed from."""
    from syft_ext.profile.home import user_identity

    tensor = torch.arange(5_000_000, dtype=torch.float32)
    data = encode_tensors({"": tensor})
    transport = open_transport(relay_address(network.url, view.verify_key))
    connection = Connection(transport, user_identity(), node_key=view.verify_key)
    client = sy.login(view.address, OWNER, PASSWORD)  # the token is the Domain's
    assert client.session is not None
    connection.token = client.session.token
    assert connection.call(GetMetadata()).name == "a"
    kept = connection.call(PutObject(kind="tensor"), [data], timeout=240)
    assert kept.size == len(data)
    reply, content = connection.download(GetObject(object_id=kept.id), timeout=240)
    assert bytes(content) == data
    assert reply.id == kept.id
    connection.close()


def open_key(node: NodeProcess) -> str:
    connection = Connection(open_transport(node.url))
    connection.metadata()
    return connection.node_key


def _refuse_strangers(network: NodeProcess, stranger: NodeProcess, view: DomainView) -> None:
    key = open_key(stranger)
    through = Connection(open_transport(relay_address(network.url, key)), node_key=key)
    with pytest.raises(Unavailable, match="no such Domain"):
        through.call(GetMetadata())
    # What the Domain answers to its Network it answers to nobody else.
    direct = Connection(open_transport(view.address), Identity.generate())
    with pytest.raises(Unauthenticated):
        direct.call(SearchPublished())
    with pytest.raises(GridError):
        Connection(open_transport(network.url)).call(ListDomains())
