"""Cheap ways to stop a node, which are not cheap any more: memory, deafness, tables that fill, guessing."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import syft_ext as sy
from grid.accounts.throttle import Subject
from grid.network.handshake import HandshakeBook, Transcript, new_challenge
from grid.network.registry import Registry
from grid.node.replay import ReplayGuard
from grid.web.testing import ServedNode
from syft_ext.clock import ManualClock
from syft_ext.errors import ExpiredMessage, GridError, InvalidPlan, ReplayedMessage, TooLarge, TooManyRequests
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata, operations
from syft_ext.messages.accounts import Login
from syft_ext.messages.envelope import ANY_NODE, Envelope, frame_head, seal_request
from syft_ext.messages.network import ReceiveAssociation
from syft_ext.plans.graph.document import decode, read_ops
from syft_ext.plans.graph.outline import MAX_CONSTS, MAX_CONTAINERS
from syft_ext.transport.http import MEDIA_TYPE

from .site import OWNER, PASSWORD, STRANGER, Site, Someone

MB = 1 << 20


# -- what is held of strangers --------------------------------------------------------------------------


def first_answer(node: ServedNode, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """What is said before the rest of a body came, which never does."""
    host, port = node.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=240) as raw:
        raw.sendall(f"{head}\r\nHost: {host}\r\n\r\n".encode() + body)
        data = b""
        while b"\r\n\r\n" not in data:
            piece = raw.recv(65536)
            if not piece:
                break
            data += piece
    return int(data.split()[1]), data


@pytest.mark.parametrize("size", [17_000, 1 << 20, 8 << 20, 1 << 40])
def test_a_strangers_body_is_refused_by_its_announcement(site: Site, size: int) -> None:
    head = f"POST /auth/login HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {size}"
    assert first_answer(site.domain, head)[0] == 413


@pytest.mark.parametrize(("size", "status"), [(100_000, 401), (8 * MB - 1, 401), (9 * MB, 413)])
@pytest.mark.parametrize("opening", ["stranger", "nonsense", "another node"])
def test_a_strangers_envelope_is_refused_by_its_beginning(
    site: Site, size: int, status: int, opening: str
) -> None:
    node = "0" * 32 if opening == "another node" else site.domain.node.id
    envelope = seal_request(STRANGER.identity, GetMetadata(), now=time.time(), recipient=node)
    envelope.operation = "federated.host"
    beginning = b"\xc1" * 512 if opening == "nonsense" else msgspec.msgpack.encode(envelope).ljust(512, b"\0")
    frame = b"GRD1" + struct.pack(">I", size) + beginning[:512]
    head = f"POST /messages HTTP/1.1\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {size + 8}"
    assert first_answer(site.domain, head, frame)[0] == status


def test_who_is_known_sends_as_much_as_the_operation_takes(site: Site) -> None:
    plans = {"p": b"x" * (2 * MB)}
    body = {"name": "big", "version": "1", "client_plans": plans}
    for answer in (
        site.message("federated.host", body, site.eve),
        site.rest("POST", "/federated/processes", json.loads(msgspec.json.encode(body)), site.eve),
    ):
        assert answer.code == "invalid-plan", answer.body  # it was read
    assert site.message("users.me", {"x": b"y" * (2 * MB)}, site.eve).code == "too-large"
    assert site.message("federated.host", body, STRANGER).code == "unauthenticated"


@pytest.mark.parametrize("path", ["/ws", "/messages"])
@pytest.mark.parametrize("size", [65_537, 1 * MB, 15 * MB])
def test_a_strangers_message_on_a_websocket_is_not_held(site: Site, path: str, size: int) -> None:
    text = path == "/ws"
    with connect(site.domain.url.replace("http", "ws", 1) + path, max_size=None) as ws:
        data = ('{"type":"node.metadata","data":' + "[" * (size - 33) + "}}") if text else b"[" * size
        cut_off = False
        try:
            ws.send(data)
        except ConnectionClosed:
            cut_off = True
        with pytest.raises(ConnectionClosed) as caught:
            ws.recv(timeout=240)
    if (
        caught.value.rcvd is None
    ):  # of so much the rest is not read: the sender may see a reset before the reason
        assert cut_off and size == 15 * MB
        return
    assert caught.value.rcvd.code == 1009 and "log in first" in caught.value.rcvd.reason


@pytest.mark.parametrize("fields", ["depth", "breadth", "names"])
def test_what_grows_when_it_is_decoded_is_small_on_every_way(site: Site, fields: str) -> None:
    data: dict[str, Any] = {
        "depth": lambda n: {"email": "[" * 0, "password": json.loads("[" * 900 + "]" * 900), "x": "y" * n},
        "breadth": lambda n: {"email": [[]] * (n // 3)},
        "names": lambda n: {f"field {number}": "" for number in range(n // 20)},
    }[fields](17_000)
    assert set(site.every_way("auth.login", "POST", "/auth/login", data)) <= {"too-large", "bad-request"}
    assert site.message("auth.login", data).code in ("too-large", "bad-request")


#: A key host has no accounts: Domains and workers are strangers to it, and say whole statements. These are bytes,
#: which do not grow when they are decoded, and count against the part of the memory that strangers have.
STATEMENTS = {
    f"key_host.{name}"
    for name in (
        "register_policy",
        "open_rounds",
        "check",
        "confirm",
        "attest",
        "grant",
        "recover",
        "witness",
    )
}


def test_every_operation_says_how_large_it_may_be() -> None:
    for spec in operations().values():
        assert spec.max_fields <= 2 * MB, spec.name
        if spec.permission.kind in ("anyone", "signed"):
            # A session description with its candidates is larger than anything else that strangers send.
            assert spec.max_fields == (64 << 10 if spec.name == "peers.offer" else 16 << 10), spec.name
            assert spec.max_bulk == 0 or spec.name in STATEMENTS, spec.name
    bulky = {spec.name for spec in operations().values() if spec.max_bulk}
    own = {"key_host.keep_revocation_list", "key_host.take_over"}  # of the host's owner
    assert all(operations()[name].permission.kind == "flag" for name in own)
    assert bulky == {"compute.run", "federated.host"} | own | STATEMENTS


def test_bulk_does_not_make_room_for_fields(site: Site) -> None:
    """Plans may be large; configurations beside them not, whichever way they come."""
    nested = {"a": [[]] * 300_000}
    body = {"name": "n", "version": "1", "client_plans": {"p": b"x"}, "client_config": nested}
    assert site.message("federated.host", body, site.eve).code == "too-large"
    sent = json.loads(msgspec.json.encode(body))
    assert site.rest("POST", "/federated/processes", sent, site.eve).code == "too-large"


# -- plans --------------------------------------------------------------------------------------------


def bomb(put: Callable[[dict[str, Any], str], None], inner: bytes) -> bytes:
    """A plan with ``inner`` (msgpack) in a place of it."""

    @sy.make_plan
    def plan(x=torch.ones(3)):  # type: ignore[no-untyped-def]
        return x + 1

    document = msgspec.msgpack.decode(plan.dumps())
    put(document, "MARKER_XYZ")
    raw = msgspec.msgpack.encode(document)
    assert raw.count(b"\xaaMARKER_XYZ") == 1
    return raw.replace(b"\xaaMARKER_XYZ", inner)


def many(count: int, item: bytes) -> bytes:
    return b"\xdd" + struct.pack(">I", count) + item * count


PLACES: dict[str, Callable[[dict[str, Any], str], None]] = {
    "arguments of an operation": lambda d, m: d["nodes"][0].__setitem__(1, [["l", m]]),
    "tensors": lambda d, m: d.__setitem__("consts", m),
    "a tensor's shape": lambda d, m: d.__setitem__("consts", [["f32", m, b""]]),
    "provenance": lambda d, m: d.__setitem__("provenance", m),
    "the tree of arguments": lambda d, m: d["arguments"][0].__setitem__("tree", m),
    "a default": lambda d, m: d["inputs"][0].__setitem__("default", m),
    "a name nobody knows": lambda d, m: d.__setitem__("zzz", m),
}
#: So many of each as take twice what may be held, or more, once anything is made of them.
ITEMS = {
    "lists": (1_000_000, b"\x90"),
    "mappings": (1_000_000, b"\x80"),
    "numbers": (4_000_000, b"\x01"),
    "texts": (4_000_000, b"\xa1x"),
    "tensors": (500_000, b"\x93\xa0\x90\xc4\x00"[:5]),
    "lists in lists": (500_000, b"\x91\x90"),
}
HELD = 16 * MB
#: All where a place is read in a way of its own; elsewhere, where one loop steps over everything, two kinds.
BOMBS = [
    (place, items)
    for place in PLACES
    for items in ITEMS
    if place in ("arguments of an operation", "tensors", "a tensor's shape") or items in ("lists", "texts")
]


@pytest.mark.parametrize("items", ITEMS)
def test_what_grows_would_be_noticed(items: str) -> None:
    data = many(*ITEMS[items])
    tracemalloc.start()
    try:
        msgspec.msgpack.decode(data)
        assert tracemalloc.get_traced_memory()[1] > 2 * HELD
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("place", "items"), BOMBS)
def test_a_plan_that_would_grow_is_refused_before_anything_is_made_of_it(place: str, items: str) -> None:
    data = bomb(PLACES[place], many(*ITEMS[items]))
    tracemalloc.start()
    try:
        for read in (decode, read_ops):
            with pytest.raises(InvalidPlan):
                read(data)
        assert tracemalloc.get_traced_memory()[1] < HELD
    finally:
        tracemalloc.stop()


def test_a_plan_twice_in_one_is_refused() -> None:
    """The second part of a name would hide the first."""
    data = bomb(lambda d, m: d.__setitem__("result", m), b"\x00")
    assert data[0] == 0xDE  # sixteen entries: one more
    twice = data[:1] + struct.pack(">H", 17) + data[3:] + b"\xa6consts" + many(100_000, b"\x90")
    with pytest.raises(InvalidPlan):
        decode(twice)


def test_large_tensors_are_no_bomb_whatever_is_in_them() -> None:
    @sy.make_plan
    def plan(x=torch.ones(3)):  # type: ignore[no-untyped-def]
        return x + 1

    document = msgspec.msgpack.decode(plan.dumps())
    for content in (b"\x90", b"\xdd", b"\x00"):
        document["consts"] = [["f32", [2_000_000], content * 8_000_000]]
        data = msgspec.msgpack.encode(document)
        assert read_ops(data) == document["ops"]
        assert decode(data).consts[0].raw == content * 8_000_000
    for count, good in ((MAX_CONSTS, True), (MAX_CONSTS + 1, False)):
        document["consts"] = [["f32", [], b"1234"]] * count
        data = msgspec.msgpack.encode(document)
        if good and count * 2 < MAX_CONTAINERS:
            assert len(decode(data).consts) == count
        elif len(data) > 2 * MB:
            with pytest.raises(InvalidPlan):
                decode(data)


@pytest.mark.parametrize("items", ["lists", "texts"])
def test_a_users_plan_bomb_costs_the_node_little(site: Site, items: str) -> None:
    session = site.rest("POST", "/compute/sessions", {}, site.eve).json["session_id"]
    data = bomb(PLACES["arguments of an operation"], many(*ITEMS[items]))
    answer = site.rest("POST", f"/compute/sessions/{session}/plans", data, site.eve)
    assert answer.code == "invalid-plan"
    asked = {"session_id": session}
    assert site.message("compute.plan", asked, site.eve, payload=data).code == "invalid-plan"
    body = {"session_id": session, "first": 0, "actions": many(3_000_000, b"\x90")}
    assert site.message("compute.run", body, site.eve).code == "too-large"
    assert site.rest("DELETE", f"/compute/sessions/{session}", None, site.eve).status < 300


# -- guessing -----------------------------------------------------------------------------------------


def guess(site: Site, email: str, password: str, remote: str, key: str = "") -> str:
    """A login from an address of one's choosing; its code."""
    from grid.node import ANONYMOUS, Context, Principal

    principal = Principal("key", verify_key=key) if key else ANONYMOUS
    try:
        site.domain.node.dispatch(
            Context(principal, scheme="http", remote=remote), Login(email=email, password=password)
        )
    except GridError as error:
        return error.code
    return "ok"


