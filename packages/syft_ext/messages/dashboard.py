"""How much there is of what, for whoever runs a node (PyGrid 0.5: GET /dashboard)."""

from __future__ import annotations

from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import flag

__all__ = ["Dashboard", "GetDashboard"]


class Dashboard(Reply):
    """Counters of a node. What only a Domain has is None elsewhere.

    Attributes:
        users: accounts, disabled ones included.
        users_by_role: by the role's name; roles that nobody has are there with 0.
        sessions: logins that have not expired.
        associations: by state, incoming and outgoing ones together.
        objects: stored objects, those of datasets included.
        trainings: by state. requests: by state. environments: by state.
    """

    users: int
    disabled_users: int
    users_by_role: dict[str, int]
    roles: int
    groups: int
    sessions: int
    associations: dict[str, int]
    datasets: int | None = None
    objects: int | None = None
    trainings: dict[str, int] | None = None
    requests: dict[str, int] | None = None
    environments: dict[str, int] | None = None


@operation("dashboard.get", rest="GET /dashboard", reply=Dashboard, permission=flag("can_triage_requests"))
class GetDashboard(Message):
    """The counters of this node."""
