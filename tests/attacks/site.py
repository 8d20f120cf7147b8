"""A Domain and a Network as deployed, their people, and the three ways in that an attacker has."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import urllib3
from blake3 import blake3
from sqlalchemy import select
from websockets.sync.client import connect

from apps.domain.app import build as build_domain
from apps.network.app import build as build_network
from grid.accounts.bootstrap import bootstrap_owner
from grid.config import DomainSettings, NetworkSettings
from grid.node import Node
from grid.node.housekeeping import HousekeepingService
from grid.storage.blobs.files import MARKS, REACHED
from grid.storage.sql.base import Base
from grid.web.testing import ServedNode
from syft_ext.errors import Problem
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata
from syft_ext.messages.envelope import Envelope, frame_head, open_frame, seal_request
from syft_ext.transport.http import MEDIA_TYPE

__all__ = ["OWNER", "PASSWORD", "Answer", "Site", "Someone"]

OWNER, PASSWORD = "owner@hospital.org", "correct horse"
HTTP = urllib3.PoolManager(retries=False)
#: Tables that record attempts: they may change when an attack is refused.
ATTEMPTS = {
    "audit_archives",
    "audit_entries",
    "audit_head",
    "login_failures",
    "installation",
}  # its epoch moves with every sweep


@dataclass(frozen=True)
class Answer:
    """Status and body, whatever way they came."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the error, or "ok"."""
        return str(self.json["code"]) if self.status >= 400 else "ok"


@dataclass(frozen=True)
class Someone:
    """A user with a session at the Domain and a key of their own; a stranger has no id and no token."""

    id: str
    token: str
    identity: Identity


STRANGER = Someone("", "", Identity.generate())


