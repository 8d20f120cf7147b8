"""The OpenAPI 3.1 description of a node, made from the operations of its map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from grid.node import Node
from grid.web.api.docstrings import describe
from grid.web.api.fields import takes_json
from grid.web.http.problems import PROBLEM_TYPE
from syft_ext._version import __version__
from syft_ext.errors import Problem
from syft_ext.messages import Empty, Operation
from syft_ext.transport.http import MEDIA_TYPE

__all__ = ["build_openapi"]

Json = dict[str, Any]
_BINARY: Json = {"type": "string", "format": "binary"}
_PERMISSIONS = {
    "anyone": "Anybody may call this.",
    "signed": "Needs a signed message: call it on the message plane.",
    "user": "Needs a user's token.",
    "worker": "Needs the token of a worker that authenticated for a training.",
    "node": "Needs the token of an associated node.",
}
_SAMPLES = {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}, "null": None}


def build_openapi(node: Node) -> Json:
    """The whole document; ``x-permission`` of each operation is what its caller needs."""
    specs = node.map.operations()
    schemas = _Schemas([*(spec.message for spec in specs), *(spec.reply for spec in specs), Problem])
    paths: Json = {}
    for spec in specs:
        paths.setdefault(spec.path, {})[spec.method.lower()] = _operation(spec, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{node.name} — Grid {node.kind}",
            "version": __version__,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": group} for group in sorted({spec.group for spec in specs})] + [_NODE_TAG],
        "paths": {**paths, **_NODE_PATHS},
        "components": {
            "schemas": schemas.without([spec.message for spec in specs]),
            "responses": {
                "Problem": _content("What went wrong (RFC 9457)", PROBLEM_TYPE, schemas.ref(Problem))
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of this node, from a login or an authentication.",
                }
            },
        },
    }


class _Schemas:
    """JSON Schemas of the map's types, with what their docstrings say about each field."""

    def __init__(self, types: list[type]) -> None:
        refs, self._schemas = msgspec.json.schema_components(
            types, ref_template="#/components/schemas/{name}"
        )
        # msgspec gives two types of the same name longer names: ask it, do not guess.
        self._refs = dict(zip(types, refs, strict=True))
        for kind in types:
            fields = describe(kind).fields
            for name, schema in self.of(kind).get("properties", {}).items():
                if name in fields and "description" not in schema:
                    schema["description"] = fields[name]

    def _name(self, kind: type) -> str:
        return str(self._refs[kind]["$ref"]).rpartition("/")[2]

    def of(self, kind: type) -> Json:
        schema: Json = self._schemas[self._name(kind)]
        return schema

    def ref(self, kind: type) -> Json:
        ref: Json = self._refs[kind]
        return ref

    def without(self, kinds: Sequence[type]) -> Json:
        left_out = {self._name(kind) for kind in kinds}
        return {name: schema for name, schema in self._schemas.items() if name not in left_out}


def _operation(spec: Operation, schemas: _Schemas) -> Json:
    described = describe(spec.message)
    permission = str(spec.permission)
    needs = _PERMISSIONS.get(spec.permission.kind) or f"Needs a user whose role carries `{permission}`."
    open_to_all = spec.permission.kind == "anyone"
    schema = schemas.of(spec.message)
    document: Json = {
        "operationId": spec.name,
        "tags": [spec.group],
        "summary": described.summary.rstrip("."),
        "description": f"{described.summary}\n\n{described.description}".strip() + f"\n\n{needs}",
        "x-permission": permission,
        "security": [] if open_to_all else [{"token": []}],
        "parameters": _parameters(spec, schema),
        "responses": _responses(spec, schemas),
        "x-codeSamples": [{"lang": "shell", "label": "curl", "source": _curl(spec, schema)}],
    }
    body = _body(spec, schema)
    if body is not None:
        document["requestBody"] = body
    return document


def _located(spec: Operation) -> set[str]:
    return {*spec.path_fields, *spec.headers}


def _parameters(spec: Operation, schema: Json) -> list[Json]:
    required, properties = schema.get("required", []), schema.get("properties", {})
    parameters = []
    for name, property_ in properties.items():
        place, shown = "query", name
        if name in spec.path_fields:
            place = "path"
        elif name in spec.headers:
            place, shown = "header", spec.headers[name]
        elif takes_json(spec):
            continue
        parameter = {
            "name": shown,
            "in": place,
            "required": place == "path" or name in required,
            "schema": {key: value for key, value in property_.items() if key != "description"},
        }
        if "description" in property_:
            parameter["description"] = property_["description"]
        parameters.append(parameter)
    return parameters


