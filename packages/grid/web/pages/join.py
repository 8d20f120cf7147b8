"""The page on which somebody takes part in a training, in their browser: ``/join/<training>``.

It is the same for every training, and for those that do not exist: what there is, its script asks the node,
signed. An invitation's secret stands in the fragment of its address, which browsers send to nobody.
"""

from __future__ import annotations

import io

import segno
from flask import Flask, Response, render_template, request

from grid.node import Node
from syft_ext.errors import NotFound
from syft_ext.ids import is_id
from syft_ext.messages.invitations import GetAttendance
from syft_ext.messages.operation import operation_of

__all__ = ["JOIN_POLICIES", "add_join"]

# Plans run as data in our own WebAssembly; no text becomes a script, and nothing comes from, or goes, elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types default"
)
#: Workers of a page are under the policy that their script came with.
JOIN_POLICIES = {"/join/": _POLICY, "/static/peer/": _POLICY}


def add_join(app: Flask, node: Node) -> None:
    """The page, and its address as a QR code to give away (without any invitation)."""

    @app.get("/join/<training>", endpoint="join")
    def join(training: str) -> str:
        _check(training)
        return render_template("join.html", node=node, training=training)

    @app.get("/join/<training>/qr.svg", endpoint="join_qr")
    def qr(training: str) -> Response:
        _check(training)
        out = io.BytesIO()
        address = f"{node.address or request.url_root.rstrip('/')}/join/{training}"
        segno.make(address, micro=False).save(
            out, kind="svg", scale=4, dark="#000", light="#fff", xmldecl=False
        )
        return Response(out.getvalue(), content_type="image/svg+xml")

    def _check(training: str) -> None:
        kept = operation_of(GetAttendance).name
        if not is_id(training) or all(spec.name != kept for spec in node.map.operations()):
            raise NotFound("no such address")
