"""Damaged copies of the corpus: answers are HTTP, nothing hangs, and nothing is the node's error."""

from __future__ import annotations

import io
from collections.abc import Callable
from random import Random

import pytest

from grid.web.testing import RunningNode

from .answers import Answer, Malformed, read_answer
from .player import connect, send
from .script import End, Pause, Step, load, steps
from .wire import Wire

EACH = 60
TOKENS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b"5\r\nhello\r\n",
    b"ffffffff\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\n",
    b"Host: node\r\n",
    b"HEAD ",
    b"POST ",
    b"OPTIONS * ",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"http://node",
    b"%",
    b"\xff",
]


TOKEN = "@token@"
"""In place of the real one, which is another one each time: a seed means the same damage for ever."""


def sources() -> list[bytes]:
    """What the clients of the corpus send; the largest and the slow ones left out."""
    said = {"smuggled": "smuggled-000000000000", "name": "harmless-000000000000", "token": TOKEN}
    sent = (
        b"".join(step for step in steps(case, said) if isinstance(step, bytes))
        for case in load()
        if case.seconds is None
    )
    return [data for data in sent if 0 < len(data) < 20_000]


def _flip(random: Random, data: bytes, _: bytes) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]


def _drop(random: Random, data: bytes, _: bytes) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + data[at + random.randint(1, 8) :]


def _repeat(random: Random, data: bytes, _: bytes) -> bytes:
    at = random.randrange(len(data))
    return data[:at] + data[at : at + random.randint(1, 60)] * 2 + data[at:]


def _insert(random: Random, data: bytes, _: bytes) -> bytes:
    at = random.choice([random.randrange(len(data)), data.find(b"\n") + 1])
    return data[:at] + random.choice(TOKENS) + data[at:]


def _splice(random: Random, data: bytes, other: bytes) -> bytes:
    return data[: random.randrange(len(data))] + other[random.randrange(len(other)) :]


def _swap(random: Random, data: bytes, _: bytes) -> bytes:
    lines = data.split(b"\r\n")
    at = random.randrange(len(lines))
    return b"\r\n".join(lines[:1] + lines[at:] + lines[1:at])


DAMAGE: list[Callable[[Random, bytes, bytes], bytes]] = [
    _flip,
    _drop,
    _repeat,
    _insert,
    _insert,
    _splice,
    _swap,
]


def damaged(random: Random, originals: list[bytes]) -> bytes:
    data = random.choice(originals)
    for _ in range(random.randint(1, 4)):
        data = random.choice(DAMAGE)(random, data, random.choice(originals)) or b"\r\n"
    return data


def pieces(random: Random, data: bytes) -> list[Step]:
    """``data`` in a few segments."""
    script: list[Step] = []
    while data and len(script) < 16:
        size = random.choice([1, 2, 7, 40, len(data)])
        script += [data[:size], Pause(0.002)]
        data = data[size:]
    return [*script, data]


def exchange(url: str, script: list[Step]) -> bytes:
    """Everything that the server says until it hangs up."""
    with connect(url) as connection, connection.makefile("rb") as file:
        send(connection, [*script, End()])
        return file.read()


def parsed(said: bytes) -> list[Answer]:
    """The answers in it, which must be nothing but answers; raises :class:`Malformed`.

    Where requests are damaged one cannot tell which of the answers are to HEAD: what makes sense is tried.
    """
    if not said:
        return []
    problem: Malformed | None = None
    for content in (True, False):
        file = io.BytesIO(said)
        try:
            answer = read_answer(file, content=content)
            assert answer is not None
            if answer.status == 101:  # what follows is another protocol's
                return [answer]
            return [answer, *parsed(file.read())]
        except Malformed as error:
            problem = error
    assert problem is not None
    raise problem


@pytest.mark.parametrize("seed", range(10))
def test_damaged_requests(impatient: RunningNode, seed: int) -> None:
    token = (impatient.home / "user.token").read_bytes()  # type: ignore[attr-defined]
    originals = sources()
    random = Random(seed)
    for number in range(EACH):
        data = damaged(random, originals).replace(TOKEN.encode(), token)
        answers = parsed(exchange(impatient.url, [data]))
        for answer in answers:
            assert answer.status < 500 or answer.status in (501, 505), (number, data, str(answer))
        assert not any(answer.closes for answer in answers[:-1]), (number, data)
        # However it is cut into segments, it is the same request.
        again = parsed(exchange(impatient.url, pieces(random, data)))
        assert [str(answer) for answer in again] == [str(answer) for answer in answers], (number, data)
    with Wire(impatient.url) as wire:
        assert wire.request("GET", "/healthz")[0] == 200
    assert not any("Traceback" in line for line in impatient.lines)
