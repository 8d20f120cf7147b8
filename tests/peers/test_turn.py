"""Credentials for a real coturn: as nodes mint them, and as ``grid doctor`` tries them."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aioice import stun
from aioice.turn import create_turn_endpoint

from apps.cli.commands import doctor
from apps.cli.ice import ice_checks
from grid.config import DomainSettings, NetworkSettings
from grid.network.hub import HubService
from grid.network.monitor import NetworkMonitorService
from grid.peers.borrowed import NONE
from grid.peers.ice_servers import IceUrl
from grid.peers.probing import probe_stun, probe_turn
from grid.peers.service import TurnService
from syft_ext.errors import InvalidConfig, TooManyRequests
from syft_ext.identity import Identity, node_id_of
from syft_ext.messages.network import RequestAssociation
from syft_ext.messages.peers import GetIceServers, IceServer, IceServers
from tests.apps.conftest import grid
from tests.coturn import PRIVATE, SECRET, Coturn, needs_coturn
from tests.network.nodes import World
from tests.peers.calls import ask
from tests.peers.pool import until

_numbers = itertools.count(1)


def own_address() -> str:
    """A loopback address that no other test, and no other run on this machine, listens on."""
    number, process = next(_numbers), os.getpid()
    return f"127.{16 + process % 200}.{process // 200 % 250}.{number}"


def turn_url(address: str, suffix: str = "") -> IceUrl:
    return IceUrl.parse(f"turn:{address}{suffix}", "turn_servers")


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    server = Coturn(own_address(), tmp_path_factory.mktemp("coturn"), "--allow-loopback-peers")
    server.wait()
    yield server
    server.close()


# -- what nodes tell -----------------------------------------------------------------------------------


@needs_coturn
@pytest.mark.parametrize("kind", ["network", "domain"])
def test_what_a_node_tells_is_accepted_until_it_ends(world: World, coturn: Coturn, kind: str) -> None:
    settings = {"turn_servers": [f"turn:{coturn.address}"], "turn_secret": SECRET, "turn_lifetime": 60}
    node = world.node(
        kind,
        "north",
        [
            partial(
                TurnService, settings=(NetworkSettings if kind == "network" else DomainSettings)(**settings)
            )
        ],
    )
    caller = Identity.generate()
    world.clock.advance(_behind(world))  # coturn has the machine's time
    told = ask(world, node, GetIceServers(), caller)
    (server,) = told.servers
    assert server.username.endswith(f":{node_id_of(caller.verify_key)}")
    assert told.expires_at == pytest.approx(world.clock.now() + 60, abs=1)
    _allocate(server)
    world.clock.advance(-120.0)
    late = ask(world, node, GetIceServers(), caller)  # minted two minutes ago, for one
    with pytest.raises(stun.TransactionFailed, match="401"):
        _allocate(late.servers[0])
    for forged in (
        IceServer(urls=server.urls, username=server.username, credential="AAAA" + server.credential[4:]),
        IceServer(urls=server.urls, username="9" + server.username, credential=server.credential),
    ):
        with pytest.raises(stun.TransactionFailed, match="401"):
            _allocate(forged)


def _behind(world: World) -> float:
    return time.time() - world.clock.now()


def _allocate(server: IceServer) -> tuple[str, int]:
    url = IceUrl.parse(server.urls[0], "turn_servers")

    async def allocate() -> tuple[str, int]:
        transport, _ = await create_turn_endpoint(
            asyncio.DatagramProtocol, (url.host, url.port), server.username, server.credential
        )
        address: tuple[str, int] = transport.get_extra_info("sockname")
        await transport._close()
        return address

    return asyncio.run(allocate())


def test_credentials_are_limited_as_offers_are(world: World) -> None:
    settings = NetworkSettings(turn_servers=["turn:turn.example"], turn_secret="s", signals_per_address=5)
    network = world.node("network", "net", [partial(TurnService, settings=settings)])
    refused = 0
    for _ in range(20):
        try:
            ask(world, network, GetIceServers())
        except TooManyRequests:
            refused += 1
    assert refused >= 12
    assert ask(world, network, GetIceServers(), remote="198.51.100.1").servers


# -- a Domain that has none ----------------------------------------------------------------------------


class Pair:
    """A Domain without servers, and its Network, which has these."""

    def __init__(self, world: World, *servers: str, **domain: Any) -> None:
        self.world = world
        settings = NetworkSettings(auto_accept=True, turn_servers=list(servers), turn_secret=SECRET)
        self.network = world.node(
            "network",
            "net",
            [
                partial(HubService, settings=settings),
                NetworkMonitorService,
                partial(TurnService, settings=settings),
            ],
        )
        self.domain = world.domain("north", partial(TurnService, settings=DomainSettings(**domain)))
        assert world.call(self.domain, RequestAssociation(address="http://net:80")).status == "accepted"

    def told(self, **resolved: str) -> IceServers:
        """What the Domain tells, where names stand for these addresses."""
        service = self.domain.service(TurnService)
        service.borrowed._resolver = lambda host: [ip_address(resolved.get(host.partition(".")[0], host))]
        return ask(self.world, self.domain, GetIceServers())  # type: ignore[no-any-return]


def test_a_domain_takes_its_networks_servers_at_the_address_that_it_checked(world: World) -> None:
    pair = Pair(world, "turn:turn.example:3479?transport=tcp")
    told = pair.told(turn="198.51.99.7")
    (server,) = told.servers
    assert server.urls == ["turn:198.51.99.7:3479?transport=tcp"]
    assert server.username.endswith(f":{pair.domain.id}")
    assert told.expires_at > world.clock.now()
    assert pair.domain.service(TurnService).now() == [server]


def test_what_is_borrowed_is_kept_for_half_of_its_time(world: World) -> None:
    pair = Pair(world, "turn:turn.example")
    first = pair.told(turn="198.51.99.7")
    world.clock.advance(290.0)
    assert pair.told(turn="198.51.99.7") == first
    world.clock.advance(20.0)
    assert pair.told(turn="198.51.99.7") == first  # still good: nobody waits for what is asked for meanwhile
    until(lambda: pair.told(turn="198.51.99.7").expires_at > first.expires_at)
    later = pair.told(turn="198.51.99.7")
    world.down.add("http://net:80")
    world.clock.advance(400.0)
    until(lambda: pair.domain.service(TurnService).borrowed._asking is None)
    assert pair.told(turn="198.51.99.7") == later  # half of its time is over, and nobody tells more
    world.clock.advance(200.0)
    assert pair.told(turn="198.51.99.7").servers == []  # nobody tells any: not what has ended
    world.down.clear()
    world.clock.advance(11.0)
    assert pair.told(turn="198.51.99.7").servers


@pytest.mark.parametrize("expires", [1e18, float("inf")])
def test_a_network_is_not_believed_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch, expires: float
) -> None:
    pair = Pair(world, "turn:turn.example")
    service = pair.network.service(TurnService)
    told = service.own.credentials("x")
    monkeypatch.setattr(
        service.own, "credentials", lambda name: IceServers(servers=told.servers, expires_at=expires)
    )
    pair.told(turn="198.51.99.7")
    world.down.add("http://net:80")
    for _ in range(2):
        world.clock.advance(50_000.0)
        pair.told(turn="198.51.99.7")
        until(lambda: pair.domain.service(TurnService).borrowed._asking is None)
    assert pair.told(turn="198.51.99.7").servers == []


def test_who_asks_waits_for_no_network_that_is_slow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """All Networks are asked at once, by one thread for all callers, who may have something else meanwhile."""
    pair = Pair(world, "turn:turn.example")
    world.node(
        "network",
        "other",
        [partial(HubService, settings=NetworkSettings(auto_accept=True)), NetworkMonitorService],
    )
    world.call(pair.domain, RequestAssociation(address="http://other:80"))
    borrowed = pair.domain.service(TurnService).borrowed
    borrowed._resolver = lambda host: [ip_address("198.51.99.7")]
    asked, go_on, real = list[str](), threading.Event(), borrowed._ask_one

    def slow(row: Any) -> Any:
        asked.append(row.name)
        assert go_on.wait(60)
        return real(row)

    monkeypatch.setattr(borrowed, "_ask_one", slow)
    monkeypatch.setattr("grid.peers.borrowed.WAITING", 0.05)
    assert [borrowed.now() for _ in range(3)] == [NONE] * 3  # each for a moment, and none behind a lock
    until(lambda: len(asked) == 2)
    assert sorted(asked) == ["net", "other"]
    go_on.set()
    until(lambda: borrowed.now().servers)
    assert len(asked) == 2


@pytest.mark.parametrize("inside", ["169.254.169.254", "10.0.0.1", "192.168.1.1", "224.0.0.1"])
def test_a_network_does_not_make_a_domain_call_what_its_owner_does_not_let_it(
    world: World, inside: str
) -> None:
    pair = Pair(world, "turn:turn.example")
    assert pair.told(turn=inside).servers == []
    assert pair.domain.service(TurnService).now() == []


def test_a_private_server_that_the_owner_lists_is_taken(world: World) -> None:
    pair = Pair(world, "turn:10.0.0.1", "turn:10.0.0.2", allow_addresses=["10.0.0.2"])
    assert [server.urls for server in pair.told().servers] == [["turn:10.0.0.2:3478"]]


def test_a_server_with_tls_is_known_by_its_name(world: World) -> None:
    """Its certificate names it, and who resolves it later may find something else: the owner's list has to."""
    assert Pair(world, "turns:turn.example").told(turn="198.51.99.7").servers == []


