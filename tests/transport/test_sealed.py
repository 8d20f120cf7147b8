"""A pipe that its carrier cannot read or change: whatever the carrier does, nothing wrong comes out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.errors import BadSignature, GridError, InvalidEnvelope, Unavailable
from syft_ext.identity import Identity
from syft_ext.transport.relayed.line import greet_hub, greet_node
from syft_ext.transport.relayed.sealed import SealedPipe, answer_sealed, ask_sealed
from tests.transport.suite.channel import ChannelPipe, channel

NODE = Identity.generate()
#: What the carrier makes of a message: those that it hands on instead.
Carrier = Callable[[int, bytes], list[bytes]]


def honest(number: int, message: bytes) -> list[bytes]:
    return [message]


@contextmanager
def carried(asked: Carrier = honest, answered: Carrier = honest) -> Iterator[tuple[ChannelPipe, ChannelPipe]]:
    """The caller's and the node's end; ``asked`` and ``answered`` are what is done to each direction."""
    caller, near = channel()
    far, node = channel()

    def pump(source: ChannelPipe, sink: ChannelPipe, carrier: Carrier) -> None:
        number = 0
        while (message := source.receive()) is not None:
            for each in carrier(number, message):
                try:
                    sink.send([each])
                except Unavailable:
                    return
            number += 1
        sink.close()

    for arguments in ((near, far, asked), (far, near, answered)):
        threading.Thread(target=pump, args=arguments, daemon=True).start()
    try:
        yield caller, node
    finally:
        for pipe in (caller, near, far, node):
            pipe.close()


def opened(caller: ChannelPipe, node: ChannelPipe, *, key: str = "") -> tuple[SealedPipe, SealedPipe]:
    """Both ends, once they have greeted; raises what the caller's raises, else what the node's does."""
    answers: list[SealedPipe | GridError] = []

    def answer() -> None:
        try:
            answers.append(answer_sealed(node, NODE))
        except GridError as error:
            answers.append(error)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        asking = ask_sealed(caller, key or NODE.verify_key)
    finally:
        thread.join(60)
    (answering,) = answers
    if isinstance(answering, GridError):
        raise answering
    return asking, answering


def test_what_goes_through_arrives_and_cannot_be_read() -> None:
    seen: list[bytes] = []

    def reads(number: int, message: bytes) -> list[bytes]:
        seen.append(message)
        return [message]

    with carried(reads, reads) as ends:
        asking, answering = opened(*ends)
        for number in range(20):
            asking.send([b"the patient ", b"has %d " % number])
            assert answering.receive() == b"the patient has %d " % number
            answering.send([b"the model is %d" % number])
            assert asking.receive() == b"the model is %d" % number
        asking.send([b""])
        assert answering.receive() == b""
    assert len(seen) == 43
    assert not any(b"patient" in message or b"model" in message for message in seen)
    assert len(set(seen)) == len(seen)


def test_another_node_does_not_answer_in_its_place() -> None:
    with carried() as ends, pytest.raises((BadSignature, Unavailable)):
        opened(*ends, key=Identity.generate().verify_key)


def test_a_key_that_is_no_point_of_the_curve_is_refused() -> None:
    with carried() as ends, pytest.raises(BadSignature, match="no point"):
        ask_sealed(ends[0], "ff" * 32)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_a_carrier_changes_never_arrives(data: st.DataObject) -> None:
    """Property: of messages that are changed, left out, repeated, swapped, cut or made up, those before arrive,
    whole and in order, and nothing after."""
    messages = [b"message %d" % number for number in range(6)]
    at = data.draw(st.integers(0, 5), "which")
    what = data.draw(st.sampled_from(["flip", "drop", "repeat", "cut", "append", "make up", "swap"]), "what")
    place = data.draw(st.integers(0, 8 * 25 - 1), "bit")
    kept: list[bytes] = []

    def meddles(number: int, message: bytes) -> list[bytes]:
        if number == 0:
            return [message]  # the greeting
        if kept:
            return [message, kept.pop()]  # swapped
        if number - 1 != at:
            return [message]
        flipped = bytearray(message)
        flipped[place // 8 % len(message)] ^= 1 << place % 8
        if what == "swap":
            kept.append(message)
            return []
        made = {
            "flip": [bytes(flipped)],
            "drop": [],
            "repeat": [message, message],
            "cut": [message[:-1]],
            "append": [message + b"\0"],
            "make up": [bytes(len(message)), message],
        }
        return made[what]

    with carried(meddles) as ends:
        asking, answering = opened(*ends)
        for message in messages:
            try:
                asking.send([message])
            except Unavailable:
                break
        ends[0].close()
        arrived = []
        while (message := answering.receive()) is not None:  # type: ignore[assignment]
            arrived.append(message)
        assert arrived == messages[: len(arrived)]
        assert len(arrived) == at + (what == "repeat") or (what in ("drop", "swap") and at == 5)
        if len(arrived) < 6 and not (what in ("drop", "swap") and at == 5):
            assert isinstance(answering.failure, BadSignature)


@pytest.mark.parametrize("place", [0, 31, 32, 79, 111])
def test_a_greeting_that_is_changed_ends_it(place: int) -> None:
    def flips(number: int, message: bytes) -> list[bytes]:
        changed = bytearray(message)
        changed[place % len(message)] ^= 1
        return [bytes(changed)] if number == 0 else [message]

    with carried(flips) as ends, pytest.raises((BadSignature, InvalidEnvelope, Unavailable)):
        opened(*ends)
    with carried(answered=flips) as ends, pytest.raises((BadSignature, InvalidEnvelope, Unavailable)):
        opened(*ends)


def test_a_greeting_that_is_played_again_opens_nothing() -> None:
    """Whoever recorded a conversation and plays the caller's half again hears what they cannot read, and says
    nothing that is taken."""
    heard: list[bytes] = []

    def records(number: int, message: bytes) -> list[bytes]:
        heard.append(message)
        return [message]

    with carried(records) as ends:
        asking, answering = opened(*ends)
        asking.send([b"do it"])
        assert answering.receive() == b"do it"
    with carried() as (again, node):
        for message in heard:
            again.send([message])
        pipe = answer_sealed(node, NODE)
        assert pipe.receive() is None and isinstance(pipe.failure, BadSignature)


# -- lines -----------------------------------------------------------------------------------------


def greeted(hub: Identity, expected: str, node: Identity, asked: Carrier = honest) -> str:
    """The key that the hub found at the other end; raises what the node's end raised."""
    found: list[str] = []

    def answer(pipe: ChannelPipe) -> None:
        with suppress(GridError):
            found.append(greet_node(pipe, hub, lambda key: None, lambda key, welcome: welcome()))

    with carried(asked) as (node_end, hub_end):
        thread = threading.Thread(target=answer, args=(hub_end,))
        thread.start()
        try:
            greet_hub(node_end, node, expected)
        finally:
            node_end.close()
            thread.join(60)
    return found[0]


def test_both_ends_of_a_line_prove_their_keys() -> None:
    hub, node = Identity.generate(), Identity.generate()
    assert greeted(hub, hub.verify_key, node) == node.verify_key
    with pytest.raises(BadSignature, match="another hub"):
        greeted(Identity.generate(), hub.verify_key, node)


@pytest.mark.parametrize("byte", [1, 40, 70, 110, 160])
def test_a_changed_proof_opens_no_line(byte: int) -> None:
    hub, node = Identity.generate(), Identity.generate()

    def flips(number: int, message: bytes) -> list[bytes]:
        changed = bytearray(message)
        changed[byte % len(message)] ^= 1
        return [bytes(changed)]

    with pytest.raises((Unavailable, BadSignature)):
        greeted(hub, hub.verify_key, node, flips)
