"""A data scientist at a Network: which Domains there are, what they publish, and the way to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import msgspec
import pytest
import torch

import syft_ext as sy
from apps.assembly import open_node
from grid.accounts.bootstrap import bootstrap_owner
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.config import DomainSettings, NetworkSettings
from grid.network.associations import AssociationService
from grid.network.hub import HubService
from grid.network.line_keeping import LineKeeper
from grid.network.monitor import MonitorService, NetworkMonitorService
from grid.network.relaying import LineService, RelayService
from grid.network.requester import RequesterService
from grid.network.search import NetworkSearchService
from grid.node.metadata import MetadataService
from grid.web.testing import ServedNode
from syft_ext.errors import BadRequest, NotFound, Unauthenticated
from syft_ext.messages.network import RequestAssociation
from syft_ext.transport.relayed.relay import relay_address

PASSWORD = "correct horse"
EMAIL = "ann@lab.org"


@dataclass
class Region:
    network: ServedNode
    domain: ServedNode


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """A Network and the Domain "north", associated, over sockets; the Domain publishes one dataset."""
    root = tmp_path_factory.mktemp("region")
    settings = NetworkSettings(auto_accept=True)
    associations = partial(AssociationService, offline_after=60.0)
    network = open_node(
        "network",
        root / "network",
        "registry",
        [
            MetadataService,
            *ACCOUNTS,
            associations,
            partial(HubService, settings=settings),
            NetworkMonitorService,
            LineService,
            partial(RelayService, settings=settings),
            partial(NetworkSearchService, deadline=5.0),
        ],
    )
    domain = open_node(
        "domain",
        root / "domain",
        "north",
        [
            MetadataService,
            *ACCOUNTS,
            *CATALOGUE,
            associations,
            partial(HubService, settings=DomainSettings()),
            LineKeeper,
            partial(RequesterService, interval=1.0),
            MonitorService,
        ],
    )
    patch = pytest.MonkeyPatch()
    patch.setenv("GRID_USER_HOME", str(root / "owner"))
    for node in (network, domain):
        bootstrap_owner(node, EMAIL, PASSWORD)
    with ServedNode(network) as served_network, ServedNode(domain) as served_domain:
        owner = sy.login(served_domain.url, EMAIL, PASSWORD)
        assert isinstance(owner, sy.DomainClient)
        owner.call(RequestAssociation(address=served_network.url))
        owner.datasets.create("biopsies", mock=torch.zeros(2), description="Breast", tags=["oncology"])
        yield Region(served_network, served_domain)
    patch.undo()


@pytest.fixture
def network(region: Region) -> sy.NetworkClient:
    client = sy.login(region.network.url, EMAIL, PASSWORD)
    assert isinstance(client, sy.NetworkClient)
    return client


def test_the_domains_and_how_they_are(network: sy.NetworkClient, region: Region) -> None:
    (view,) = network.domains
    assert (view.name, view.address, view.domain_id) == ("north", region.domain.url, region.domain.node.id)
    assert network.domains["north"].domain_id == network.domains[view.domain_id].domain_id
    assert "north" in network.domains._repr_html_()
    with pytest.raises(NotFound, match="there are: 'north'"):
        network.connect("south")


def test_a_hit_says_where_it_is(network: sy.NetworkClient, region: Region) -> None:
    hits = network.search("breast", tags=["oncology"], kind="dataset")
    (hit,) = hits
    assert (hit.name, hit.kind, hit.domain_name, hit.domain_address) == (
        "biopsies",
        "dataset",
        "north",
        region.domain.url,
    )
    assert (hit.description, hit.tags) == ("Breast", ["oncology"])
    assert "1 found at 1 domains" in repr(hits)
    assert "biopsies" in hits._repr_html_() and "oncology" in hit._repr_html_()
    assert network.search("nothing like it") == []
    with pytest.raises(BadRequest):
        network.search(kind="table")


@pytest.mark.parametrize("direct", [False, True])
def test_a_hit_leads_to_its_domain(network: sy.NetworkClient, region: Region, direct: bool) -> None:
    (hit,) = network.search("breast")
    domain = hit.domain(EMAIL, PASSWORD, direct=direct)
    assert domain.id == region.domain.node.id
    assert domain.datasets["biopsies"]["data"].mock.tolist() == [0, 0]
    assert torch.equal(domain.store.put(torch.ones(1000)).get(), torch.ones(1000))
    assert domain.address == region.domain.url
    through = relay_address(region.network.url, region.domain.node.identity.verify_key)
    assert domain.connection.address == (region.domain.url if direct else through)


def test_without_an_account_at_the_domain_there_is_only_what_is_public(network: sy.NetworkClient) -> None:
    domain = network.connect("north")
    domain.connection.identity = sy.Identity.generate()
    assert domain.metadata.name == "north"
    with pytest.raises(Unauthenticated):
        _ = domain.datasets[0]


def test_a_network_does_not_lead_into_the_users_own_process(network: sy.NetworkClient) -> None:
    view = msgspec.structs.replace(network.domains["north"], address="local://north")
    with pytest.raises(BadRequest, match="says nothing outside"):
        network.connect(view, direct=True)


def test_the_session_at_the_domain_is_found_for_hosting(network: sy.NetworkClient, region: Region) -> None:
    network.connect("north", EMAIL, PASSWORD)
    client = sy.ModelCentricFLClient(region.domain.url.removeprefix("http://"), secure=False)
    client.connect()
    assert client.domain.me.email == EMAIL
