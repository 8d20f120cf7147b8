"""Remote computation: sessions in which a user's operations run where the data are.

A session belongs to one user; its values live in a sandboxed process, at the Domain or in a compute
environment. Values are named by numbers that the client chooses, counting up. A value is never changed, so
that what may be done with it is decided once: its *sources* are the union of the sources of everything that
it was computed from (static single assignment; in-place operations are the client's to rewrite). Operations
are those of the plans' op set (:mod:`syft_ext.plans.graph.ops`), their arguments written as in a plan
(:mod:`syft_ext.plans.graph.document`), and those on encrypted values (``he.…``, :mod:`syft_ext.encrypted.forms`):
``["r", value]``, ``["l", …]``, ``["d", dtype]``, literals.

Batches of actions run in the order of their numbers; nobody waits for an answer between them. An action that
is refused (no permission, operands that do not fit, a limit) poisons its results: what depends on them fails
with the same failure, and the rest goes on. What fails because of the *values* of its operands (an index out
of range) says something about them: that failure is kept with the results, under their sources, and told only
to whoever may read them.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

from syft_ext.messages.fields import Description, Id, Name, Note, Size, Tags
from syft_ext.messages.objects import ObjectView
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER

__all__ = [
    "Action",
    "Call",
    "CheckValues",
    "CloseComputeSession",
    "ComputeSessionList",
    "ComputeSessionView",
    "ContentLayout",
    "DescribeContent",
    "Drop",
    "Failure",
    "FetchValues",
    "KeepValues",
    "ListComputeSessions",
    "Load",
    "OpenComputeSession",
    "PlanKept",
    "Put",
    "PutPlan",
    "RanActions",
    "RunActions",
    "RunPlan",
    "TensorLayout",
    "ValueAccess",
]

Value = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
#: Bytes of one batch of actions.
MAX_ACTIONS = 4 << 20
Values = Annotated[list[Value], msgspec.Meta(max_length=4096)]
Shape = Annotated[list[Size], msgspec.Meta(max_length=16)]
Dtype = Annotated[
    str, msgspec.Meta(max_length=16)
]  # as plans write it (f32, i64, b …), or what bytes are: he.context …
PlanId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
EnvironmentId = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32})?$(?!\n)")]


class Load(msgspec.Struct, tag="load", array_like=True, forbid_unknown_fields=True):
    """A tensor of a stored object: ``name`` picks one of several (:class:`ContentLayout`), "" the only one."""

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
    """A plan that ``compute.plan`` brought, on values in the order of its flat inputs."""

    outs: Values
    plan_id: PlanId
    inputs: Values


class Drop(msgspec.Struct, tag="drop", array_like=True, forbid_unknown_fields=True):
    """Values that the client holds no longer."""

    values: Values


Action: TypeAlias = Load | Put | Call | RunPlan | Drop


class ComputeSessionView(Reply):
    """A session of yours.

    Attributes:
        environment: id of the compute environment that it runs in; "" is the Domain's own.
        done: how many actions have run. values: how many values it holds now.
        memory: bytes that they take. limit: bytes that they may take.
    """

    session_id: str
    environment: str
    created_at: float
    done: int
    values: int
    memory: int
    limit: int


class ComputeSessionList(Reply):
    """Your open sessions, those in environments of yours too; the oldest first."""

    sessions: list[ComputeSessionView]


class Failure(msgspec.Struct, kw_only=True):
    """Why an action was refused; ``action`` counts from the first action of the session.

    ``code`` is that of the error, ``detail`` its text. Neither depends on the values of data.
    """

    action: int
    code: str
    detail: str


class RanActions(Reply):
    """``done`` counts the actions of the session that have run, refused ones included."""

    done: int
    failures: list[Failure] = []


class PlanKept(Reply):
    """The session knows the plan by this id (the digest of its bytes)."""

    plan_id: str


class TensorLayout(msgspec.Struct, kw_only=True):
    """One tensor of a stored object. ``name`` is "" when it is the only one; dtype as plans write it."""

    name: str
    dtype: str
    shape: list[int]


class ContentLayout(Reply):
    """Which tensors an object holds. ``kind`` is the object's; ``form``: of an encrypted value, what is
    known of it (:class:`syft_ext.encrypted.forms.Form`)."""

    object_id: str
    kind: str
    tensors: list[TensorLayout]
    form: dict[str, Any] = {}


class ValueAccess(Reply):
    """Whether you may fetch the values now, and if not, the objects that stand in the way."""

    readable: bool
    missing: list[str] = []


@operation(
    "compute.open", rest="POST /compute/sessions", reply=ComputeSessionView, permission=USER, status=201
)
class OpenComputeSession(Message):
    """Begin a session. It ends when it is closed, when nobody used it for a while, or when the node stops
    (in an environment: not before the environment is destroyed). What is gone answers ``session-lost``."""

    environment: EnvironmentId = ""


@operation("compute.sessions", rest="GET /compute/sessions", reply=ComputeSessionList, permission=USER)
class ListComputeSessions(Message):
    """Your sessions at this node."""


@operation("compute.close", rest="DELETE /compute/sessions/{session_id}", permission=USER)
class CloseComputeSession(Message):
    """End a session of yours; its values are gone."""

    session_id: Id


@operation("compute.describe", rest="GET /compute/objects/{object_id}", reply=ContentLayout, permission=USER)
class DescribeContent(Message):
    """Names, dtypes and shapes of an object's tensors, if you may compute on it."""

    object_id: Id


