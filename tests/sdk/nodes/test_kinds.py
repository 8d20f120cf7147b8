"""Which client a node gets: that of its kind, wherever the caller came in."""

from __future__ import annotations

import subprocess
import sys

import pytest

import syft_ext as sy
from syft_ext.client.node_client import NodeClient
from syft_ext.nodes.kinds import client_class, client_of


@pytest.mark.parametrize("module", ["kinds", "login", "found", "datasets"])
def test_every_way_in_knows_the_clients_of_all_kinds(module: str) -> None:
    """In a process of its own: in this one other tests have loaded the clients."""
    program = (
        f"import syft_ext.nodes.{module}\n"
        "from syft_ext.nodes.kinds import client_class\n"
        "print(client_class('domain').__name__, client_class('network').__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["DomainClient", "NetworkClient"]


def test_a_kind_without_a_client_of_its_own_gets_what_any_node_offers() -> None:
    assert client_class("worker") is NodeClient
    assert client_class("made up") is NodeClient
    assert issubclass(sy.DomainClient, NodeClient) and client_class("domain") is sy.DomainClient


def test_a_kind_has_one_client() -> None:
    with pytest.raises(ValueError, match="DomainClient is the client of a domain already"):
        client_of("domain")(NodeClient)
    assert client_class("domain") is sy.DomainClient
