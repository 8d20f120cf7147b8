"""Remote computation: sessions in which a user's operations run where the data are.

A session is a sandboxed process at a Domain that belongs to one user. Its values are named by numbers that
the client chooses, counting up; a value is never changed, so that what may be done with it is decided once:
its *sources* are the union of the sources of everything it was computed from (static single assignment).
Operations are those of the plans' op set (:mod:`syft_ext.plans.ops`), their arguments written as in a plan
(:mod:`syft_ext.plans.document`: ``["r", value]``, ``["l", …]``, ``["d", dtype]``, literals).

Batches of actions are sent in order and run in order; nobody waits for an answer between them. An action
that fails poisons its results: what depends on them fails with the same failure, and the rest goes on.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

from syft_ext.messages.fields import Description, Id, Name, Note, Size, Tags
from syft_ext.messages.objects import ObjectView
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER

Value = Annotated[int, msgspec.Meta(ge=0, le=(1 << 53))]
Values = Annotated[list[Value], msgspec.Meta(max_length=4096)]
Shape = Annotated[list[Size], msgspec.Meta(max_length=16)]
Dtype = Annotated[str, msgspec.Meta(max_length=8)]  # as plans write it: f32, i64, b …
PlanId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Load(msgspec.Struct, tag="load", array_like=True, forbid_unknown_fields=True):
    """A tensor of a stored object: ``name`` picks one of a mapping or list, "" the only one of a tensor."""

    out: Value
    object_id: Id
    name: Annotated[str, msgspec.Meta(max_length=255)] = ""


class Put(msgspec.Struct, tag="put", array_like=True, forbid_unknown_fields=True):
    """The caller's own tensor: little-endian contiguous bytes from ``offset`` of the message's payload."""

    out: Value
    dtype: Dtype
    shape: Shape
    offset: Size


class Call(msgspec.Struct, tag="call", array_like=True, forbid_unknown_fields=True):
    """One operation of the op set, as a plan's node: ``aten.add.Tensor`` on ``[["r", 3], ["r", 4]]``."""

    outs: Values
    op: Annotated[str, msgspec.Meta(max_length=80)]
    args: Annotated[list[Any], msgspec.Meta(max_length=64)]
    kwargs: Annotated[dict[str, Any], msgspec.Meta(max_length=16)]


class RunPlan(msgspec.Struct, tag="plan", array_like=True, forbid_unknown_fields=True):
    """A plan that ``compute.plan`` brought, on values in the order of its inputs."""

    outs: Values
    plan_id: PlanId
    inputs: Values


class Drop(msgspec.Struct, tag="drop", array_like=True, forbid_unknown_fields=True):
    """Values that the client holds no longer."""

    values: Values


Action: TypeAlias = Load | Put | Call | RunPlan | Drop


class SessionView(Reply):
    """A session of yours.

    Attributes:
        environment: id of the compute environment that it runs in; "" is the Domain's own.
        values: how many it holds now; memory: bytes that they take; limit: bytes that they may take.
    """

    session_id: str
    environment: str
    created_at: float
    values: int
    memory: int
    limit: int


class Failure(msgspec.Struct, kw_only=True):
    """Why an action failed; ``action`` counts from the first action of the session.

    ``detail`` says nothing that depends on data which the user may not read.
    """

    action: int
    code: str
    detail: str


class RanActions(Reply):
    """``done`` counts the actions of the session that have run, failed ones included."""

    done: int
    failures: list[Failure] = []


class ValueView(Reply):
    """What comes with a value's bytes."""

    dtype: str
    shape: list[int]


class SessionList(Reply):
    sessions: list[SessionView]


class PlanKept(Reply):
    """The plan is known to the session by this id (the digest of its bytes)."""

    plan_id: str


@operation("compute.open", rest="POST /compute/sessions", reply=SessionView, permission=USER, status=201)
class OpenSession(Message):
    """Begin a session. It ends when it is closed, when nobody used it for a while, or when the node stops
    (in an environment: not before the environment is destroyed)."""

    environment: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")] = ""


@operation("compute.sessions", rest="GET /compute/sessions", reply=SessionList, permission=USER)
class ListSessions(Message):
    """Your sessions at this node."""


@operation("compute.close", rest="DELETE /compute/sessions/{session_id}", permission=USER)
class CloseSession(Message):
    """End a session of yours; its values are gone."""

    session_id: Id


@operation(
    "compute.run",
    rest="POST /compute/sessions/{session_id}/actions",
    reply=RanActions,
    permission=USER,
    uploads=True,
    audited=False,
)
class RunActions(Message):
    """Run actions in order. ``first`` counts the actions of the session that were sent before.

    A batch that comes twice is answered as before and not run again; one that comes too early waits a
    moment for the one before it, then is refused (Conflict).
    """

    session_id: Id
    first: Size
    actions: Annotated[bytes, msgspec.Meta(max_length=16 << 20)]  # msgpack of list[Action]


@operation(
    "compute.plan",
    rest="POST /compute/sessions/{session_id}/plans",
    reply=PlanKept,
    permission=USER,
    uploads=True,
    status=201,
)
class PutPlan(Message):
    """Bring a plan (its bytes are the payload) into a session; it is checked, its self-test is run."""

    session_id: Id


@operation(
    "compute.fetch",
    rest="GET /compute/sessions/{session_id}/values/{value}",
    reply=ValueView,
    permission=USER,
    downloads=True,
)
class FetchValue(Message):
    """Download a value (little-endian contiguous bytes), if you may read every source of it.

    It is ready when ``after`` actions of the session have run; until then the call waits.
    """

    session_id: Id
    value: Value
    after: Size = 0


@operation(
    "compute.keep",
    rest="POST /compute/sessions/{session_id}/objects",
    reply=ObjectView,
    permission=USER,
    status=201,
)
class KeepValues(Message):
    """Make values a stored object: one is a tensor; several a mapping (``names``) or a list.

    It keeps its sources: readable for whoever may read all of them, and on request.
    """

    session_id: Id
    values: Values
    names: Annotated[list[Name], msgspec.Meta(max_length=4096)] | None = None
    after: Size = 0
    description: Description = ""
    tags: Tags = []
    searchable: bool = False
    note: Note = ""
