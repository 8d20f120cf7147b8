"""Errors as pages, for those who ask for one: a browser. Programs get the problem document as it is (RFC 9457)."""

from __future__ import annotations

from typing import Any

import msgspec
from jinja2 import Template

from grid.node import Node
from grid.web.http.problems import PROBLEM_TYPE
from grid.web.http.response import Response
from syft_ext.errors import Problem

__all__ = ["ErrorPages", "wants_html"]

_DOCUMENTS = ("application/problem+json", "application/json")


class ErrorPages:
    """Makes pages of problem documents, with ``template``, for browsers."""

    def __init__(self, node: Node, template: Template) -> None:
        self._node, self._template = node, template

    def __call__(self, environ: dict[str, Any], answer: Response) -> Response:
        """``answer``, or the page that says the same, if it is a problem and a page was asked for."""
        headers = {name.lower(): value for name, value in answer.headers}
        if headers.get("content-type") != PROBLEM_TYPE:
            return answer
        if not isinstance(answer.body, bytes):  # as pages of Flask's come: small, and whole
            answer.body = b"".join(bytes(piece) for piece in answer.body)
        varying = [*answer.headers, ("Vary", "Accept")]
        if not wants_html(environ.get("HTTP_ACCEPT", "")):
            answer.headers = varying
            return answer
        problem = msgspec.json.decode(answer.body, type=Problem)
        page = self._template.render(node=self._node, problem=problem).encode()
        kept = [pair for pair in varying if pair[0].lower() not in ("content-type", "content-length")]
        return Response(page, answer.status, [("Content-Type", "text/html; charset=utf-8"), *kept])


def wants_html(accept: str) -> bool:
    """Whether a page is named in ``Accept`` (RFC 9110, section 12.5.1), and no document is named before it.

    ``*/*``, which programs send, names neither.
    """
    weights: dict[str, float] = {}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            weights[kind] = float(weight)
        except ValueError:
            weights[kind] = 0.0
    html = max(weights.get("text/html", 0.0), weights.get("application/xhtml+xml", 0.0))
    return html > 0 and html > max(weights.get(kind, 0.0) for kind in _DOCUMENTS)