class Site:
    """Serves both nodes until :meth:`close`."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "domain"
        self.domain = ServedNode(_node(build_domain(self.home, DomainSettings())))
        self.network = ServedNode(_node(build_network(root / "network", NetworkSettings())))
        self.owner = self.log_in(OWNER)
        self.ann = self.add_user("ann@x.org", "Administrator")
        self.eve = self.add_user("eve@x.org", "User")
        self.secret = self.put(self.ann, b"ann's private bytes")
        self.listed = self.put(self.ann, b"findable, not readable", searchable="true")

    def close(self) -> None:
        self.domain.close()
        self.network.close()

    # -- people and things --------------------------------------------------------------------------

    def log_in(self, email: str, *, node: ServedNode | None = None) -> Someone:
        identity = Identity.generate()
        answer = self.message(
            "auth.login", {"email": email, "password": PASSWORD}, Someone("", "", identity), node=node
        )
        assert answer.status == 200, answer.body
        return Someone(answer.json["user"]["id"], answer.json["token"], identity)

    def add_user(self, email: str, role: str) -> Someone:
        made = {"email": email, "password": PASSWORD, "role": role}
        assert self.rest("POST", "/users", made, self.owner).status == 201
        return self.log_in(email)

    def put(self, who: Someone, content: bytes, **fields: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in {"kind": "bytes", **fields}.items())
        answer = self.rest("POST", f"/objects?{query}", content, who)
        assert answer.status == 201, answer.body
        return str(answer.json["id"])

    # -- ways in ------------------------------------------------------------------------------------

    def rest(
        self,
        method: str,
        path: str,
        body: Any = None,
        who: Someone = STRANGER,
        *,
        node: ServedNode | None = None,
        **headers: str,
    ) -> Answer:
        """A REST call; ``body`` is sent as JSON unless it is bytes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if who.token:
            sent["Authorization"] = f"Bearer {who.token}"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        sent.setdefault(
            "Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json"
        )
        url = (node or self.domain).url + path
        answer = HTTP.request(method, url, body=data, headers=sent, timeout=240)
        return Answer(answer.status, answer.data, {k.lower(): v for k, v in answer.headers.items()})

    def event(
        self,
        operation: str,
        data: Any,
        who: Someone = STRANGER,
        *,
        node: ServedNode | None = None,
        **more: Any,
    ) -> Answer:
        """A JSON event on the WebSocket."""
        event = {"type": operation, "data": data, "token": who.token, **more}
        with connect((node or self.domain).url.replace("http", "ws", 1) + "/ws") as ws:
            ws.send(json.dumps(event))
            answer = json.loads(ws.recv(timeout=240))
        error = answer.get("error")
        shown = error if error is not None else answer.get("data", {})
        return Answer(error["status"] if error else 200, json.dumps(shown).encode(), {})

    def message(
        self,
        operation: str,
        body: Any,
        who: Someone = STRANGER,
        *,
        payload: bytes = b"",
        node: ServedNode | None = None,
    ) -> Answer:
        """A signed message whose body says whatever the attacker likes."""
        served = node or self.domain
        request = self.seal(operation, body, who, payload=payload, node=served)
        return self.send(frame_head(request) + payload, served)

    def seal(
        self,
        operation: str,
        body: Any,
        who: Someone = STRANGER,
        *,
        payload: bytes = b"",
        node: ServedNode | None = None,
    ) -> Envelope:
        pieces = (payload,) if payload else ()
        request = seal_request(
            who.identity,
            GetMetadata(),
            now=time.time(),
            recipient=(node or self.domain).node.id,
            token=who.token,
            payload=pieces,
        )
        request.operation = operation
        request.body = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
        return request.sign(who.identity)

    def send(self, frame: bytes, node: ServedNode | None = None) -> Answer:
        url = (node or self.domain).url + "/messages"
        sent = HTTP.request("POST", url, body=frame, headers={"Content-Type": MEDIA_TYPE}, timeout=240)
        envelope, payload = open_frame(sent.data)
        envelope.verify()
        if envelope.operation != "error":
            return Answer(
                200, msgspec.json.encode(msgspec.msgpack.decode(envelope.body)), {"p": payload.hex()}
            )
        problem = msgspec.msgpack.decode(envelope.body, type=Problem)
        return Answer(problem.status, msgspec.json.encode(problem), {})

    def send_raw(self, frame: bytes) -> Answer:
        """A frame that is none."""
        url = self.domain.url + "/messages"
        sent = HTTP.request("POST", url, body=frame, headers={"Content-Type": MEDIA_TYPE}, timeout=240)
        problem = msgspec.msgpack.decode(open_frame(sent.data)[0].body, type=Problem)
        return Answer(sent.status, msgspec.json.encode(problem), {})

    def every_way(
        self, operation: str, method: str, path: str, data: dict[str, Any], who: Someone = STRANGER
    ) -> list[str]:
        """The codes with which the same call is answered over REST, the WebSocket and the message plane."""
        sent = None if method in ("GET", "DELETE") else data
        return [
            self.rest(method, path, sent, who).code,
            self.event(operation, data, who).code,
            self.message(operation, data, who).code,
        ]

    # -- what is there ------------------------------------------------------------------------------

    def state(self) -> str:
        """A digest of all that the Domain keeps: rows and contents, but for the records of attempts, and for what
        was refused and waits aside to be deleted."""
        self.domain.node.service(HousekeepingService).sweep()  # contents that were refused, and nothing names
        hasher = blake3()
        with self.domain.node.db.read() as session:
            for table in Base.metadata.sorted_tables:
                if table.name not in ATTEMPTS:
                    rows = sorted(repr(tuple(row)) for row in session.execute(select(table)))
                    hasher.update(repr((table.name, rows)).encode())
        for path in sorted((self.home / "blobs").rglob("*")):
            aside = "quarantine" in path.parts
            if (
                path.is_file() and not aside and path.name not in (MARKS, REACHED)
            ):  # they move with every sweep
                hasher.update(path.read_bytes())
        return str(hasher.hexdigest())

    def audited(self, **query: str) -> list[dict[str, Any]]:
        text = "&".join(f"{name}={value}" for name, value in query.items())
        found: list[dict[str, Any]] = self.rest("GET", f"/audit?{text}", who=self.owner).json["entries"]
        return found


def _node(node: Node) -> Node:
    assert bootstrap_owner(node, OWNER, PASSWORD)
    return node