@operation(
    "compute.run",
    rest="POST /compute/sessions/{session_id}/actions",
    reply=RanActions,
    permission=USER,
    uploads=True,
    max_bulk=MAX_ACTIONS,
)
class RunActions(Message):
    """Run actions in order.

    ``first`` is the number of the first: how many the session was sent before. What comes twice is answered
    as before and not run again; what comes too early waits for what is before it, and is refused (Conflict)
    when that does not come. ``actions`` is the msgpack of a list of :data:`Action`.
    """

    session_id: Id
    first: Size
    actions: Annotated[bytes, msgspec.Meta(max_length=MAX_ACTIONS)]


@operation(
    "compute.plan",
    rest="POST /compute/sessions/{session_id}/plans",
    reply=PlanKept,
    permission=USER,
    uploads=True,
    status=201,
)
class PutPlan(Message):
    """Bring a plan (its bytes are the payload) into a session; it is checked, and its self-test is run."""

    session_id: Id


@operation(
    "compute.check", rest="GET /compute/sessions/{session_id}/access", reply=ValueAccess, permission=USER
)
class CheckValues(Message):
    """Whether you may fetch values, without fetching them."""

    session_id: Id
    values: Values
    after: Size = 0


@operation(
    "compute.fetch",
    rest="GET /compute/sessions/{session_id}/values",
    reply=RanActions,
    permission=USER,
    downloads=True,
)
class FetchValues(Message):
    """Download values as one tensor file, in this order, if you may read every source of each.

    Waits until the first ``after`` actions of the session have run. Without values it only waits: a barrier.
    ``failures`` of the answer are those of all actions before ``after``.
    """

    session_id: Id
    values: Values = []
    after: Size = 0


@operation(
    "compute.keep",
    rest="POST /compute/sessions/{session_id}/objects",
    reply=ObjectView,
    permission=USER,
    status=201,
)
class KeepValues(Message):
    """Make values a stored object: one without ``names`` is a tensor; several are a mapping (``names``) or a list.

    The object keeps the values' sources: it is readable for whoever may read all of them, and on request.
    ``note`` goes into the audit log.
    """

    session_id: Id
    values: Values
    names: Annotated[list[Name], msgspec.Meta(max_length=4096)] | None = None
    after: Size = 0
    description: Description = ""
    tags: Tags = []
    searchable: bool = False
    note: Note = ""
