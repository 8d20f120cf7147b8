"""Offers at a node: who may make them, how often, and which are answered twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest

from grid.config import DomainSettings
from grid.node import Node
from grid.peers.gateways import Found, IceServersNow
from grid.peers.service import OfferService, TurnService
from syft_ext.errors import (
    BadRequest,
    BadSignature,
    Conflict,
    NotFound,
    ReplayedMessage,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from syft_ext.identity import Identity
from syft_ext.messages.envelope import Envelope
from syft_ext.messages.peers import MAX_DESCRIPTION, OfferPeer, PeerAnswer, SendCandidates
from syft_ext.transport import Connection, LocalTransport
from syft_ext.transport.base import IncomingFrame
from tests.network.nodes import World
from tests.peers.calls import Recorded, ask, new_session


class Book:
    """Gateways that write down what they are asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.sessions: dict[tuple[str, str], str] = {}
        self.candidate_lists: list[Sequence[str]] = []
        self.hold: Callable[[], object] = lambda: None

    def offer(self, session: str, sdp: str, caller_key: str, timeout: float, *, origin: str = "") -> str:
        self.asked.append((session, sdp, caller_key))
        self.hold()
        if sdp == "nobody answers":
            raise Unavailable("no gateway answers")
        self.sessions[session, caller_key] = f"answer to {sdp}"
        return self.sessions[session, caller_key]

    def candidates(self, session: str, caller_key: str, candidates: Sequence[str], *, done: bool) -> Found:
        self.candidate_lists.append(candidates)
        return Found(["candidate:ours"], done)

    def answer(self, session: str, caller_key: str) -> str | None:
        return self.sessions.get((session, caller_key))


class Scene:
    def __init__(self, world: World, **settings: Any) -> None:
        self.world, self.book = world, Book()
        config = DomainSettings(**settings)

        def gateways(node: Node, servers: IceServersNow) -> Book:
            return self.book

        self.domain = world.domain(
            "north", partial(TurnService, settings=config), partial(OfferService, gateways=gateways)
        )

    def ask(self, message: Any, identity: Identity | None = None, remote: str = "192.0.2.1") -> Any:
        return ask(self.world, self.domain, message, identity, remote)


@pytest.fixture
def scene(world: World) -> Iterator[Scene]:
    yield Scene(world)


def test_an_offer_is_answered_to_whoever_signed_it(scene: Scene) -> None:
    caller, session = Identity.generate(), new_session()
    answer = scene.ask(OfferPeer(session=session, sdp="v=0"), caller)
    assert answer == PeerAnswer(session=session, sdp="answer to v=0")
    assert scene.book.asked == [(session, "v=0", caller.verify_key)]


def test_a_repeated_offer_gets_its_answer_while_the_session_is_open(scene: Scene) -> None:
    """A reply that was lost costs nothing, and opens no second session."""
    caller, offer = Identity.generate(), OfferPeer(session=new_session(), sdp="v=0")
    first = scene.ask(offer, caller)
    assert scene.ask(offer, caller) == first
    assert len(scene.book.asked) == 1
    with pytest.raises(Conflict, match="another offer"):
        scene.ask(msgspec.structs.replace(offer, sdp="v=1"), caller)
    scene.book.sessions.clear()  # it is over
    with pytest.raises(Conflict, match="over"):
        scene.ask(offer, caller)
    assert len(scene.book.asked) == 1


def test_sessions_of_two_keys_are_two(scene: Scene) -> None:
    """Who learns the name of another's session gets no answer that was the other's."""
    offer = OfferPeer(session=new_session(), sdp="v=0")
    scene.ask(offer, Identity.generate())
    stranger = Identity.generate()
    with pytest.raises(NotFound):
        scene.ask(SendCandidates(session=offer.session, candidates=["candidate:x"]), stranger)
    scene.ask(offer, stranger)
    assert len({key for _, _, key in scene.book.asked}) == 2


