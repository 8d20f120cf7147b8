"""A small Flask app on ``Sockets``; as a script, ``sockets_app.py PING_INTERVAL``, under gevent."""

from __future__ import annotations

if __name__ == "__main__":
    from grid.web.patching import patch

    patch()

import logging
import sys
import threading
from typing import Any

from flask import Blueprint, Flask, request

from grid.web.sockets.connection import WebSocket
from grid.web.sockets.routing import Sockets

MAX_MESSAGE = 1 << 20
ORIGIN = "https://friend.example"


def make_app(ping_interval: float) -> Flask:
    app = Flask(__name__)
    sockets = Sockets(app, origins=(ORIGIN,), max_message=MAX_MESSAGE, ping_interval=ping_interval)
    codes: list[int] = []

    @app.get("/plain")
    def plain() -> dict[str, Any]:
        return {"open": len(sockets.open), "codes": codes}

    @app.post("/close-all")
    def close_all() -> dict[str, Any]:
        sockets.close_all()
        return {}

    @sockets.route("/echo")
    def echo(ws: WebSocket) -> None:
        while (message := ws.receive()) is not None:
            ws.send(message)
        codes.append(ws.close_code)

    @sockets.route("/large", max_message=64 << 20)
    def large(ws: WebSocket) -> None:
        while (message := ws.receive()) is not None:
            ws.send(message)

    @sockets.route("/pieces/<int:count>/<int:size>")
    def pieces(ws: WebSocket, count: int, size: int) -> None:
        ws.send(bytearray([index % 256]) * size for index in range(count))
        ws.receive()

    @sockets.route("/broken")
    def broken(ws: WebSocket) -> None:
        def generate() -> Any:
            yield b"x" * 300_000
            yield b"x" * 300_000
            raise RuntimeError("no more")

        ws.send(generate())

    @sockets.route("/crowd/<int:senders>")
    def crowd(ws: WebSocket, senders: int) -> None:
        def send(index: int) -> None:
            for _ in range(5):
                ws.send(bytes([index]) * 700_000)

        threads = [threading.Thread(target=send, args=(index,)) for index in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ws.receive()

    @sockets.route("/goodbye")
    def goodbye(ws: WebSocket) -> None:
        ws.close(4001, "ü" * 200)

    @sockets.route("/crash")
    def crash(ws: WebSocket) -> None:
        raise RuntimeError("password=hunter2")

    @sockets.route("/flood")
    def flood(ws: WebSocket) -> None:
        while True:
            ws.send(b"x" * (1 << 20))

    @sockets.route("/who")
    def who(ws: WebSocket) -> None:
        ws.send(f"{request.path} {request.args.get('name')} {request.headers.get('X-Custom')}")

    blueprint = Blueprint("hello", __name__)

    @blueprint.route("/hello/<name>")
    def hello(ws: WebSocket, name: str) -> None:
        ws.send(f"hello {name}")

    sockets.register_blueprint(blueprint, url_prefix="/bp")
    return app


def main() -> None:
    import gevent

    from grid.web.http.settings import WebSettings
    from grid.web.server import Server

    logging.disable(logging.CRITICAL)
    app = make_app(float(sys.argv[1]))
    app.extensions["web_settings"] = WebSettings(head_timeout=1.0)
    server = Server(("127.0.0.1", 0), app, 4096)
    server.start()
    print(f"ready http://127.0.0.1:{server.server_port}", flush=True)
    gevent.get_hub().join()


if __name__ == "__main__":
    main()
