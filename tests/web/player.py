"""Plays a case of the corpus over a socket of its own, and says what it was answered."""

from __future__ import annotations

import contextlib
import socket
import time
import uuid
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .answers import Answer, read_answer
from .script import After, Case, End, Pause, Step, steps
from .wire import CLOSE, PING, PONG, frame_bytes

PATIENCE = 8.0
"""Seconds after which a server that says nothing counts as hanging."""


@dataclass
class Played:
    """What came of a case.

    Attributes:
        answers: those that the case expects to be there, as far as they came.
        after: what became of the connection; else what was wrong with it, in words.
        seconds: from the first byte to the end.
    """

    answers: list[Answer] = field(default_factory=list)
    after: After | str = ""
    seconds: float = 0.0

    def text(self) -> str:
        """All answers, as far as a test may look for something in them."""
        return "".join(
            f"{answer.status}\r\n"
            + "".join(
                f"{_titled(name)}: {value}\r\n" for name in answer.fields for value in answer.fields[name]
            )
            + answer.content.decode("latin-1")
            for answer in self.answers
        )


def _titled(name: str) -> str:
    title = "-".join(part.capitalize() for part in name.split("-"))
    return title.replace("Websocket", "WebSocket").replace("Id", "ID")


def words(token: str) -> dict[str, str]:
    """What stands for ``<<word>>``; names are new ones each time, of 21 characters."""
    tag = uuid.uuid4().hex[:12]
    return {"smuggled": f"smuggled-{tag}", "name": f"harmless-{tag}", "token": token}


def connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send(connection: socket.socket, script: list[Step]) -> None:
    """As far as the server lets us: when it has hung up already, its answer is still to be read."""
    with contextlib.suppress(ConnectionError):
        for step in script:
            if isinstance(step, Pause):
                time.sleep(step)
            elif isinstance(step, End):
                connection.shutdown(socket.SHUT_WR)
            else:
                connection.sendall(step)


def play(url: str, case: Case, words: dict[str, str]) -> Played:
    """Raises :class:`~.answers.Malformed` on answers that are not HTTP, and OSError when it waits too long."""
    played = Played()
    begun = time.monotonic()
    with connect(url) as connection, connection.makefile("rb") as file:
        send(connection, steps(case, words))
        for expected in case.expected():
            answer = read_answer(file, content=expected.content)
            if answer is None:
                played.after = "hung up before the last answer"
                return played
            played.answers.append(answer)
        if case.after == "usable":
            played.after = _use(connection, file)
        elif case.after.startswith("websocket"):
            played.after = _ping(connection, file)
        else:
            played.after = _hear_the_end(file, bool(played.answers) and played.answers[-1].closes)
        played.seconds = time.monotonic() - begun
    return played


def _use(connection: socket.socket, file: object) -> str:
    """One more request must get its own answer: nobody else's may be in front of it."""
    own = uuid.uuid4().hex
    connection.sendall(b"GET /probe/search?name=%b HTTP/1.1\r\nHost: node\r\n\r\n" % own.encode())
    answer = read_answer(file)  # type: ignore[arg-type]
    if answer is None:
        return "closed, but was to be usable"
    if answer.status == 200 and own.encode() in answer.content and not answer.closes:
        return "usable"
    return f"one answer too many: {answer}"


def _hear_the_end(file: object, announced: bool) -> str:
    rest = file.read()  # type: ignore[attr-defined]
    if rest:
        return f"more than was expected: {rest[:200]!r}"
    return "closed" if announced else "hung up"


def _ping(connection: socket.socket, file: object) -> str:
    with contextlib.suppress(ConnectionError):
        connection.sendall(frame_bytes(PING, b"there?"))
    head = file.read(2)  # type: ignore[attr-defined]
    if len(head) < 2:
        return "hung up instead of a frame"
    data = file.read(head[1])  # type: ignore[attr-defined]
    if (head[0] & 0x0F, data) == (PONG, b"there?"):
        return "websocket"
    if head[0] & 0x0F != CLOSE:
        return f"neither pong nor close: {head + data!r}"
    connection.shutdown(socket.SHUT_WR)
    return "websocket closed" if not file.read() else "more than a close frame"  # type: ignore[attr-defined]