def _body(spec: Operation, schema: Json) -> Json | None:
    if spec.uploads:
        return {
            "description": "The bytes, streamed: of known length, or chunked.",
            "required": True,
            "content": {"application/octet-stream": {"schema": _BINARY}},
        }
    names = [name for name in schema.get("properties", {}) if name not in _located(spec)]
    if not takes_json(spec) or not names:
        return None
    required = [name for name in schema.get("required", []) if name in names]
    body = {
        "type": "object",
        "properties": {name: schema["properties"][name] for name in names},
        "required": required,
        "additionalProperties": False,
    }
    example = {name: _sample(schema["properties"][name]) for name in required}
    return {
        "required": bool(required),
        "content": {"application/json": {"schema": body, "example": example}},
    }


def _sample(schema: Json) -> Any:
    """A value of the right type to start from."""
    if "enum" in schema:
        return schema["enum"][0]
    return _SAMPLES.get(schema.get("type", ""), "" if "contentEncoding" in schema else "…")


def _responses(spec: Operation, schemas: _Schemas) -> Json:
    problem = {"$ref": "#/components/responses/Problem"}
    responses: Json = {"default": problem, "400": problem}
    if spec.permission.kind != "anyone":
        responses |= {"401": problem, "403": problem}
    if spec.uploads or takes_json(spec):
        responses["413"] = problem
    if spec.downloads:
        headers = {"ETag": {"schema": {"type": "string"}, "description": "The BLAKE3 digest of all bytes."}}
        whole = _content("The bytes, streamed", "application/octet-stream", _BINARY)
        responses[str(spec.status)] = {**whole, "headers": headers}
        responses["206"] = {**whole, "description": "One range of the bytes (Range, If-Range)"}
        responses["304"] = {"description": "Unchanged (If-None-Match)"}
        responses["416"] = {"description": "There is no such range"}
    elif spec.reply is Empty and spec.status == 204:
        responses["204"] = {"description": "Done"}
    else:
        summary = describe(spec.reply).summary
        responses[str(spec.status)] = _content(
            summary or "The answer", "application/json", schemas.ref(spec.reply)
        )
    return dict(sorted(responses.items()))


def _content(description: str, media_type: str, schema: Json) -> Json:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _curl(spec: Operation, schema: Json) -> str:
    parts = ["curl"]
    if spec.method != "GET":
        parts.append(f"-X {spec.method}")
    if spec.permission.kind != "anyone":
        parts.append('-H "Authorization: Bearer $TOKEN"')
    parts += [f'-H "{header}: ${field.upper()}"' for field, header in spec.headers.items()]
    if spec.uploads:
        parts.append("-T file.safetensors")
    body = _body(spec, schema) if not spec.uploads else None
    if body is not None:
        example = body["content"]["application/json"]["example"]
        parts.append(f"--json '{json.dumps(example, ensure_ascii=False)}'")
    if spec.downloads:
        parts.append("-o file.safetensors")
    return " ".join((*parts, f'"$NODE{spec.path}"'))


_INTRODUCTION = """\
Every operation here is one typed message. It can also be sent, signed, to `POST /messages` or over the \
WebSocket `/messages` (binary frames), and as a JSON event over the WebSocket `/ws`:

    → {"type": "node.metadata", "data": {}, "request_id": "1", "token": "…"}
    ← {"type": "node.metadata", "data": {…}, "request_id": "1"}

Unknown fields are refused. Bytes are base64 in JSON. Errors are `application/problem+json` with a stable \
`code`."""

_NODE_TAG = {"name": "front", "description": "The node's web front itself"}


def _front(summary: str, responses: Json, **more: Any) -> Json:
    name = summary.lower().replace(" ", "-")
    return {
        "operationId": f"front.{name}",
        "tags": ["front"],
        "summary": summary,
        "x-permission": "anyone",
        "security": [],
        "responses": {**responses, "default": {"$ref": "#/components/responses/Problem"}},
        **more,
    }


_STATUS: Json = {
    "type": "object",
    "properties": {
        "status": {"type": "string"},
        "checks": {"type": "object", "additionalProperties": {"type": "string"}},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
}
_NODE_PATHS: Json = {
    "/messages": {
        "post": _front(
            "Signed message",
            {"200": _content("The signed answer, also when it is an error", MEDIA_TYPE, _BINARY)},
            description="The message plane: one signed frame in, one signed frame out, both streamed.",
            requestBody={"required": True, "content": {MEDIA_TYPE: {"schema": _BINARY}}},
        )
    },
    "/healthz": {
        "get": _front("Alive", {"200": _content("The process answers", "application/json", _STATUS)})
    },
    "/readyz": {
        "get": _front(
            "Ready",
            {
                "200": _content("All checks are ok", "application/json", _STATUS),
                "503": _content("Some check is not", "application/json", _STATUS),
            },
        )
    },
    "/metrics": {
        "get": _front("Metrics", {"200": _content("For Prometheus", "text/plain", {"type": "string"})})
    },
}
