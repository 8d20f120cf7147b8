"""Peers over WebRTC beside WebSocket, a gateway's processor for their bytes, many at one; plans in a page.

    python benchmarks/peers.py [--megabytes 20] [--calls 300] [--peers 50] [--steps 30] [--plans mlp_sgd …]
                               [--only gateway | browser] [--quick] [--json]

A Network, and a Domain with one gateway, are processes of their own; the callers are this one. All share this
machine's processors, so wall times are upper bounds; what a gateway costs is its own processor time. A small
signed call over WebRTC should take at most twice what it takes over a WebSocket, and 3 ms; the two are asked in
turns. A gateway should carry 5 MB for each second of a processor (0.2 s for 1 MB), either way, and 50 peers should
have sessions at it at once, each answered.

A step of each of the fifteen plans in real Chromium should take at most as long as onnxruntime-web's in the same
page run (by turns; the median of the pairs), one of the MLP at most 3.5 times torch's on one thread. A plan should
be ready 150 ms after its bytes came, self-test included, and the page of a training never be deaf for more than
50 ms (:mod:`benchmarks._browser` says how to get onnxruntime-web).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import syft_ext as sy
from benchmarks._browser import measure as in_a_page
from benchmarks._harness import EMAIL, PASSWORD, Report, parse, quiet_login
from demo.processes import NodeProcess
from syft_ext.messages import GetMetadata
from syft_ext.messages.network import RequestAssociation
from syft_ext.messages.objects import GetObject, PutObject
from syft_ext.transport import Connection, open_transport

OWNER = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
SLACK = 3.0
"""Milliseconds that a call over WebRTC may take beyond twice a WebSocket's."""
FOR_A_MEGABYTE = 0.2
"""Seconds of a gateway's processor."""


@contextlib.contextmanager
def nodes() -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """A Network, and a Domain with a gateway that associated with it."""
    with tempfile.TemporaryDirectory(prefix="grid-bench-") as home, contextlib.ExitStack() as stack:
        network = NodeProcess(
            "network", Path(home, "net"), ["--port", "0", "--name", "net", "--auto-accept"], environment=OWNER
        )
        stack.callback(network.stop)
        flags = ["--port", "0", "--name", "bench", "--keep-line", "--peers", "--peers-per-address", "1000"]
        domain = NodeProcess("domain", Path(home, "domain"), flags, environment=OWNER)
        stack.callback(domain.stop)
        sy.login(domain.url, EMAIL, PASSWORD).call(RequestAssociation(address=network.url))
        yield network, domain


def gateway_of(domain: NodeProcess) -> psutil.Process:
    """The process of the Domain's gateway."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for child in psutil.Process(domain.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "grid.peers.gateway" in child.cmdline():
                    return child
        time.sleep(0.05)
    raise RuntimeError("the Domain started no gateway")


def processor(process: psutil.Process) -> float:
    """Seconds of a processor that it has used."""
    used = process.cpu_times()
    return used.user + used.system


def calls(report: Report, webrtc: Connection, websocket: Connection, count: int) -> None:
    """One small call, by turns."""
    times: dict[str, list[float]] = {"WebRTC": [], "WebSocket": []}
    for _ in range(count):
        for name, connection in (("WebSocket", websocket), ("WebRTC", webrtc)):
            begun = time.perf_counter()
            connection.call(GetMetadata())
            times[name].append((time.perf_counter() - begun) * 1e3)
    floor = report.add("call over WebSocket, median", statistics.median(times["WebSocket"]), "ms")
    report.add(
        "call over WebRTC, median",
        statistics.median(times["WebRTC"]),
        "ms",
        against=floor,
        target=2 * floor.value + SLACK,
    )


def transfers(
    report: Report, name: str, connection: Connection, size: int, gateway: psutil.Process | None
) -> None:
    """One large object up and down again."""
    data = os.urandom(size)
    for way in ("up", "down"):
        before, begun = processor(gateway) if gateway is not None else 0.0, time.perf_counter()
        if way == "up":
            made = connection.call(PutObject(description="bench"), (data,), timeout=600)
        else:
            _, got = connection.download(GetObject(made.id), timeout=600)
            assert bytes(got) == data
        report.add(f"{name}, {size / 1e6:.0f} MB {way}", size / 1e6 / (time.perf_counter() - begun), "MB/s")
        if gateway is not None:
            report.add(
                f"gateway's processor for 1 MB {way}",
                (processor(gateway) - before) / (size / 1e6),
                "s",
                target=FOR_A_MEGABYTE,
            )


def many(report: Report, address: str, gateway: psutil.Process, count: int) -> None:
    """So many peers at once, each with a session of its own that answers."""
    before, begun = gateway.memory_info().rss, time.perf_counter()
    peers = [Connection(open_transport(address)) for _ in range(count)]
    try:
        with ThreadPoolExecutor(8) as pool:
            answered = sum(1 for _ in pool.map(lambda peer: peer.metadata(), peers))
        opened = time.perf_counter() - begun
        with ThreadPoolExecutor(count) as pool:
            again = time.perf_counter()
            list(pool.map(lambda peer: peer.call(GetMetadata()), peers))
        report.add(f"{count} sessions, opened and answered", opened, "s")
        report.add(
            f"a call of each of {answered} peers at once, the last", (time.perf_counter() - again) * 1e3, "ms"
        )
        memory = (gateway.memory_info().rss - before) / count / 1e6
        report.add(f"gateway's memory for each of {count} peers", memory, "MB")
    finally:
        for peer in peers:
            peer.close()


def gateway_and_calls(report: Report, options: argparse.Namespace) -> None:
    """What a gateway carries, beside WebSockets."""
    with nodes() as (network, domain):
        gateway = gateway_of(domain)
        key = Connection(open_transport(domain.url)).metadata().verify_key
        address = f"{network.url.replace('http', 'webrtc+http', 1)}/{key}"
        begun = time.perf_counter()
        webrtc = sy.login(address, EMAIL, PASSWORD).connection
        report.add("session opened and logged in", (time.perf_counter() - begun) * 1e3, "ms")
        websocket = sy.login(domain.url.replace("http", "ws", 1), EMAIL, PASSWORD).connection
        calls(report, webrtc, websocket, options.calls)
        size = options.megabytes * 1_000_000
        transfers(report, "WebRTC", webrtc, size, gateway)
        transfers(report, "WebSocket", websocket, size, None)
        webrtc.close()
        many(report, address, gateway, options.peers)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--peers", type=int, default=50)
    parser.add_argument("--steps", type=int, default=30, help="of each plan in a page")
    parser.add_argument(
        "--plans", nargs="*", default=[], help="those of tests/plans/examples.py; all, if none"
    )
    parser.add_argument("--rows", type=int, default=20_000, help="of the table that a training's page reads")
    parser.add_argument("--only", choices=["gateway", "browser"], help="one half")
    options = parse(parser, megabytes=1, calls=10, peers=3, steps=5, plans=["mlp_sgd"], rows=500)
    quiet_login()
    report = Report()
    if options.only != "browser":
        gateway_and_calls(report, options)
    if options.only != "gateway":
        in_a_page(report, options.steps, options.plans, options.rows)
    for row in report.rows.values():
        target = (
            "" if row.target is None else f"   target {row.target:.3g}, {'holds' if row.holds else 'MISSED'}"
        )
        print(f"{row.name:<52} {row.value:9.3g} {row.unit}{target}")
    report.finish(options.json)


if __name__ == "__main__":
    main()
