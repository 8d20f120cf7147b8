"""The corpus of raw requests against a node under gevent: every answer, and what becomes of the connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import urllib3

from grid.web.testing import RunningNode

from .player import Played, play, words
from .script import Case, load

HTTP = urllib3.PoolManager(retries=False)
SLOW = [case for case in load() if case.seconds is not None]


@dataclass
class Table:
    """The node that everything is played against, and the slow cases, which began all at once."""

    node: RunningNode
    token: str
    slow: dict[str, tuple[dict[str, str], Future[Played]]]

    def play(self, case: Case) -> tuple[dict[str, str], Played]:
        if case.name in self.slow:
            said, played = self.slow[case.name]
            return said, played.result()
        said = words(self.token)
        return said, play(self.node.url, case, said)

    def handled(self, name: str) -> int:
        """How often a service came to see this name."""
        return int(HTTP.request("GET", f"{self.node.url}/probe/handled/{name}").json()["size"])


@pytest.fixture(scope="module")
def table(impatient: RunningNode) -> Iterator[Table]:
    token = (impatient.home / "user.token").read_text()  # type: ignore[attr-defined]
    with ThreadPoolExecutor(len(SLOW)) as pool:
        said = {case.name: words(token) for case in SLOW}
        slow = {
            case.name: (said[case.name], pool.submit(play, impatient.url, case, said[case.name]))
            for case in SLOW
        }
        yield Table(impatient, token, slow)


@pytest.mark.parametrize("case", load(), ids=lambda case: case.name.replace(" ", "-"))
def test_every_connection_is_answered_as_the_rfcs_say(table: Table, case: Case) -> None:
    said, played = table.play(case)
    assert [(answer.status, answer.problem) for answer in played.answers] == [
        (expected.status, expected.code) for expected in case.expected()
    ]
    assert played.after == case.after
    for text in case.contains:
        assert text.replace("<<name>>", said["name"]) in played.text()
    if case.seconds is not None:
        least, most = case.seconds
        assert least < played.seconds < most
    assert table.handled(said["smuggled"]) == 0
    if "<<name>>" in case.send:
        assert table.handled(said["name"]) > 0


def test_nothing_of_it_was_an_error_of_the_node(table: Table) -> None:
    for _, played in table.slow.values():
        played.exception()
    said = "".join(table.node.lines)
    assert "Traceback" not in said, said
    assert json.loads(HTTP.request("GET", f"{table.node.url}/healthz").data) == {"status": "alive"}
