"""Transports by scheme: those that are built in, those registered here, and those that packages bring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from syft_ext.errors import BadRequest, Conflict, InvalidConfig, Unavailable
from syft_ext.messages import GetMetadata
from syft_ext.transport import (
    Connection,
    HTTPTransport,
    LocalTransport,
    WebSocketTransport,
    known_schemes,
    open_transport,
    register_transport,
)
from syft_ext.transport.local import add_local_node, remove_local_node
from syft_ext.transport.registry import is_public, unregister_transport
from tests.transport.suite.unix import UnixTransport
from tests.web.probe import make_node

BUILT_IN = ["http", "https", "local", "ws", "wss"]


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("http://h:1", HTTPTransport),
        ("https://h:1", HTTPTransport),
        ("h:1", HTTPTransport),
        ("ws://h:1", WebSocketTransport),
        ("wss://h:1", WebSocketTransport),
        ("local://probe", LocalTransport),
    ],
)
def test_what_is_built_in(address: str, kind: type) -> None:
    transport = open_transport(address)
    assert type(transport) is kind
    assert transport.address.endswith(address)
    transport.close()


@pytest.mark.parametrize("address", ["ftp://h:1", "://h", "HTTP//://x", "pigeon+https://n/1"])
def test_a_scheme_that_nobody_knows_is_refused_by_name(address: str) -> None:
    with pytest.raises(BadRequest, match=r"known are: .*http, https, local, .*ws, wss$") as caught:
        open_transport(address)
    assert repr(address.partition("://")[0]) in caught.value.detail


def test_a_scheme_has_one_transport() -> None:
    with pytest.raises(InvalidConfig):
        register_transport("http", UnixTransport)
    before = known_schemes()
    assert set(BUILT_IN) <= set(before)
    register_transport("unix+test", UnixTransport)
    try:
        assert known_schemes() == sorted([*before, "unix+test"])
        assert isinstance(open_transport("unix+test:///nobody"), UnixTransport)
        with pytest.raises(InvalidConfig):
            register_transport("unix+test", UnixTransport)
    finally:
        unregister_transport("unix+test")
    with pytest.raises(BadRequest):
        open_transport("unix+test:///nobody")


@pytest.mark.parametrize("scheme", ["", "Unix", "1unix", "a b", "a:b", "a/b"])
def test_a_scheme_is_one_by_rfc_3986(scheme: str) -> None:
    with pytest.raises(InvalidConfig):
        register_transport(scheme, UnixTransport)


def test_only_addresses_of_the_web_lead_a_stranger_to_the_same_node() -> None:
    register_transport("unix+test", UnixTransport)
    try:
        public = {scheme: is_public(scheme) for scheme in known_schemes()}
    finally:
        unregister_transport("unix+test")
    assert {scheme for scheme, shown in public.items() if shown} == {
        *("http", "https", "ws", "wss"),
        *("relay+http", "relay+https"),
        *("grid+http", "grid+https", "grid+webrtc"),
    }


def test_local_nodes_are_found_by_name_while_they_are_there(tmp_path: Path) -> None:
    first, second = make_node(tmp_path / "first"), make_node(tmp_path / "second")
    address = add_local_node("hospital", first)
    assert add_local_node("hospital", first) == address == "local://hospital"
    with pytest.raises(Conflict):
        add_local_node("hospital", second)
    with pytest.raises(BadRequest):
        add_local_node("Hospital/1", second)
    transport = open_transport("local://Hospital/")
    assert Connection(transport).call(GetMetadata()).node_id == first.id
    remove_local_node("hospital")
    with pytest.raises(Unavailable):
        Connection(transport).call(GetMetadata())
    add_local_node("hospital", second)
    assert Connection(transport).call(GetMetadata()).node_id == second.id
    remove_local_node("hospital")
    first.stop()
    second.stop()


# -- packages -----------------------------------------------------------------------------------------


def install(folder: Path, name: str, entry: str, **modules: str) -> None:
    """What pip leaves of a package: its modules, its name, its entry points."""
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(dedent(text))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[grid.transports]\n{entry}\n")


def in_a_fresh_process(folder: Path, program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(folder)},
        check=True,
    )
    return done.stdout.splitlines()


def test_a_package_brings_a_transport(tmp_path: Path) -> None:
    install(
        tmp_path,
        "pigeons",
        "pigeon = pigeons:PigeonTransport",
        pigeons="""
            from syft_ext.errors import Unavailable
            from syft_ext.transport import Transport

            class PigeonTransport(Transport):
                def __init__(self, address, *, ca_file=None):
                    self.address = address

                def exchange(self, envelope, payload=(), *, timeout=None):
                    raise Unavailable(f"{self.address} is asleep")
            """,
    )
    lines = in_a_fresh_process(
        tmp_path,
        """
        import syft_ext as sy
        from syft_ext.transport import known_schemes
        from syft_ext.transport.address import NodeAddress
        print(*known_schemes())
        print(NodeAddress.parse("pigeon://Loft/7?wind=west").url)
        try:
            sy.connect("pigeon://Loft/7?wind=west")
        except sy.errors.Unavailable as error:
            print(error)
        """,
    )
    assert lines == [
        "grid+http grid+https grid+webrtc http https local pigeon relay+http relay+https "
        "webrtc+http webrtc+https ws wss",
        "pigeon://loft/7?wind=west",
        "pigeon://loft/7?wind=west is asleep",
    ]


def test_a_transport_says_which_extra_it_needs(tmp_path: Path) -> None:
    install(tmp_path, "pigeons", "pigeon = pigeons:Pigeon [birds]", pigeons="import ornithology_of_grid")
    lines = in_a_fresh_process(
        tmp_path,
        """
        from syft_ext.errors import Unsupported
        from syft_ext.transport import open_transport
        try:
            open_transport("pigeon://loft")
        except Unsupported as error:
            print(error)
        """,
    )
    assert lines == [
        'pigeon:// needs a package that is not installed (ornithology_of_grid): pip install "pigeons[birds]"'
    ]


def test_two_packages_with_one_scheme_are_refused(tmp_path: Path) -> None:
    install(tmp_path, "pigeons", "pigeon = pigeons:A", pigeons="")
    install(tmp_path, "doves", "pigeon = doves:B", doves="")
    lines = in_a_fresh_process(
        tmp_path,
        """
        from syft_ext.errors import InvalidConfig
        from syft_ext.transport import open_transport
        try:
            open_transport("pigeon://loft")
        except InvalidConfig as error:
            print(error.code, sorted(error.detail.rpartition(": ")[2].split(" and ")))
        print(open_transport("http://h:1").address)
        """,
    )
    assert lines == ["invalid-config ['doves:B', 'pigeons:A']", "http://h:1"]