def test_a_guesser_waits_and_the_owner_does_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = site.add_user("bob@x.org", "User")  # known: by 127.0.0.1, and by a key
    clock = site.domain.node.clock
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)  # no wait is over because the machine is slow
    assert guess(site, "bob@x.org", PASSWORD, "192.0.2.1") == "ok"
    codes = [guess(site, "bob@x.org", "wrong", "198.51.100.7") for _ in range(15)]
    assert codes == ["unauthenticated"] * 10 + ["too-many-requests"] * 5
    for number in range(12):  # from everywhere
        for _ in range(10):
            guess(site, "bob@x.org", "wrong", f"198.51.101.{number}")
    assert (
        guess(site, "bob@x.org", PASSWORD, "203.0.113.77") == "too-many-requests"
    )  # a stranger, whoever they are
    assert guess(site, "bob@x.org", PASSWORD, "192.0.2.1") == "ok"
    assert guess(site, "bob@x.org", PASSWORD, "127.0.0.1") == "ok"
    assert guess(site, "bob@x.org", PASSWORD, "203.0.113.77", bob.identity.verify_key) == "ok"
    assert guess(site, "bob@x.org", PASSWORD, "203.0.113.78", Identity.generate().verify_key) != "ok"


def test_a_guesser_behind_the_owners_own_address_does_not_slow_down_their_device(site: Site) -> None:
    cleo = site.add_user("cleo@x.org", "User")
    codes = {guess(site, "cleo@x.org", "wrong", "127.0.0.1") for _ in range(30)}
    assert codes == {"unauthenticated", "too-many-requests"}
    assert guess(site, "cleo@x.org", PASSWORD, "127.0.0.1") == "too-many-requests"
    assert guess(site, "cleo@x.org", PASSWORD, "127.0.0.1", cleo.identity.verify_key) == "ok"


