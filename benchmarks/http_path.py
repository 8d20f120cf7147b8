"""What the node's own HTTP path saves: one small operation by three ways, CPU time of the server process per call.

    python benchmarks/http_path.py [--calls 100] [--rounds 30] [--quick] [--json]

*Ours* is what a node runs. *Flask's routes* has the same views registered with Flask, with Flask's contexts and
hooks, behind our reading and sending. *Flask on pywsgi* leaves that to gevent as well: what one would write first.
Each is a process with a Domain of its own; the calls are ``GET /metadata`` over one connection that is kept alive,
in turns, a round of one right after a round of the other. CPU time of the least disturbed round, rather than time:
other work on the machine takes the least part in it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if __name__ == "__main__" and sys.argv[1:2] == ["--serve"]:
    from grid.web.patching import patch

    patch()

import contextlib
import gc
import http.client
import socket
import tempfile
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from benchmarks._harness import Report, parse

WAYS = ("ours", "Flask's routes", "Flask on pywsgi")


def serve(way: str, home: str) -> None:
    """Be the server of one way until the process is ended."""
    from gevent.pywsgi import WSGIServer

    from apps.domain.app import build
    from grid.config import DomainSettings
    from grid.web.app import create_app
    from grid.web.server import Server

    node = build(Path(home), DomainSettings())
    if way == "ours":
        server = Server(("127.0.0.1", 0), create_app(node), 64)
    elif way == "Flask's routes":
        server = Server(("127.0.0.1", 0), flask_app(node), 64)
    else:
        server = WSGIServer(("127.0.0.1", 0), flask_app(node), log=None)
    server.init_socket()
    # As our handler does, and connections inherit it: pywsgi sends heads by themselves, and would wait for the
    # client's acknowledgement, 40 ms, before the content.
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.start()
    gc.collect()
    gc.freeze()  # as a node does
    print(f"ready http://127.0.0.1:{server.server_port}", flush=True)
    server._stop_event.wait()


def flask_app(node: Any) -> Any:
    """The operations of ``node`` as routes of Flask, and what every answer of a node carries beside."""
    import flask

    from grid.web.api.rest import add_operations
    from grid.web.http.metrics import Instruments
    from grid.web.http.request import Request
    from grid.web.http.response_headers import ResponseHeaders
    from grid.web.http.routing import Router, View
    from grid.web.http.settings import WebSettings

    app = flask.Flask("http_path")

    class FlaskRouter(Router):
        def add(self, rule: str, method: str, view: View) -> None:
            def flask_view(**values: str) -> Any:
                return view(Request(flask.request.environ), values)

            app.add_url_rule(rule, endpoint=f"{method} {rule}", view_func=flask_view, methods=[method])

    add_operations(FlaskRouter(), node, WebSettings(), Instruments(node.metrics))
    more = ResponseHeaders((), ())

    @app.after_request
    def carry(response: Any) -> Any:
        response.headers.extend(more.of(flask.request.environ))
        return response

    return app


class Peer:
    """A server process and a connection to it."""

    def __init__(self, url: str, pid: int) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._clock = (~pid << 3) | 2  # the CPU clock of another process (clock_getcpuclockid)
        self.micros: list[float] = []

    def round(self, calls: int) -> None:
        begun = time.clock_gettime(self._clock)
        for _ in range(calls):
            self._connection.request("GET", "/metadata")
            answer = self._connection.getresponse()
            assert answer.status == 200, answer.read()
            assert b"node_id" in answer.read()
        self.micros.append((time.clock_gettime(self._clock) - begun) / calls * 1e6)


@contextlib.contextmanager
def peer(way: str) -> Iterator[Peer]:
    from grid.web.testing import RunningNode

    with tempfile.TemporaryDirectory(prefix="grid-bench-") as home:
        node = RunningNode([sys.executable, __file__, "--serve", way, home])
        try:
            yield Peer(node.url, node.process.pid)
        finally:
            node.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=100, help="a round")
    parser.add_argument("--rounds", type=int, default=30)
    options = parse(parser, calls=20, rounds=2)
    report = Report()
    with contextlib.ExitStack() as stack:
        peers = {way: stack.enter_context(peer(way)) for way in WAYS}
        for one in peers.values():
            one.round(options.calls)
            one.micros.clear()
        for _ in range(options.rounds):
            for one in peers.values():
                one.round(options.calls)
    ours = report.add(WAYS[0], min(peers[WAYS[0]].micros), "µs")
    print(f"{ours.name:18} {ours.value:7.0f} µs of CPU per call")
    for way in WAYS[1:]:
        row = report.add(way, min(peers[way].micros), "µs", against=ours)
        print(f"{row.name:18} {row.value:7.0f} µs, {row.ratio:.2f} times ours")
    report.finish(options.json)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:4])
    else:
        main()
