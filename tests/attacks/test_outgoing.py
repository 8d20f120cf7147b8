"""Addresses that an attacker names: of nodes that want to associate, of endpoints that check tokens.

The names of these tests resolve to loopback only, by a resolver of the tests; nothing is sent beyond it.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from apps.assembly import open_node
from grid.config import NetworkSettings
from grid.network.associations import AssociationService
from grid.network.handshake import Transcript
from grid.network.hub import HubService
from grid.node.metadata import MetadataService
from grid.outgoing.dialer import GuardedOpener
from grid.outgoing.policy import AllowedAddress, OutgoingPolicy
from grid.web.testing import ServedNode
from syft_ext.clock import SystemClock
from syft_ext.errors import Forbidden, GridError
from syft_ext.identity import Identity
from syft_ext.messages.network import ConfirmAssociation, ReceiveAssociation
from syft_ext.transport import Connection, open_transport
from tests.outgoing.listener import Listener
from tests.outgoing.test_dialer import Names

from .site import Site

LIMIT = 0.6
WEB = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
PEER = "127.0.0.2"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ServedNode]:
    """A Network that strangers reach, so that its loopback is nobody's business; a peer's place may be called."""
    names = Names(
        inner_example=["127.0.0.1"],
        peer_example=[PEER],
        metadata_example=["169.254.169.254"],
        flip_example=[PEER, "127.0.0.1"],
    )
    policy = OutgoingPolicy([AllowedAddress.parse(PEER)])
    node = open_node(
        "network",
        tmp_path / "home",
        "net",
        [
            MetadataService,
            partial(AssociationService, offline_after=20.0, outgoing=GuardedOpener(policy, resolver=names)),
            partial(HubService, settings=NetworkSettings()),
        ],
    )
    node.service(HubService).call_back_timeout = LIMIT
    with ServedNode(node) as served:
        yield served


def ask(served: ServedNode, address: str) -> tuple[str, float, dict[str, Any]]:
    """Ask to associate under ``address``: what a stranger reads, and how long it took."""
    me = Identity.generate()
    connection = Connection(open_transport(served.url), me, clock=SystemClock())
    hub = connection.metadata().verify_key
    challenge = secrets.token_bytes(32)
    begun = connection.call(
        ReceiveAssociation(kind="domain", name="x", address=address, challenge=challenge, note="")
    )
    transcript = Transcript(me.verify_key, hub, "domain", "x", address, challenge, begun.challenge)
    confirm = ConfirmAssociation(handshake_id=begun.handshake_id, proof=transcript.prove(me, "requester"))
    started = time.monotonic()
    with pytest.raises(GridError) as caught:
        connection.call(confirm, timeout=240)
    assert type(caught.value) is Forbidden
    return caught.value.detail.replace(address, "ADDRESS"), time.monotonic() - started, caught.value.extra


def test_a_call_back_leads_to_nothing_inside(network: ServedNode) -> None:
    with Listener(answer=WEB) as inner:
        for host in (
            "127.0.0.1",
            "localhost",
            "inner.example",
            "2130706433",
            "0x7f.1",
            "127.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ):
            for scheme in ("http", "ws"):
                ask(network, f"{scheme}://{host}:{inner.port}")
    assert inner.got == []


def test_what_is_behind_an_address_cannot_be_told_from_the_answer(network: ServedNode) -> None:
    """Inside, nowhere, refused, not HTTP, not a node, mute: one answer, at one time."""
    with Listener(PEER, WEB) as web, Listener(PEER) as mute, Listener(PEER, b"220 smtp\r\n") as mail:
        answers = [
            ask(network, address)
            for address in (
                f"http://{PEER}:{web.port}",
                f"http://peer.example:{web.port}",
                f"ws://{PEER}:{web.port}",
                f"http://{PEER}:{mute.port}",
                f"http://{PEER}:{mail.port}",
                f"https://{PEER}:{mail.port}",
                f"http://{PEER}:1",
                "http://127.0.0.1:1",
                "http://metadata.example:80",
                "http://nobody.example:80",
                f"http://flip.example:{web.port}",
            )
        ]
    assert {text for text, _, _ in answers} == {"ADDRESS did not prove that it is yours"}
    assert {repr(extra) for _, _, extra in answers} == {"{'reason': 'address-not-proved'}"}
    took = [seconds for _, seconds, _ in answers]
    assert min(took) >= LIMIT * 0.95
    assert statistics.median(took) < LIMIT + 0.5
    assert len(web.got) >= 3, "it was called there: it may be"


def test_mute_addresses_hold_no_place_for_ever(network: ServedNode) -> None:
    """Peers that take a call and drip: their call ends with the time that it was given."""
    hub = network.node.service(HubService)
    with Listener(PEER) as mute:
        for _ in range(3):
            ask(network, f"http://{PEER}:{mute.port}")
    deadline = time.monotonic() + 60
    while hub._call_backs._value < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert hub._call_backs._value == 8


def test_no_endpoint_is_called_that_the_owner_does_not_list(site: Site) -> None:
    """A training's host names the URL that is posted to for every Worker."""
    with Listener(answer=WEB) as inner:
        for number, endpoint in enumerate(
            (
                f"http://127.0.0.1:{inner.port}/admin/delete?all=1",
                f"http://2130706433:{inner.port}/",
                f"http://[::ffff:127.0.0.1]:{inner.port}/",
                "http://169.254.169.254/latest/meta-data/",
                "https://auth.example/check",
            )
        ):
            names = {"name": "ssrf", "version": str(number)}
            body = {
                **names,
                "client_plans": {},
                "client_protocols": {},
                "client_config": names,
                "server_config": {"num_cycles": 1, "max_diffs": 3, "authentication": {"endpoint": endpoint}},
            }
            answer = site.rest("POST", "/federated/processes", body, site.eve)
            assert (answer.status, answer.code) == (400, "invalid-config"), answer.body
            worker = {"model_name": "ssrf", "model_version": str(number), "auth_token": "x"}
            assert site.rest("POST", "/federated/workers", worker, site.ann).status == 404
    assert inner.got == []
