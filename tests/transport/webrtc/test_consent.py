"""Sessions go on while the other end answers, however late, and end when it does not."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from aioice import stun

from syft_ext.transport.webrtc import consent
from syft_ext.transport.webrtc.aiortc_engine import AiortcEnd
from syft_ext.transport.webrtc.loop import call, loop
from tests.peers.pool import until
from tests.transport.webrtc.raw import Deaf, RawPeer


def _pair() -> tuple[RawPeer, AiortcEnd]:
    async def make() -> AiortcEnd:
        return AiortcEnd(Deaf(), [])

    other = call(make(), 30)
    return RawPeer(lambda offer: call(other.answer(offer), 30)), other


def _end(peer: RawPeer, other: AiortcEnd) -> None:
    peer.close()
    call(other.close(), 30)


def test_answers_count_that_come_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later than the next questions: a data channel that is full has as much before them in each queue."""
    monkeypatch.setattr(consent, "INTERVAL", 0.5)
    peer, other = _pair()
    ice: Any = other._ice()
    receive = ice.request_received

    def late(*question: Any) -> None:
        loop().call_later(1.0, partial(receive, *question))

    peer.on_loop(lambda: setattr(ice, "request_received", late))
    seen = peer.end.consent.answers
    until(lambda: peer.end.consent.answers >= seen + consent.QUESTIONS)
    assert peer.why == ""
    peer.send(b"it goes on")
    _end(peer, other)


def test_who_answers_nothing_is_gone_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "INTERVAL", 0.05)
    peer, other = _pair()
    ice: Any = other._ice()
    peer.on_loop(lambda: setattr(ice, "request_received", lambda *question: None))
    peer.until(lambda: peer.why)
    assert "has not answered" in peer.why
    _end(peer, other)


def test_an_answer_that_others_could_give_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed with another password: who is not the other end keeps no session alive."""
    monkeypatch.setattr(consent, "INTERVAL", 0.05)
    peer, other = _pair()
    ice: Any = other._ice()

    def forged(question: stun.Message, address: Any, protocol: Any) -> None:
        answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, question.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = address
        answer.add_message_integrity(b"x" * 22)
        protocol.send_stun(answer, address)

    peer.on_loop(lambda: setattr(ice, "request_received", forged))
    peer.until(lambda: peer.why)
    assert "has not answered" in peer.why
    _end(peer, other)