def test_a_listed_server_with_tls_keeps_its_name(world: World) -> None:
    pair = Pair(world, "turns:turn.example", allow_addresses=["turn.example"])
    assert pair.told(turn="198.51.99.7").servers[0].urls == ["turns:turn.example:5349?transport=tcp"]


def test_a_domain_with_servers_asks_nobody(world: World) -> None:
    pair = Pair(world, "turn:turn.example", stun_servers=["stun:own.example"])
    assert pair.told() == IceServers(servers=[IceServer(urls=["stun:own.example:3478"])])


# -- grid doctor ---------------------------------------------------------------------------------------


@needs_coturn
def test_doctor_asks_the_servers_of_the_settings(coturn: Coturn, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    environment = {
        "GRID_STUN_SERVERS": f"stun:{coturn.address}",
        "GRID_TURN_SERVERS": f"turn:{coturn.address},turn:{coturn.address}?transport=tcp",
        "GRID_TURN_SECRET_FILE": str(secret),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(doctor, "_sandbox", lambda settings: ("ok", ""))  # it takes seconds, and is well
        done = grid("doctor", "--kind", "network", "--home", str(tmp_path / "home"), "--format", "json")
    rows = [row for row in done.json if row["check"] in ("stun", "turn")]
    assert [row["result"] for row in rows] == ["ok", "ok", "ok"], rows
    assert "sees this machine at 127." in rows[0]["detail"]
    assert f"relays at {coturn.address}" in rows[1]["detail"]
    assert "transport=tcp" in rows[2]["detail"]
    assert SECRET not in done.out


def test_doctor_says_where_servers_come_from_that_are_not_set() -> None:
    ((name, check),) = ice_checks(DomainSettings())
    assert name == "ice servers" and check()[0] == "ok"
    with pytest.raises(InvalidConfig, match="turn_secret"):
        ice_checks(DomainSettings(turn_servers=["turn:turn.example"]))


@needs_coturn
def test_a_secret_and_a_clock_that_are_wrong_are_told_apart(coturn: Coturn) -> None:
    url = turn_url(coturn.address)
    result, said = probe_turn(url, "another secret", 600)
    assert result == "failed" and "turn_secret is not its static-auth-secret" in said
    result, said = probe_turn(url, SECRET, 600, now=time.time() - 3600)
    assert result == "failed" and "expired" in said and "clock" in said


@needs_coturn
@pytest.mark.parametrize(
    ("options", "secret", "denied", "result", "said"),
    [
        (["--allow-loopback-peers"], SECRET, [], "warning", "denied-peer-ip"),
        ([], SECRET, PRIVATE, "failed", "two peers that both need it would not meet"),
        (["--allow-loopback-peers"], "", PRIVATE, "failed", "relays for everybody"),
        (["--allow-loopback-peers", "--user-quota=1"], SECRET, PRIVATE, "failed", "486"),
    ],
)
def test_a_server_that_is_set_up_wrongly_is_told_how(
    tmp_path: Path, options: list[str], secret: str, denied: list[str], result: str, said: str
) -> None:
    server = Coturn(own_address(), tmp_path, *options, secret=secret, denied=denied)
    try:
        server.wait()
        found = probe_turn(turn_url(server.address), SECRET, 600)
    finally:
        server.close()
    assert found[0] == result and said in found[1], found


def test_udp_that_is_swallowed_is_told_from_nobody_there() -> None:
    address = own_address()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind((address, 3478))  # takes what comes, and says nothing
        tcp.bind((address, 3478))
        for probed in (
            probe_stun(IceUrl.parse(f"stun:{address}", "stun_servers"), 1.0),
            probe_turn(turn_url(address), SECRET, 600, patience=1.0),
        ):
            assert probed[0] == "failed" and "no answer over UDP" in probed[1], probed
            assert "over TCP either" in probed[1]
        tcp.listen()
        found = probe_turn(turn_url(address), SECRET, 600, patience=1.0)
        assert "TCP gets through" in found[1]
        found = probe_turn(turn_url(address, "?transport=tcp"), SECRET, 600, patience=1.0)
        assert found[0] == "failed" and "answers nothing" in found[1]
    nobody = own_address()
    for suffix in ("", "?transport=tcp"):
        result, said = probe_turn(turn_url(nobody, suffix), SECRET, 600)
        assert result == "failed" and "refused" in said.lower(), said
    result, said = probe_stun(IceUrl.parse("stun:no-such-host.invalid", "stun_servers"))
    assert result == "failed" and "cannot be resolved" in said
