"""One REST route per operation of the node's map."""

from __future__ import annotations

from functools import partial

import msgspec

from grid.node import ANONYMOUS, Context, Download, Node, Principal
from grid.web.api.fields import Fields
from grid.web.http.downloads import download_response
from grid.web.http.metrics import Instruments
from grid.web.http.reading import upload_of
from grid.web.http.request import Request
from grid.web.http.response import Response
from grid.web.http.routing import Router, Values, View
from grid.web.http.settings import WebSettings
from syft_ext.errors import InvalidToken
from syft_ext.messages import Empty, Operation, Reply
from syft_ext.transport import PayloadReader

__all__ = ["add_operations", "principal_of_header"]

_encode = msgspec.json.Encoder().encode
_JSON = (("Cache-Control", "no-store"), ("Content-Type", "application/json"))


def add_operations(router: Router, node: Node, settings: WebSettings, instruments: Instruments) -> None:
    """Add a route for every operation that the node offers."""
    for spec in node.map.operations():
        rule = spec.path.replace("{", "<").replace("}", ">")
        router.add(rule, spec.method, _view(node, spec, settings, instruments))


def _view(node: Node, spec: Operation, settings: WebSettings, instruments: Instruments) -> View:
    fields = Fields(spec, min(settings.max_json, spec.max_body))

    def view(request: Request, path: Values) -> Response:
        record = request.record
        record.operation = spec.name
        authorization = request.environ.get("HTTP_AUTHORIZATION", "")
        # Before anything of the request is read or looked at: strangers learn nothing from errors.
        principal = node.admit(
            spec, partial(principal_of_header, node, authorization), scheme="http", remote=record.remote
        )
        body = upload_of(request, settings.max_upload) if spec.uploads else PayloadReader.of(b"")
        message = fields.read(request, path)
        with instruments.running:
            answer = node.dispatch(
                Context(principal, body, "http", record.remote, alive=record.alive), message
            )
        return _response(request, spec, answer)

    return view


def principal_of_header(node: Node, authorization: str) -> Principal:
    """The identity behind an ``Authorization`` header; anonymous without one (RFC 6750)."""
    if not authorization:
        return ANONYMOUS
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidToken("the Authorization header must be: Bearer <token>")
    return node.principal_of_token(token.strip())


def _response(request: Request, spec: Operation, answer: Reply | Download) -> Response:
    if isinstance(answer, Download):
        return download_response(request, answer, spec.status)
    if type(answer) is Empty and spec.status == 204:
        return Response(b"", 204)
    return Response(_encode(answer), spec.status, _JSON)