def test_a_session_whose_offer_failed_is_used(scene: Scene) -> None:
    """Whatever the gateway did with it: another one is cheap."""
    caller, offer = Identity.generate(), OfferPeer(session=new_session(), sdp="nobody answers")
    with pytest.raises(Unavailable, match="no gateway"):
        scene.ask(offer, caller)
    with pytest.raises(Conflict, match="over"):
        scene.ask(offer, caller)
    assert len(scene.book.asked) == 1


def test_an_offer_that_comes_twice_at_once_opens_one_session(scene: Scene) -> None:
    caller, offer = Identity.generate(), OfferPeer(session=new_session(), sdp="v=0")
    asked, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        asked.set()
        assert go_on.wait(60)

    scene.book.hold = hold
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(scene.ask(offer, caller))) for _ in range(2)]
    threads[0].start()
    assert asked.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 2 and answers[0] == answers[1]
    assert len(scene.book.asked) == 1


def test_candidates_go_to_an_open_session(scene: Scene) -> None:
    caller, session = Identity.generate(), new_session()
    with pytest.raises(NotFound):
        scene.ask(SendCandidates(session=session, candidates=["candidate:a"]), caller)
    scene.ask(OfferPeer(session=session, sdp="v=0"), caller)
    found = scene.ask(SendCandidates(session=session, candidates=["candidate:a"], done=True), caller)
    assert (found.candidates, found.done) == (["candidate:ours"], True)
    assert scene.book.candidate_lists == [["candidate:a"]]


# -- limits --------------------------------------------------------------------------------------------


def test_offers_of_one_key_are_limited_wherever_they_come_from(world: World) -> None:
    scene, caller = Scene(world, signals_per_key=3), Identity.generate()
    for number in range(3):
        scene.ask(OfferPeer(session=new_session(), sdp="v=0"), caller, f"192.0.2.{number}")
    with pytest.raises(TooManyRequests):
        for number in range(3):
            scene.ask(OfferPeer(session=new_session(), sdp="v=0"), caller, f"198.51.100.{number}")
    assert len(scene.book.asked) <= 4


def test_a_flood_of_one_network_reaches_no_gateway_whatever_its_keys(world: World) -> None:
    scene = Scene(world, signals_per_address=5)
    refused = 0
    for _ in range(40):
        try:
            scene.ask(OfferPeer(session=new_session(), sdp="v=0"), remote="2001:db8::1")
        except TooManyRequests as error:
            refused += 1
            assert error.extra["retry_after"] >= 1
    assert refused >= 30 and len(scene.book.asked) == 40 - refused
    with pytest.raises(TooManyRequests):  # another address of one subscriber is no other network
        for _ in range(10):
            scene.ask(OfferPeer(session=new_session(), sdp="v=0"), remote="2001:db8::2")
    scene.ask(
        OfferPeer(session=new_session(), sdp="v=0"), remote="2001:db8:0:1::1"
    )  # others are not hindered


def test_offers_that_wait_are_bounded_and_one_network_has_a_part(world: World) -> None:
    scene = Scene(world, offers_waiting=4)
    go_on = threading.Event()
    scene.book.hold = lambda: go_on.wait(60)

    def offer(remote: str) -> threading.Thread:
        before = len(scene.book.asked)
        message = OfferPeer(session=new_session(), sdp="v=0")
        thread = threading.Thread(target=scene.ask, args=(message, None, remote))
        thread.start()
        while len(scene.book.asked) == before:
            assert thread.is_alive()
        return thread

    threads = [offer("192.0.2.1")]
    with pytest.raises(TooManyRequests, match="wait"):
        scene.ask(OfferPeer(session=new_session(), sdp="v=0"), remote="192.0.2.1")
    threads += [offer(f"192.0.2.{number}") for number in (2, 3, 4)]
    with pytest.raises(TooManyRequests, match="wait"):
        scene.ask(OfferPeer(session=new_session(), sdp="v=0"), remote="192.0.2.5")
    go_on.set()
    for thread in threads:
        thread.join(60)
    scene.ask(OfferPeer(session=new_session(), sdp="v=0"), remote="192.0.2.1")


