"""The short way from WSGI to the views of operations.

Most of what Flask does for a request (contexts, signals, sessions, hooks) is for pages; it costs as much as a
small operation itself. Views that take the request as their argument need none of it. Whatever is not a plain
hit of such a view (other methods, redirects, unknown addresses, pages) goes on to Flask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException

from grid.web.problems import error_response

__all__ = ["DirectViews", "View"]

View = Callable[[Request, Mapping[str, str]], Response]


class DirectViews:
    """A WSGI middleware of ``app``, by the app's own routing table.

    It must be the innermost one: it answers in place of Flask.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._views: dict[tuple[str, str], View] = {}
        self._routes = app.url_map.bind("localhost")
        self._wsgi = app.wsgi_app
        app.wsgi_app = self  # type: ignore[method-assign]  # Flask's documented way to add a middleware

    def add(self, rule: str, endpoint: str, method: str, view: View) -> None:
        """Answer ``method`` on ``rule`` with ``view(request, values of the path)``; errors become problems."""

        def flask_view(**values: str) -> Response:
            return view(request, values)

        self._views[endpoint, method] = view
        self._app.add_url_rule(rule, endpoint=endpoint, view_func=flask_view, methods=[method])

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if not path.isascii():  # WSGI's latin-1; Flask decodes it
            return self._wsgi(environ, start_response)
        try:
            endpoint, values = self._routes.match(path, method)
        except HTTPException:
            return self._wsgi(environ, start_response)
        view = self._views.get((endpoint, method))
        if view is None:
            return self._wsgi(environ, start_response)
        try:
            response = view(self._app.request_class(environ), values)
        except Exception as error:
            response = error_response(error)
        return response(environ, start_response)
