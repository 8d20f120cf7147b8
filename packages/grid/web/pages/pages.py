"""What people see in a browser: the node's own page and the description of its API, made by Flask.

The only place that knows Flask. The router hands over what Flask's rules begin with, and nothing else.
"""

from __future__ import annotations

import re
import threading

import blake3
import msgspec
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from grid.node import Node
from grid.web.api.openapi import build_openapi
from grid.web.http.problems import error_response, problem_response
from grid.web.http.response import Response as Answer
from grid.web.http.routing import Router
from grid.web.http.wsgi import wsgi_view
from grid.web.pages.compression import compress_files
from grid.web.pages.errors import ErrorPages
from grid.web.pages.join import add_join
from syft_ext._version import __version__
from syft_ext.errors import NotFound
from syft_ext.readable import readable

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


def add_pages(router: Router, node: Node) -> ErrorPages:
    """``/`` (who this node is), ``/docs`` (its API, to read and to try), ``/openapi.json`` and ``/static/``.

    Returns what shows errors to browsers.
    """
    app = _flask_app(node)
    view = wsgi_view(app.wsgi_app)
    for rule in app.url_map.iter_rules():
        prefix, variable, _ = rule.rule.partition("<")
        router.mount(prefix, view, below=bool(variable))
    return ErrorPages(node, app.jinja_env.get_template("error.html"))


def _flask_app(node: Node) -> Flask:
    app = Flask("grid.web.pages")
    app.url_map.merge_slashes = False
    app.jinja_env.finalize = _finalized
    app.register_error_handler(Exception, _error)
    compress_files(app)
    description = _Description(node)

    @app.get("/openapi.json", endpoint="openapi")
    def openapi() -> Response:
        return description.response()

    @app.get("/docs", endpoint="docs")
    def docs() -> str:
        return render_template("docs.html", node=node)

    add_join(app, node)

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

    return app


def _finalized(value: object) -> object:
    """What a page says of texts: readable, then escaped; markup is neither."""
    return readable(value) if type(value) is str else value


def _error(error: Exception) -> Answer:
    """The problem document that stands for an error, Werkzeug's own among them."""
    if not isinstance(error, HTTPException) or error.code is None:
        return error_response(error)
    if error.code == 404:
        return error_response(NotFound("no such address"))
    code = re.sub(r"[^a-z]+", "-", error.name.lower())
    answer = problem_response(error.code, code, error.description or error.name)
    answer.headers += [
        (name, value)
        for name, value in error.get_headers()
        if name.lower() not in ("content-type", "content-length")
    ]
    return answer
