"""A Domain over a real socket, its people, and a client that speaks the messages of remote computation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from apps.domain.app import build
from grid.access.tables import Grant, PolicyRow
from grid.accounts.bootstrap import bootstrap_owner
from grid.config import DomainSettings
from grid.web.testing import ServedNode
from syft_ext.ids import new_id
from syft_ext.messages import compute as c
from syft_ext.messages.accounts import CreateUser, Login
from syft_ext.messages.objects import GetObject, ObjectView, PutObject, UpdateObject
from syft_ext.messages.policy import SitePolicy
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.store.content import decode, encode
from syft_ext.tensors import decode_tensors
from syft_ext.transport import Connection, HTTPTransport

__all__ = ["OWNER", "Lab", "Person", "Remote", "ref"]

OWNER, PASSWORD = "owner@lab.example", "correct horse"


def ref(value: int) -> list[Any]:
    return ["r", value]


class Person:
    """A user with a connection of their own."""

    def __init__(self, url: str, email: str) -> None:
        self.url = url
        self.connection = Connection(HTTPTransport(url))
        self.connection.metadata()
        session = self.call(Login(email=email, password=PASSWORD))
        self.connection.token, self.id = session.token, session.user.id

    def call(self, message: Any, payload: bytes = b"") -> Any:
        return self.connection.call(message, (payload,) if payload else ())

    def open(self, environment: str = "") -> Remote:
        return Remote(self, self.call(c.OpenComputeSession(environment=environment)).session_id)

    def put(self, data: Any, kind: str = "tensor", **fields: Any) -> str:
        content = b"".join(encode(data, kind))
        view: ObjectView = self.call(PutObject(kind=kind, **fields), content)
        return view.id

    def get(self, object_id: str, kind: str = "tensor") -> Any:
        _, content = self.connection.download(GetObject(object_id=object_id))
        return decode(kind, memoryview(content))

    def share(self, object_id: str, **lists: list[str]) -> None:
        self.call(UpdateObject(object_id=object_id, **lists))


class Remote:
    """A session, and the numbers that its client counts."""

    def __init__(self, person: Person, session_id: str) -> None:
        self.person, self.id = person, session_id
        self.sent, self.next = 0, 0

    def new(self) -> int:
        self.next += 1
        return self.next - 1

    def send(self, actions: Sequence[Any], payload: bytes = b"", *, first: int | None = None) -> c.RanActions:
        number = self.sent if first is None else first
        message = c.RunActions(session_id=self.id, first=number, actions=msgspec.msgpack.encode(actions))
        reply: c.RanActions = self.person.call(message, payload)
        if first is None:
            self.sent += len(actions)
        return reply

    def do(self, op: str, *args: Any, outs: int = 1, **kwargs: Any) -> int:
        """Run one operation; the number of its (first) result."""
        numbers = [self.new() for _ in range(outs)]
        self.send([c.Call(numbers, op, list(args), kwargs)])
        return numbers[0]

    def put(self, tensor: torch.Tensor) -> int:
        out = self.new()
        raw = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        self.send([c.Put(out, dtype_name(tensor.dtype) or "", list(tensor.shape), 0)], raw)
        return out

    def load(self, object_id: str, name: str = "") -> int:
        out = self.new()
        self.send([c.Load(out, object_id, name)])
        return out

    def fetch(self, *values: int, after: int | None = None) -> Any:
        message = c.FetchValues(
            session_id=self.id, values=list(values), after=self.sent if after is None else after
        )
        _, content = self.person.connection.download(message)
        tensors = list(decode_tensors(content).values()) if values else []
        return tensors[0] if len(tensors) == 1 else tensors

    def failures(self) -> list[c.Failure]:
        message = c.FetchValues(session_id=self.id, after=self.sent)
        reply: c.RanActions = self.person.connection.download(message)[0]
        return reply.failures

    def keep(self, *values: int, **fields: Any) -> ObjectView:
        view: ObjectView = self.person.call(
            c.KeepValues(session_id=self.id, values=list(values), after=self.sent, **fields)
        )
        return view

    def check(self, *values: int) -> c.ValueAccess:
        reply: c.ValueAccess = self.person.call(
            c.CheckValues(session_id=self.id, values=list(values), after=self.sent)
        )
        return reply

    def view(self) -> c.ComputeSessionView:
        sessions = self.person.call(c.ListComputeSessions()).sessions
        return next(each for each in sessions if each.session_id == self.id)

    def close(self) -> None:
        self.person.call(c.CloseComputeSession(session_id=self.id))


class Lab:
    """A Domain with its owner, who may upload, and two scientists, who may not."""

    def __init__(self, home: Path, database_url: str = "", **settings: Any) -> None:
        node = build(home, DomainSettings(database_url=database_url, **settings))
        assert bootstrap_owner(node, OWNER, PASSWORD)
        self.served = ServedNode(node)
        self.node = node
        self.owner = Person(self.served.url, OWNER)
        self.sue, self.sam = self.user("sue@lab.example"), self.user("sam@lab.example")

    def user(self, email: str) -> Person:
        self.owner.call(CreateUser(email=email, password=PASSWORD, role="User"))
        return Person(self.served.url, email)

    def close(self) -> None:
        self.served.close()

    def grant(self, person: Person, object_id: str, scope: str, **fields: Any) -> str:
        grant_id = new_id()
        made = {"granted_by": self.owner.id, "created_at": self.node.clock.now(), "inputs": {}, "plan_id": ""}
        with self.node.db.transaction() as session:
            session.add(
                Grant(id=grant_id, scope=scope, user_id=person.id, object_id=object_id, **{**made, **fields})
            )
        return grant_id

    def change(self, grant_id: str, **fields: Any) -> None:
        with self.node.db.transaction() as session:
            row = session.get_one(Grant, grant_id)
            for name, value in fields.items():
                setattr(row, name, value)

    def uses(self, grant_id: str) -> int | None:
        with self.node.db.read() as session:
            return session.get_one(Grant, grant_id).uses_left

    def policy(self, policy: SitePolicy) -> None:
        document = msgspec.to_builtins(policy)
        with self.node.db.transaction() as session:
            row = session.get(PolicyRow, 1)
            if row is None:
                now = self.node.clock.now()
                session.add(PolicyRow(id=1, document=document, changed_at=now, changed_by=self.owner.id))
            else:
                row.document = document
