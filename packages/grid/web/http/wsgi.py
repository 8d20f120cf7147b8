"""Applications that speak WSGI, as a view of the router: Flask's pages come in here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from grid.web.http.request import Request
from grid.web.http.response import Headers, Response
from grid.web.http.routing import Values, View

__all__ = ["WSGI", "wsgi_view"]

WSGI = Callable[[dict[str, Any], Any], Iterable[bytes]]


def wsgi_view(app: WSGI) -> View:
    """Whatever ``app`` answers (PEP 3333). Its content is taken whole: it is for pages, not for bulk."""

    def view(request: Request, _values: Values) -> Response:
        said: list[tuple[str, Headers]] = []
        written: list[bytes] = []

        def start_response(status: str, headers: Headers, exc_info: Any = None) -> Any:
            said.append((status, headers))  # an application may think better of it until the end
            return written.append

        result = app(request.environ, start_response)
        try:
            written.extend(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        status, headers = said[-1]
        return _response(request.method, int(status[:3]), headers, b"".join(written))

    return view


def _response(method: str, status: int, headers: Headers, content: bytes) -> Response:
    if method == "HEAD" or any(name.lower() == "content-length" for name, _ in headers):
        return Response((content,), status, headers)  # the length of what HEAD leaves out only they know
    return Response(content, status, headers)