def test_what_is_too_large_or_no_offer_is_refused_before_it_is_looked_at(scene: Scene) -> None:
    session = new_session()
    with pytest.raises(TooLarge):
        scene.ask(OfferPeer(session=session, sdp="x" * MAX_DESCRIPTION))
    for wrong in (
        OfferPeer(session=session.upper() + "\n", sdp="v=0"),
        OfferPeer(session="0" * 31, sdp="v=0"),
        OfferPeer(session=session, sdp=""),
        OfferPeer(session=session, sdp="v=0", wait=30.5),
        OfferPeer(session=session, sdp="v=0", wait=0.0),
        SendCandidates(session=session, candidates=["candidate:x"] * 25),
        SendCandidates(session=session, candidates=["x" * 513]),
    ):
        with pytest.raises(BadRequest):
            scene.ask(wrong)
    assert scene.book.asked == []


def test_an_offer_needs_a_key(scene: Scene) -> None:
    """Over REST, nobody signs."""
    from grid.node import Context
    from grid.node.principal import ANONYMOUS

    with pytest.raises(Unauthenticated):
        scene.domain.map.call(Context(ANONYMOUS), OfferPeer(session=new_session(), sdp="v=0"))


# -- whoever is on the way -----------------------------------------------------------------------------


def test_a_recorded_offer_is_refused(scene: Scene) -> None:
    on_the_way = Recorded(scene.domain)
    caller = Connection(
        on_the_way, Identity.generate(), node_key=scene.domain.identity.verify_key, clock=scene.world.clock
    )
    caller.call(OfferPeer(session=new_session(), sdp="v=0"))
    (offer,) = [each for each in on_the_way.sent if each.operation == "peers.offer"]
    again = LocalTransport(scene.domain).exchange(offer)
    with pytest.raises(ReplayedMessage):
        again.envelope.reply_as(PeerAnswer)
    assert len(scene.book.asked) == 1


def test_offers_and_answers_of_other_nodes_are_refused(scene: Scene) -> None:
    """Whoever leads a caller to another node than it means gains neither that node's answer nor belief in one."""
    south = scene.world.domain(
        "south",
        partial(TurnService, settings=DomainSettings()),
        partial(OfferService, gateways=lambda node, servers: scene.book),
    )
    north_key, offer = scene.domain.identity.verify_key, OfferPeer(session=new_session(), sdp="v=0")

    def led_astray(recipient: str) -> Connection:
        return Connection(
            LocalTransport(south), node_key=north_key, recipient=recipient, clock=scene.world.clock
        )

    with pytest.raises(BadSignature, match="another node"):
        led_astray(scene.domain.id).call(offer)
    assert scene.book.asked == []  # it was not for that node
    with pytest.raises(BadSignature, match="another node"):
        led_astray(south.id).call(offer)  # which answers, and is not believed


@pytest.mark.parametrize("direction", ["offer", "answer"])
def test_a_fingerprint_that_is_swapped_on_the_way_breaks_a_signature(scene: Scene, direction: str) -> None:
    ours, theirs = "AA:" * 31 + "AA", "BB:" * 31 + "BB"

    class Swapping(LocalTransport):
        def exchange(self, envelope: Envelope, payload: Any = (), *, timeout: float | None = None) -> Any:
            if direction == "offer":
                envelope = _swapped(envelope, ours, theirs)
            frame = super().exchange(envelope, payload, timeout=timeout)
            if direction == "answer":
                return IncomingFrame(_swapped(frame.envelope, ours, theirs), frame.payload)
            return frame

    caller = Connection(
        Swapping(scene.domain), node_key=scene.domain.identity.verify_key, clock=scene.world.clock
    )
    with pytest.raises(BadSignature):
        caller.call(OfferPeer(session=new_session(), sdp=f"v=0\r\na=fingerprint:sha-256 {ours}\r\n"))
    assert len(scene.book.asked) == (direction == "answer")


def _swapped(envelope: Envelope, ours: str, theirs: str) -> Envelope:
    assert ours.encode() in bytes(envelope.body)
    return msgspec.structs.replace(
        envelope, body=bytes(envelope.body).replace(ours.encode(), theirs.encode())
    )
