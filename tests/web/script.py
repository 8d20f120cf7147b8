"""Connections written down: what a client sends, when, and what it must be answered.

The format of ``corpus/*.toml`` is explained in ``corpus/README.md``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

HERE = Path(__file__).parent / "corpus"
After = Literal["usable", "closed", "hung up", "websocket", "websocket closed"]
_PIECE = re.compile(
    r"<<(?P<order>[a-z]+)(?: (?P<number>\d+))?(?:: (?P<text>.*?))?>>"
    r"|\\(?P<escape>x[0-9a-f]{2}|[rnt0\\]|\n)|(?P<line>\n)|(?P<plain>[^<\\\n]+|<)",
    re.DOTALL,
)
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\", "\n": ""}


class Pause(float):
    """Seconds in which nothing is sent."""


class End:
    """The client sends no more, but still reads."""


Step = bytes | Pause | End


@dataclass(frozen=True)
class Expected:
    """One answer: its status, the code of its problem document, and whether content follows its head."""

    status: int
    code: str
    content: bool


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One connection.

    Attributes:
        name: unique in the corpus.
        why: the rule, and where it stands.
        send: what the client sends, see :func:`steps`.
        answers: ``"200"``, ``"400 bad-request"`` or ``"404 without content"``, in order.
        after: what has become of the connection.
        contains: texts that stand in the answers.
        seconds: least and most time from the first byte to the last; a case with it counts as slow.
    """

    name: str
    why: str
    send: str
    answers: list[str]
    after: After
    contains: list[str] = []
    seconds: tuple[float, float] | None = None

    def expected(self) -> Iterator[Expected]:
        for answer in self.answers:
            status, _, rest = answer.partition(" ")
            content = rest != "without content" and status not in ("100", "101", "204", "304")
            yield Expected(int(status), "" if rest == "without content" else rest, content)


@cache
def load() -> tuple[Case, ...]:
    """The whole corpus. Raises :class:`ValueError` on what is misspelt or there twice."""
    cases: dict[str, Case] = {}
    for path in sorted(HERE.glob("*.toml")):
        for case in msgspec.convert(tomllib.loads(path.read_text())["case"], list[Case]):
            if case.name in cases or not re.search(r"RFC \d{4}, (section|appendix) [\dA-Z]", case.why):
                raise ValueError(f"{path.name}: {case.name!r} is there twice, or cites nothing")
            cases[case.name] = case
    return tuple(cases.values())


def steps(case: Case, words: Mapping[str, str]) -> list[Step]:
    """What the client does, with ``words`` in place of ``<<word>>``."""
    done: list[Step] = []
    for step in _steps(case.send, words):
        if isinstance(step, bytes) and done and isinstance(done[-1], bytes):
            done[-1] += step
        else:
            done.append(step)
    return done


def _steps(text: str, words: Mapping[str, str]) -> Iterator[Step]:
    position = 0
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is None:
            raise ValueError(f"not readable: {text[position : position + 40]!r}")
        position = piece.end()
        order, number = piece["order"], int(piece["number"] or 0)
        if order is None:
            yield _plain(piece).encode("latin-1")
        elif order == "end":
            yield End()
        elif order == "pause":
            yield Pause(number / 1000)
        elif order == "repeat":
            yield b"".join(step for step in _steps(piece["text"], words) if isinstance(step, bytes)) * number
        elif order == "drip":
            for letter in piece["text"]:
                yield Pause(number / 1000)
                yield letter.encode("latin-1")
        else:
            yield words[order].encode("latin-1")


def _plain(piece: re.Match[str]) -> str:
    if piece["line"]:
        return "\r\n"
    escape = piece["escape"]
    if escape is None:
        return piece["plain"]
    return chr(int(escape[1:], 16)) if escape.startswith("x") else _ESCAPES[escape]
