"""A caller whose clock differs from the node's by hours, or is set meanwhile: its time is taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from grid.web.testing import ServedNode
from syft_ext.clock import ManualClock
from syft_ext.errors import InvalidToken
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata
from syft_ext.messages.datasets import ListDatasets
from syft_ext.transport import Connection, open_transport
from tests.sdk.live import log_in, serve


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("clocks")
        served = serve(home / "home", f"sqlite:///{home}/node.db", patch)
        yield served
        served.close()


@pytest.mark.parametrize("hours", [-30, -2, 0, 2, 30])
def test_a_clock_that_is_wrong_and_is_set_again(node: ServedNode, hours: float) -> None:
    clock = ManualClock(node.node.clock.now() + 3600 * hours)
    connection = Connection(open_transport(node.url), Identity.generate(), clock=clock)
    connection.metadata()
    for step in (0.0, 7200.0, -14400.0):
        clock.advance(step)
        assert connection.call(GetMetadata()).verify_key == connection.node_key
    connection.close()


def test_only_a_message_that_is_late_is_sent_again(node: ServedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    client = log_in(node.url)
    connection, sent = client.connection, list[str]()
    exchange = connection.transport.exchange

    def counting(envelope, *rest, **options):  # type: ignore[no-untyped-def]
        sent.append(envelope.operation)
        return exchange(envelope, *rest, **options)

    monkeypatch.setattr(connection.transport, "exchange", counting)
    connection.token = connection.token[:-4] + "AAAA"
    with pytest.raises(InvalidToken):
        connection.call(ListDatasets())
    assert sent == ["datasets.list"]
    client.close()


def test_a_name_is_looked_up_and_not_searched_in_a_list(
    node: ServedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = log_in(node.url)
    for name in ("one", "two"):
        client.datasets.create(name, {"data": [1.0, 2.0]})
    sent = []
    call = client.connection.call
    monkeypatch.setattr(
        client.connection, "call", lambda message, *a, **k: sent.append(message) or call(message, *a, **k)
    )
    assert client.datasets["two"].name == "two"
    assert [(type(message).__name__, message.name) for message in sent] == [("ListDatasets", "two")]
    assert client.datasets[sent and client.datasets["one"].id].name == "one"
    client.close()
