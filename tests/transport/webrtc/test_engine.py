"""The engine: what it needs of aiortc, two ends that meet, and descriptions that are none."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from syft_ext.errors import BadRequest
from syft_ext.messages.peers import IceServer
from syft_ext.transport.webrtc.aiortc_engine import AiortcEnd
from syft_ext.transport.webrtc.engine import load_engine
from syft_ext.transport.webrtc.loop import call
from syft_ext.transport.webrtc.terms import GATHERING, MAX_CANDIDATES, Channel
from tests.transport.webrtc.raw import Deaf, RawPeer


async def _end(*urls: str) -> AiortcEnd:
    return AiortcEnd(Deaf(), [IceServer(urls=list(urls))])


def _pair() -> tuple[RawPeer, AiortcEnd, list[tuple[Channel, bytes]]]:
    came: list[tuple[Channel, bytes]] = []

    class Echo(Deaf):
        def received(self, channel: Channel, message: bytes) -> None:
            came.append((channel, message))
            other.send(channel, message[::-1])

    async def make() -> AiortcEnd:
        return AiortcEnd(Echo(), [])

    other = call(make(), 30)
    return RawPeer(lambda offer: call(other.answer(offer), 30)), other, came


def test_two_ends_meet_and_each_channel_keeps_its_order() -> None:
    peer, other, came = _pair()
    sent = {channel: [bytes([channel, n % 251]) * 8000 for n in range(40)] for channel in Channel}
    for channel, messages in sent.items():
        peer.send(*messages, channel=channel)
    peer.until(lambda: len(peer.came) == 80)
    for channel in Channel:
        assert [message for each, message in came if each is channel] == sent[channel]
        assert peer.messages(channel) == [message[::-1] for message in sent[channel]]
    place = peer.place
    assert place is not None
    assert not place.relayed
    assert place.kind in ("host", "prflx")
    assert peer.end.misuse() == ""
    peer.on_loop(lambda: None)
    call(other.close(), 30)
    peer.until(lambda: peer.why)
    peer.close()


class _Ended(Deaf):
    def __init__(self) -> None:
        self.why = ""
        self.is_over = threading.Event()

    def ended(self, reason: str) -> None:
        self.why = reason
        self.is_over.set()


def _weak(dtls: Any, *, ciphers: bytes = b"", profiles: bool = True) -> None:
    """Let an end agree on less than aiortc does."""
    certificate = dtls._RTCDtlsTransport__local_certificate
    make = certificate._create_ssl_context

    def made(srtp_profiles: list[Any]) -> Any:
        context = make(srtp_profiles=srtp_profiles)
        if ciphers:
            context.set_cipher_list(ciphers)
        if not profiles:
            context.set_tlsext_use_srtp(b"SRTP_AES128_CM_SHA1_32")
        return context

    certificate._create_ssl_context = made


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("key", "holds another key"), ("cipher", "handshake was broken off"), ("profile", "no profile of SRTP")],
)
def test_why_dtls_failed_is_told_apart(wrong: str, said: str) -> None:
    """A handshake that fails for another reason is no sign of an attack."""
    events = _Ended()

    async def make(events: Deaf) -> AiortcEnd:
        return AiortcEnd(events, [])

    async def met() -> None:
        answer = await other.answer(await asking.offer())
        if wrong == "key":
            head, _, rest = answer.partition("a=fingerprint:sha-256 ")
            answer = f"{head}a=fingerprint:sha-256 {'00' if rest[:2] != '00' else 'FF'}{rest[2:]}"
        await asking.accept(answer)

    asking, other = call(make(events), 30), call(make(Deaf()), 30)
    dtls = other._connection.sctp.transport  # type: ignore[union-attr]
    if wrong == "cipher":
        _weak(dtls, ciphers=b"ECDHE-ECDSA-AES256-GCM-SHA384")
    elif wrong == "profile":
        _weak(dtls, profiles=False)
    call(met(), 30)
    assert events.is_over.wait(60), "nothing was said"
    assert said in events.why
    call(other.close(), 30)
    call(asking.close(), 30)


def test_gathering_has_an_end_where_servers_do_not_answer() -> None:
    async def gathered() -> float:
        end = await _end("stun:192.0.2.254:9", "turn:192.0.2.254:9")
        ice = end._ice()
        assert ice.get_component_candidates.keywords == {"timeout": GATHERING}
        offer = await end.offer()
        await end.close()
        return float("a=candidate:" in offer)

    assert call(gathered(), 30)


@pytest.mark.parametrize(
    "url", ["http://x", "stun:", "turn:[::1", "stun:h:123456789", "turn:h?transport=sctp", ""]
)
def test_servers_that_cannot_be_read_are_left_out(url: str) -> None:
    end = call(_end(url), 30)
    assert "a=candidate" in call(end.offer(), 30)
    call(end.close(), 30)


AUDIO = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"


@pytest.mark.parametrize(
    "sdp", ["", "nonsense", "v=0", AUDIO, "\0" * 100, "m=application 9 X webrtc-datachannel"]
)
def test_what_is_no_description_is_refused(sdp: str) -> None:
    end = call(_end(), 30)
    with pytest.raises(BadRequest):
        call(end.answer(sdp), 30)
    call(end.close(), 30)


@pytest.mark.parametrize(
    "line", ["", "candidate:", "candidate:1 1 udp", "candidate:1 1 udp x 1.2.3.4 5 typ host"]
)
def test_what_is_no_candidate_is_refused(line: str) -> None:
    end = call(_end(), 30)
    with pytest.raises(BadRequest):
        call(end.add_candidates([line], done=False), 30)
    call(end.close(), 30)


def _line(number: int) -> str:
    return f"candidate:{number} 1 udp 1 192.0.2.{number % 250} {10_000 + number} typ host"


def test_one_session_asks_no_more_addresses_than_it_may() -> None:
    """Whoever names them need not be there: an offer is no way to have others asked by the hundred."""

    async def offered(more: int) -> str:
        asking, answering = await _end(), await _end()
        try:
            lines = (await asking.offer()).splitlines()
            mine = [line for line in lines if line.startswith("a=candidate:")]
            rest = [line for line in lines if line not in mine and line != "a=end-of-candidates"]
            named = [f"a={_line(number)}" for number in range(more)]
            await answering.answer("\r\n".join([*rest, *named, ""]))
            await answering.add_candidates([_line(900)], done=False)
            return "taken"
        except BadRequest as error:
            return error.detail
        finally:
            await asking.close()
            await answering.close()

    refused = f"a session has {MAX_CANDIDATES} candidates of either end at most"
    assert call(offered(MAX_CANDIDATES - 1), 60) == "taken"
    assert call(offered(MAX_CANDIDATES), 60) == refused  # with the one that comes later
    assert call(offered(900), 60) == refused


def test_nothing_heavy_is_loaded_before_a_session_is_opened() -> None:
    code = """
import sys
import syft_ext.transport
from syft_ext.transport.registry import is_public, known_schemes
from syft_ext.transport.address import NodeAddress
assert "webrtc+https" in known_schemes()
assert not is_public("webrtc+https")
import syft_ext.transport.webrtc.transport
print(sorted({"aiortc", "av", "torch", "gevent"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_who_lacks_the_extra_is_told_its_name() -> None:
    code = """
import sys
sys.modules["aiortc"] = None
from syft_ext.errors import Unsupported
from syft_ext.transport import open_transport
try:
    open_transport("webrtc+http://127.0.0.1:1/" + "ab" * 32)
except Unsupported as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "grid-platform[webrtc]" in ran.stdout


def test_the_engine_has_a_name() -> None:
    assert load_engine() is AiortcEnd