def test_who_guesses_at_all_accounts_waits(site: Site) -> None:
    codes = [guess(site, f"nobody{number}@x.org", "wrong", "198.51.102.1") for number in range(60)]
    assert codes.count("too-many-requests") == 10
    assert guess(site, "ann@x.org", PASSWORD, "198.51.102.2") == "ok"
    assert Subject.remote("127.0.0.9").name and not Subject.remote("127.0.0.1").name


# -- tables -------------------------------------------------------------------------------------------


def transcript(key: str) -> Transcript:
    return Transcript(key, "h" * 64, "worker", "w", "", new_challenge(), new_challenge())


def test_one_network_does_not_fill_the_book_of_handshakes() -> None:
    book = HandshakeBook(ManualClock(), capacity=16)
    mine = book.begin(transcript("honest"), origin="192.0.2.1")
    taken = 0
    for number in range(100):
        with contextlib.suppress(TooManyRequests):
            book.begin(transcript(f"key {number}"), origin="198.51.100.1")
            taken += 1
    assert taken == 2
    for number in range(40):  # and many networks push out their own
        for turn in range(2):
            with contextlib.suppress(TooManyRequests):
                book.begin(transcript(f"{number} {turn}"), origin=f"198.51.100.{number}")
    late = book.begin(transcript("late"), origin="192.0.2.2")
    assert book.take(late.id, "late").note == ""
    del mine


