"""The one router: from a request's method and path to the view that answers it.

Every operation, WebSocket and probe is registered here, once. HEAD and OPTIONS follow from what is registered;
what belongs to the pages is handed over to them as it is (:meth:`Router.mount`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from grid.web.http.problems import error_response, problem_response
from grid.web.http.request import Request
from grid.web.http.requestline import METHODS
from grid.web.http.response import Response
from syft_ext.errors import NotFound

__all__ = ["HANDSHAKE", "Router", "Values", "View"]

HANDSHAKE = "GET websocket"
"""Stands for a method where WebSockets are registered. No request can have it: a blank is in it."""

Values = Mapping[str, Any]
View = Callable[[Request, Values], Response | None]
"""Answers a request, given the values in its path; None when it has taken the connection over."""

_VARIABLE = re.compile(r"<(?:(\w+):)?(\w+)>")
_NO_VALUES: Values = {}


def _integer(segment: str) -> int | None:
    return int(segment) if segment.isascii() and segment.isdigit() and len(segment) <= 18 else None


_KINDS: dict[str, Callable[[str], Any]] = {"int": _integer, "string": str}
"""What a variable may be: segment → value, None if it is none. Those that say more stand first."""


class _Route(NamedTuple):
    view: View
    names: tuple[str, ...]


class _Branch:
    """What may come next in a path."""

    __slots__ = ("literals", "routes", "variables")

    def __init__(self) -> None:
        self.literals: dict[str, _Branch] = {}
        self.variables: dict[str, _Branch] = {}
        self.routes: dict[str, _Route] = {}

    def variable(self, kind: str) -> _Branch:
        branch = self.variables.setdefault(kind, _Branch())
        self.variables = {known: self.variables[known] for known in _KINDS if known in self.variables}
        return branch


class Router:
    """Paths are taken as they are: no slash is added, merged or dropped, no dot resolved."""

    def __init__(self) -> None:
        self._root = _Branch()
        self._plain: dict[str, dict[str, _Route]] = {}
        self._pages: dict[str, View] = {}
        self._below: list[tuple[str, View]] = []

    def add(self, rule: str, method: str, view: View) -> None:
        """Answer ``method`` on ``rule`` with ``view(request, values of the path)``; errors become problems.

        Whole segments of ``rule`` in angle brackets are values: ``<name>`` (text), ``<int:name>``. Where two rules
        fit, the one that says more wins. Raises :class:`ValueError` on a rule that is there already, or cannot be.
        """
        branch, names = self._root, []
        for segment in rule.split("/"):
            variable = _VARIABLE.fullmatch(segment)
            if variable is None:
                if "<" in segment:
                    raise ValueError(f"{rule}: a variable is a whole segment")
                branch = branch.literals.setdefault(segment, _Branch())
                continue
            kind = variable[1] or "string"
            if kind not in _KINDS:
                raise ValueError(f"{rule}: a variable is one of {', '.join(_KINDS)}")
            branch = branch.variable(kind)
            names.append(variable[2])
        if method in branch.routes:
            raise ValueError(f"{method} {rule} is registered already")
        branch.routes[method] = _Route(view, tuple(names))
        if not names:
            self._plain[rule] = branch.routes

    def mount(self, prefix: str, view: View, *, below: bool = False) -> None:
        """Hand over to ``view`` the path ``prefix`` (``below``: all that begin with it), but for its routes."""
        if below:
            self._below.append((prefix, view))
        else:
            self._pages[prefix] = view

    def answer(self, environ: dict[str, Any]) -> Response | None:
        """The answer to a request, whatever it is; None when a view has taken the connection over."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        try:
            found = None
            if "HTTP_UPGRADE" not in environ and path.isascii():  # nearly all requests
                found = self.find(method, path)
            view, values = found or self._aim(environ, method, path)
            return view(Request(environ), values)
        except Exception as error:
            return error_response(error)

    def _aim(self, environ: dict[str, Any], method: str, path: str) -> tuple[View, Values]:
        if not path.isascii():  # WSGI's latin-1 stands for bytes
            path = path.encode("latin-1").decode("utf-8", "replace")
        found = None
        if "HTTP_UPGRADE" in environ:
            if method == "GET" and environ["HTTP_UPGRADE"].lower() == "websocket":
                found = self.find(HANDSHAKE, path)
            if found is None:  # an offer that nobody takes up; Flask would take it for an error
                del environ["HTTP_UPGRADE"]
        found = found or self.find(method, path)
        if found is None and method == "HEAD":
            found = self.find("GET", path)
        return found or (self._otherwise(method, path), _NO_VALUES)

    def find(self, method: str, path: str) -> tuple[View, Values] | None:
        """The view that is registered for a method, and the values in the path."""
        routes = self._plain.get(path)
        if routes is not None and method in routes:
            return routes[method].view, _NO_VALUES
        values: list[Any] = []
        route = _search(self._root, path.split("/"), 0, method, values)
        return None if route is None else (route.view, dict(zip(route.names, values, strict=True)))

    def _page(self, path: str) -> View | None:
        if path.startswith("//"):  # Flask would drop slashes, and take it for another path
            return None
        view = self._pages.get(path)
        return view or next((view for prefix, view in self._below if path.startswith(prefix)), None)

    def _otherwise(self, method: str, path: str) -> View:
        """What answers where no route does: it says which methods there are, or it is a page."""
        allowed = self._allowed(path)
        if not allowed:
            page = self._page(path)
            if page is None:
                raise NotFound("no such address")
            return page
        allow = ("Allow", ", ".join(allowed))
        if method == "OPTIONS":
            return lambda request, values: Response(b"", 204 if path == "*" else 200, [allow])
        refusal = problem_response(405, "method-not-allowed", "this address does not have the method")
        refusal.headers.append(allow)
        return lambda request, values: refusal

    def _allowed(self, path: str) -> list[str]:
        """The methods that a path has, in their usual order."""
        if path == "*":
            return list(METHODS)
        found = {method for method in METHODS if self.find(method, path) is not None}
        if "GET" in found:
            found.add("HEAD")
        return [method for method in METHODS if method in found or (found and method == "OPTIONS")]


def _search(branch: _Branch, segments: list[str], at: int, method: str, values: list[Any]) -> _Route | None:
    """The route that the segments from ``at`` on lead to; the values on the way are put into ``values``."""
    if at == len(segments):
        return branch.routes.get(method)
    segment = segments[at]
    below = branch.literals.get(segment)
    if below is not None:
        route = _search(below, segments, at + 1, method, values)
        if route is not None:
            return route
    if segment:
        for kind, below in branch.variables.items():
            value = _KINDS[kind](segment)
            if value is None:
                continue
            values.append(value)
            route = _search(below, segments, at + 1, method, values)
            if route is not None:
                return route
            values.pop()
    return None
