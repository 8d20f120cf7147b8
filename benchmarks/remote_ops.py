"""Remote operations against one round trip per operation, and remote training against local eager.

    python benchmarks/remote_ops.py [--operations 1000] [--latency 0,50] [--quick] [--json]

A Domain in a process of its own, behind a relay that delays every byte. *Pipelined* is what the SDK does: 1,000
dependent operations, then one fetch. *One by one* waits for the answer to every operation, as the original
PyGrid did, over the same line in the same run; at 50 ms it should take at least 50 times as long. The training
is listing 2 of the paper (two places, here the same Domain twice over two lines, ten rounds) against the same
ten rounds in eager torch on this machine.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import syft_ext as sy
from benchmarks._harness import EMAIL, PASSWORD, Report, domain, parse, quiet_login
from benchmarks._relay import Relay

ROUNDS = 10
FULL_SIZE = (50.0, 1000)  # milliseconds and operations that the target is meant for
TARGET = 50.0


@dataclass
class Line:
    """A client behind a relay."""

    relay: Relay
    client: sy.DomainClient

    @classmethod
    def to(cls, url: str) -> Line:
        relay = Relay(url)
        client = sy.login(relay.url, EMAIL, PASSWORD)
        assert isinstance(client, sy.DomainClient)
        return cls(relay, client)


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def chain(x: torch.Tensor, count: int, wait: Callable[[], None] | None = None) -> torch.Tensor:
    for _ in range(count):
        x = x * 1.0001
        if wait is not None:
            wait()
    return x.get()  # type: ignore[attr-defined,no-any-return]  # a pointer's


def operations(line: Line, count: int) -> tuple[float, float]:
    """Seconds for ``count`` dependent operations and their result: pipelined, and one round trip each."""
    x = torch.ones(16).send(line.client)  # type: ignore[attr-defined]
    expected = torch.ones(16)
    for _ in range(count):
        expected = expected * 1.0001
    chain(x, 20), chain(x, 20)  # connections and caches
    found: list[torch.Tensor] = []
    pipelined = min(seconds(lambda: found.append(chain(x, count))) for _ in range(3))
    assert all(torch.equal(each, expected) for each in found)
    one_by_one = seconds(lambda: chain(x, count, line.client.location.barrier))
    return pipelined, one_by_one


def make_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))


def training(lines: list[Line]) -> tuple[float, float]:
    """Seconds of listing 2: remotely and here."""
    torch.manual_seed(1)
    parts = [(torch.randn(64, 2), torch.randn(64, 1)) for _ in lines]
    datasets = [
        (x.send(line.client), y.send(line.client))  # type: ignore[attr-defined]
        for (x, y), line in zip(parts, lines, strict=True)
    ]
    model = make_model()
    optims = sy.Optims([str(index) for index in range(len(lines))], torch.optim.SGD(model.parameters(), 0.01))

    def there() -> None:
        for index, (data, target) in enumerate(datasets):
            model.send(data.location)  # type: ignore[attr-defined]
            opt = optims.get_optim(str(index))
            opt.zero_grad()
            loss = ((model(data) - target) ** 2).mean()
            loss.backward()
            opt.step()
            model.get()  # type: ignore[attr-defined]
            loss.get()

    twin = copy.deepcopy(model)
    optimizer = torch.optim.SGD(twin.parameters(), 0.01)

    def here() -> None:
        for x, y in parts:
            optimizer.zero_grad()
            loss = ((twin(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()

    there(), here()
    remote = seconds(lambda: [there() for _ in range(ROUNDS)])
    local = seconds(lambda: [here() for _ in range(ROUNDS)])
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    return remote, local


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--latency", default="0,50", help="milliseconds there and back")
    options = parse(parser, operations=50, latency="10")
    quiet_login()
    report = Report()
    with domain() as node:
        lines = [Line.to(node.url), Line.to(node.url)]
        operations(lines[0], 20)
        for latency in (float(each) for each in options.latency.split(",")):
            for line in lines:
                line.relay.delay = latency / 2000
            pipelined, one_by_one = operations(lines[0], options.operations)
            name = f"{latency:g} ms, {options.operations} operations"
            ours = report.add(f"{name}, pipelined", pipelined, "s")
            peer = report.add(f"{name}, one by one", one_by_one, "s", against=ours)
            full = (latency, options.operations) == FULL_SIZE
            gain = report.add_ratio(peer, "× faster", target=TARGET if full else None)
            print(
                f"{latency:g} ms: {options.operations} dependent operations and their result: {pipelined:.3f} s "
                f"pipelined, {one_by_one:.1f} s one by one: {gain.value:.0f} ×"
            )
            remote, local = training(lines)
            name = f"{latency:g} ms, listing 2, {ROUNDS} rounds, {len(lines)} places"
            eager = report.add(f"{name}, local eager", local * 1e3, "ms")
            report.add(f"{name}, remote", remote * 1e3, "ms", against=eager)
            step = report.add(f"{name}, a step", 1e3 * remote / ROUNDS / len(lines), "ms")
            print(
                f"{latency:g} ms: listing 2, {ROUNDS} rounds over {len(lines)} places: {remote:.2f} s "
                f"({step.value:.0f} ms a step), local eager {eager.value:.0f} ms"
            )
        for line in lines:
            line.client.location.close()
    report.finish(options.json)


if __name__ == "__main__":
    main()
