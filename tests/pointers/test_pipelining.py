"""Nobody waits between operations: requests are few, order holds, memory is bounded, values die."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import torch

import syft_ext as sy
from syft_ext.errors import NotLoggedIn, Unavailable
from syft_ext.messages.accounts import Logout
from syft_ext.messages.envelope import Envelope
from syft_ext.pointers import outbox
from syft_ext.transport import HTTPTransport, IncomingFrame
from syft_ext.transport.base import Pieces
from tests.pointers.site import PASSWORD, SUE, Site, seeded


class Counting(HTTPTransport):
    """The real transport, which counts; ``broken`` exchanges are carried, and their answers lost."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.calls: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        self.calls[envelope.operation] += 1
        frame = super().exchange(envelope, payload, timeout=timeout)
        if self.broken[envelope.operation] > 0:
            self.broken[envelope.operation] -= 1
            frame.payload.drain()
            raise Unavailable("the line broke")
        return frame


@pytest.fixture
def line(north: Site) -> Iterator[Counting]:
    line = Counting(north.url)
    yield line
    line.close()


@pytest.fixture
def client(north: Site, line: Counting) -> Iterator[sy.DomainClient]:
    client = sy.login(north.url, SUE, PASSWORD, transport=line)
    assert isinstance(client, sy.DomainClient)
    yield client
    client.location.close()


def chain(x: torch.Tensor, length: int) -> torch.Tensor:
    for _ in range(length):
        x = x * 1.0001
    return x


def test_a_thousand_dependent_operations_are_a_handful_of_requests(
    client: sy.DomainClient, line: Counting
) -> None:
    x = seeded(8)
    pointer = x.send(client)
    assert torch.equal(chain(pointer, 10).get(), chain(x, 10))  # warm
    line.calls.clear()
    assert torch.equal(chain(pointer, 1000).get(), chain(x, 1000))
    assert line.calls["compute.fetch"] == 1
    assert sum(line.calls.values()) <= 12, line.calls


def test_a_broken_line_loses_and_repeats_nothing(client: sy.DomainClient, line: Counting) -> None:
    x = seeded(4).send(client)
    total = torch.zeros(4).send(client)
    line.broken["compute.run"] = 2
    for _ in range(50):
        total += x
    expected = torch.zeros(4)
    for _ in range(50):
        expected += seeded(4)
    assert torch.equal(total.get(), expected)


def test_several_threads_record_into_one_session(client: sy.DomainClient) -> None:
    x = seeded(4)
    pointer = x.send(client)
    results: dict[int, torch.Tensor] = {}

    def work(number: int) -> None:
        results[number] = chain(pointer + number, 100).get()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number in range(4):
        assert torch.equal(results[number], chain(x + number, 100))


def test_who_records_faster_than_the_line_carries_waits(
    client: sy.DomainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.location.session  # noqa: B018 - opened before the clock runs
    monkeypatch.setattr(outbox, "HIGH_WATER", 1 << 20)
    box = client.location.session.outbox
    most = 0
    total = torch.zeros(1 << 16).send(client)
    for number in range(40):
        total += torch.full((1 << 16,), float(number))  # 256 kB each
        most = max(most, box.waiting_bytes)
    assert most <= (1 << 20) + (1 << 19)
    assert float(total.get()[0]) == sum(range(40))


def test_values_die_with_their_last_pointer(north: Site) -> None:
    gc.collect()
    before = north.values()
    x = seeded(4).send(north.sue)
    view, alias = x[1:], x.detach()
    assert north.values() == before + 2
    y = chain(x, 20)
    assert north.values() == before + 3
    del x, alias
    assert north.values() == before + 3, "the view still shares its memory"
    del view, y
    assert north.values() == before
    cycle = [seeded(4).send(north.sue)]
    cycle.append(cycle)  # type: ignore[arg-type]
    del cycle
    gc.collect()
    assert north.values() == before


def test_sessions_are_listed_and_closed(client: sy.DomainClient, north: Site) -> None:
    x = seeded(1000).send(client)
    client.location.barrier()
    mine = client.compute[client.location.session.id]
    assert mine.values >= 1 and mine.memory >= 4000 and mine.environment == ""
    assert client.location.session.id in repr(client.compute)
    client.location.close()
    assert mine.session_id not in [view.session_id for view in client.compute]
    del x


def test_a_session_that_nothing_refers_to_ends(north: Site) -> None:
    client = north.log_in(SUE)
    x = seeded(4).send(client)
    session_id = client.location.session.id
    x.get()
    assert session_id in [view.session_id for view in north.sue.compute]
    del client, x
    deadline = time.monotonic() + 90
    while session_id in [view.session_id for view in north.sue.compute] and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.2)
    assert session_id not in [view.session_id for view in north.sue.compute]


def test_values_outlive_the_login(client: sy.DomainClient, north: Site) -> None:
    x = seeded(4).send(client)
    x.get_copy()
    client.call(Logout())
    y = x + 1
    with pytest.raises(NotLoggedIn, match=r"sy.login"):
        y.get_copy()
    north.log_in(SUE)
    assert torch.equal(y.get(), seeded(4) + 1)
