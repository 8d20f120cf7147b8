"""The short way from a request to the view of an operation, and from its answer to the socket.

Most of what Flask does for a request (contexts, signals, sessions, hooks) is for pages, and most of what WSGI
asks of a server is for applications that it does not know: together they cost more than a small operation does.
Whatever is not a plain hit of such a view (other methods, unknown addresses, names beyond ASCII, pages) goes on
to Flask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask import Flask, request

from grid.web.http.problems import error_response
from grid.web.http.proxies import TrustedProxies
from grid.web.http.request import Request
from grid.web.http.response import Headers, Response
from grid.web.http.response_headers import ResponseHeaders

__all__ = ["DirectViews", "ShortWay", "View"]

View = Callable[[Request, Mapping[str, str]], Response]
_NONE: Mapping[str, str] = {}


class DirectViews:
    """Views of operations: a WSGI middleware of ``app``, which must be the innermost one.

    They are routes of Flask's too, for what comes to them the long way.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._plain: dict[tuple[str, str], View] = {}
        self._patterns: dict[tuple[str, int], list[tuple[list[str], View]]] = {}
        self._wsgi = app.wsgi_app
        app.wsgi_app = self  # type: ignore[method-assign]  # Flask's documented way to add a middleware

    def add(self, rule: str, endpoint: str, method: str, view: View) -> None:
        """Answer ``method`` on ``rule`` with ``view(request, values of the path)``; errors become problems.

        Segments of ``rule`` in angle brackets are values; where two rules fit, the one that says more wins.
        """

        def flask_view(**values: str) -> Response:
            return view(Request(request.environ), values)

        self._app.add_url_rule(rule, endpoint=endpoint, view_func=flask_view, methods=[method])
        if "<" not in rule:
            self._plain[method, rule] = view
            return
        segments = rule.split("/")
        patterns = self._patterns.setdefault((method, len(segments)), [])
        patterns.append((segments, view))
        patterns.sort(key=lambda pattern: [segment.startswith("<") for segment in pattern[0]])

    def find(self, method: str, path: str) -> tuple[View, Mapping[str, str]] | None:
        """The view of a path and the values in it, if it is a plain hit."""
        view = self._plain.get((method, path))
        if view is not None:
            return view, _NONE
        if not path.isascii():  # WSGI's latin-1; Flask decodes it
            return None
        segments = path.split("/")
        for pattern, view in self._patterns.get((method, len(segments)), ()):
            values = _values(pattern, segments)
            if values is not None:
                return view, values
        return None

    def answer(self, environ: dict[str, Any]) -> Response | None:
        """The answer to a request; None when it has to go the long way."""
        found = self.find(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if found is None:
            return None
        view, values = found
        try:
            return view(Request(environ), values)
        except Exception as error:
            return error_response(error)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = self.answer(environ)
        return self._wsgi(environ, start_response) if response is None else response(environ, start_response)


def _values(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    values = {}
    for expected, given in zip(pattern, segments, strict=True):
        if expected[:1] == "<":
            if not given:
                return None
            values[expected[1:-1]] = given
        elif expected != given:
            return None
    return values


class ShortWay:
    """What a server of ours asks before it calls the application; middlewares that matter act here as well."""

    def __init__(
        self, direct: DirectViews, response_headers: ResponseHeaders, proxies: TrustedProxies | None
    ) -> None:
        self._direct, self._response_headers, self._proxies = direct, response_headers, proxies

    def answer(self, environ: dict[str, Any]) -> tuple[Response, Headers] | None:
        """The answer to a request, and the headers that it carries beside its own; None: call the application."""
        if "HTTP_UPGRADE" in environ:
            return None
        if self._proxies is not None:
            self._proxies.locate(environ)
        response = self._direct.answer(environ)
        return None if response is None else (response, self._response_headers.headers(environ))
