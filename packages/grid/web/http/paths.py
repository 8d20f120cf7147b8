"""Targets that the routers would misread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from grid.web.http.problems import error_response
from grid.web.http.requestline import METHODS
from grid.web.http.response import Response
from syft_ext.errors import NotFound

__all__ = ["whole_paths"]

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]


def whole_paths(app: WSGI) -> WSGI:
    """A WSGI middleware: ``app`` with paths taken as they are, and an answer to ``OPTIONS *``.

    Werkzeug takes all slashes off the front of a path: ``//metrics`` would be ``/metrics``, and get past a proxy
    that keeps strangers from the one.
    """

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "*":
            return Response(b"", 204, [("Allow", ", ".join(METHODS))])(environ, start_response)
        if path.startswith("//"):
            return error_response(NotFound("no such address"))(environ, start_response)
        return app(environ, start_response)

    return application
