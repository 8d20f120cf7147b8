"""Compute environments of a Domain (PyGrid 0.5: ``/data-centric/workers``).

An environment is a sandboxed process, or a machine, with limits on CPU, memory and time and without a network,
in which one user's sessions run (``compute.open`` with its id). Who may manage infrastructure makes them for
users; a user sees, uses and may destroy their own.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Id, Limit, Offset
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER, flag

__all__ = [
    "CreateEnvironment",
    "DestroyEnvironment",
    "EnvironmentEventView",
    "EnvironmentList",
    "EnvironmentView",
    "GetEnvironment",
    "InstanceType",
    "InstanceTypes",
    "ListEnvironments",
    "ListInstanceTypes",
]

_Text = Annotated[str, msgspec.Meta(max_length=254, pattern=r"^[^\x00]*$")]


class InstanceType(msgspec.Struct, kw_only=True):
    """What an environment of this type gets.

    Attributes:
        provider: who makes it: "local" is a process on the Domain's own machine.
        threads: CPU threads. memory: bytes that all values in it may take.
        cpu_seconds: of CPU time, over its whole life, its start (some seconds) included.
        seconds: how long it may live.
    """

    name: str
    provider: str
    threads: int
    memory: int
    cpu_seconds: int
    seconds: float


class InstanceTypes(Reply):
    """The smallest first, as the owner configured them."""

    types: list[InstanceType]


class EnvironmentEventView(msgspec.Struct, kw_only=True):
    """One step: what the environment became, why, and by whom (a user id; "" is the node itself)."""

    at: float
    state: str
    reason: str
    actor: str


class EnvironmentView(Reply):
    """An environment.

    Attributes:
        user_id, user: whose it is (id and e-mail address); empty once that user was deleted.
        state: creating, running, failed (it never ran), lost (it ended by itself), destroying, destroyed.
        reason: why it is in that state, when there is something to say.
        used_at: when something last ran in it. ended_at: when it ceased to run.
        threads, memory, cpu_seconds, seconds: its limits.
        cpu_used: seconds. memory_used: bytes that are resident. sessions: open ones. These three are None when
            it does not run, and in lists.
        history: from its beginning; empty in lists.
    """

    id: str
    user_id: str
    user: str
    created_by: str
    provider: str
    instance_type: str
    state: str
    reason: str
    created_at: float
    used_at: float
    ended_at: float | None
    threads: int
    memory: int
    cpu_seconds: int
    seconds: float
    cpu_used: float | None = None
    memory_used: int | None = None
    sessions: int | None = None
    history: list[EnvironmentEventView] = []


class EnvironmentList(Reply):
    """Newest first."""

    environments: list[EnvironmentView]


@operation("environments.instances", rest="GET /environments/instances", reply=InstanceTypes, permission=USER)
class ListInstanceTypes(Message):
    """The instance types that environments are made of here."""


@operation(
    "environments.create",
    rest="POST /environments",
    reply=EnvironmentView,
    permission=flag("can_manage_infrastructure"),
    status=201,
)
class CreateEnvironment(Message):
    """Make an environment for a user. The answer says "creating": ask for it again to see it running.

    Attributes:
        instance_type: "" for the first of the catalogue.
        user: id or e-mail address of whoever will use it; "" for yourself.
    """

    instance_type: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^\x00]*$")] = ""
    user: _Text = ""


@operation("environments.list", rest="GET /environments", reply=EnvironmentList, permission=USER)
class ListEnvironments(Message):
    """Your environments that are there now.

    Attributes:
        include_all: those of all users (for who manages infrastructure).
        include_failed: also those that failed or were lost. include_destroyed: also those that were destroyed.
    """

    include_all: bool = False
    include_failed: bool = False
    include_destroyed: bool = False
    limit: Limit = 100
    offset: Offset = 0


@operation(
    "environments.get", rest="GET /environments/{environment_id}", reply=EnvironmentView, permission=USER
)
class GetEnvironment(Message):
    """One environment of yours, with its use and history; who manages infrastructure sees everybody's.

    ``wait``: seconds that the answer may take while it is being created or destroyed.
    """

    environment_id: Id
    wait: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0


@operation(
    "environments.destroy",
    rest="DELETE /environments/{environment_id}",
    reply=EnvironmentView,
    permission=USER,
    status=200,
)
class DestroyEnvironment(Message):
    """End an environment of yours, with all that is in it; who manages infrastructure ends anybody's."""

    environment_id: Id