def test_keys_do_not_fill_the_list_of_requests(site: Site) -> None:
    registry = Registry(site.domain.node.db, site.domain.node.clock)
    honest = registry.receive(transcript("a" * 64), "", accept=False, max_pending=4, origin="192.0.2.1")
    for number in range(12):
        with contextlib.suppress(TooManyRequests):
            registry.receive(
                transcript(f"{number:064d}"), "", accept=False, max_pending=4, origin="198.51.100.1"
            )
    assert registry.get(honest.id).status == "pending"
    another = registry.receive(transcript("b" * 64), "", accept=False, max_pending=4, origin="192.0.2.2")
    assert registry.get(another.id).status == "pending"
    for row in registry.list():
        registry.delete(row.id)


def test_handshakes_of_strangers_are_limited_where_they_come_in(site: Site) -> None:
    codes = []
    for _ in range(40):
        who = Someone("", "", Identity.generate())
        asked = {"kind": "worker", "name": "w", "address": "", "challenge": b"c" * 32}
        codes.append(site.message("associations.receive", asked, who).code)
    assert codes.count("ok") == 32
    assert set(codes[32:]) == {"too-many-requests"}
    assert ReceiveAssociation.__doc__


def test_one_network_does_not_fill_the_nonces() -> None:
    clock = ManualClock()
    guard = ReplayGuard(clock, capacity=80)

    def message() -> Envelope:
        return seal_request(STRANGER.identity, GetMetadata(), now=clock.now(), recipient="n")

    for _ in range(10):
        guard.admit(message(), "198.51.100.1")
    with pytest.raises(TooManyRequests):
        guard.admit(message(), "198.51.100.1")
    guard.admit(message(), "192.0.2.1")


