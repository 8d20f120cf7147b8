"""What people see in a browser: the node's own page and the description of its API."""

from __future__ import annotations

import threading

import blake3
import msgspec
from flask import Flask, Response, render_template, request

from grid.node import Node
from grid.web.api.openapi import build_openapi
from syft_ext._version import __version__

__all__ = ["add_pages"]


class _Description:
    """``/openapi.json``, made at the first request: the map is complete by then."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._document = b""
        self._etag = ""

    def response(self) -> Response:
        with self._lock:
            if not self._document:
                self._document = msgspec.json.encode(build_openapi(self._node))
                self._etag = blake3.blake3(self._document).hexdigest(length=16)
        response = Response(self._document, content_type="application/json")
        response.set_etag(self._etag)
        response.headers["Cache-Control"] = "no-cache"
        return response.make_conditional(request)  # type: ignore[return-value]  # it returns itself


def add_pages(app: Flask, node: Node) -> None:
    """``/`` (who this node is), ``/docs`` (its API, to read and to try) and ``/openapi.json``."""
    description = _Description(node)

    @app.get("/openapi.json", endpoint="openapi")
    def openapi() -> Response:
        return description.response()

    @app.get("/docs", endpoint="docs")
    def docs() -> str:
        return render_template("docs.html", node=node)

    @app.get("/", endpoint="home")
    def home() -> str:
        specs = node.map.operations()
        groups: dict[str, int] = {}
        for spec in specs:
            groups[spec.group] = groups.get(spec.group, 0) + 1
        checks = node.checks()
        return render_template(
            "home.html",
            node=node,
            version=__version__,
            groups=groups,
            checks=checks,
            ready=all(result == "ok" for result in checks.values()),
        )