# -- envelopes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipient", ["", ANY_NODE])
@pytest.mark.parametrize("operation", ["users.me", "node.metadata"])
def test_a_message_for_nobody_in_particular_is_refused(site: Site, recipient: str, operation: str) -> None:
    """It could be carried to another node, and be done there as well."""
    for node in (site.domain, site.network):
        request = site.seal(operation, {})
        request.recipient = recipient
        request.sign(STRANGER.identity)
        asks = recipient == ANY_NODE and operation == "node.metadata"
        assert site.send(frame_head(request), node).code == ("ok" if asks else "bad-request")
    with connect(site.domain.url.replace("http", "ws", 1) + "/messages") as ws:
        request.nonce = b"n" * 16
        ws.send(frame_head(request.sign(STRANGER.identity)))
        answer = ws.recv(timeout=240)
        assert (b"bad-request" in answer) is not asks  # type: ignore[operator]


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    yield ManualClock(1_000_000.0)


@pytest.mark.parametrize("ahead", [0.001, 1.0, 29.9])
@pytest.mark.parametrize("pause", [0.0, 0.5, 20.0, 100.0])
def test_what_a_fast_clock_issued_stays_refused_after_a_restart(
    tmp_path: Path, clock: ManualClock, ahead: float, pause: float
) -> None:
    file = tmp_path / "future.nonces"
    envelope = seal_request(STRANGER.identity, GetMetadata(), now=clock.now() + ahead, recipient="n")
    ReplayGuard(clock, file).admit(envelope)
    for _ in range(3):  # however often it starts
        clock.advance(pause)
        guard = ReplayGuard(clock, file)
        with pytest.raises((ReplayedMessage, ExpiredMessage)):
            guard.admit(envelope)
        guard.admit(seal_request(STRANGER.identity, GetMetadata(), now=clock.now(), recipient="n"))
        guard.admit(seal_request(STRANGER.identity, GetMetadata(), now=clock.now() + 1, recipient="n"))


@pytest.mark.parametrize("ahead", [30.1, 119.0, 1e9, float("inf"), float("nan")])
def test_what_is_dated_further_ahead_is_refused_at_once(
    tmp_path: Path, clock: ManualClock, ahead: float
) -> None:
    envelope = seal_request(STRANGER.identity, GetMetadata(), now=clock.now() + ahead, recipient="n")
    with pytest.raises(ExpiredMessage):
        ReplayGuard(clock, tmp_path / "future.nonces").admit(envelope)


def test_a_file_of_nonces_that_was_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, clock: ManualClock
) -> None:
    file = tmp_path / "future.nonces"
    guard = ReplayGuard(clock, file)
    kept, cut = (
        seal_request(STRANGER.identity, GetMetadata(), now=clock.now() + 5, recipient="n") for _ in range(2)
    )
    guard.admit(kept)
    guard.admit(cut)
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ReplayedMessage):
        ReplayGuard(clock, file).admit(kept)
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_limits_are_those_that_the_site_has(site: Site) -> None:
    login = {"email": OWNER, "password": "x" * 20_000}
    assert set(site.every_way("auth.login", "POST", "/auth/login", login)) == {"too-large"}
    with pytest.raises(TooLarge):
        operations()["auth.login"].check_size(20_000)
