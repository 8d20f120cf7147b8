"""The counters of a node: one snapshot, a handful of indexed counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from grid.accounts.tables import Group, Role, User, UserSession
from grid.catalogue.tables import DatasetRow
from grid.environments.tables import EnvironmentRow
from grid.federated.state.tables import TrainingProcess
from grid.governance.decisions.tables import RequestRow
from grid.network.tables import Association
from grid.node import Context, Service, ServiceNode, handles
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.base import Base
from syft_ext.messages.dashboard import Dashboard, GetDashboard

__all__ = ["DashboardService", "Section", "data_section"]

Section = Callable[[Session], dict[str, Any]]


class DashboardService(Service):
    """Counts what every node with accounts has, and what ``sections`` count on top of it.

    Args:
        sections: each takes an open session, and returns fields of the :class:`Dashboard`.
    """

    def __init__(self, node: ServiceNode, *, sections: Sequence[Section] = ()) -> None:
        super().__init__(node)
        self._sections = sections

    @handles(GetDashboard)
    def get(self, ctx: Context, message: GetDashboard) -> Dashboard:
        now = self.node.clock.now()
        with self.node.db.read() as session:
            users = dict(
                session.execute(
                    select(Role.name, func.count(User.id))
                    .outerjoin(User, User.role_id == Role.id)
                    .group_by(Role.id, Role.name)
                    .order_by(Role.id)
                ).all()
            )
            counters = Dashboard(
                users=sum(users.values()),
                disabled_users=_count(session, User, User.disabled_at.is_not(None)),
                users_by_role=users,
                roles=len(users),
                groups=_count(session, Group),
                sessions=_count(session, UserSession, UserSession.expires_at > now),
                associations=_by(session, Association.status),
            )
            for section in self._sections:
                counters = msgspec.structs.replace(counters, **section(session))
        return counters


def data_section(session: Session) -> dict[str, Any]:
    """Data, trainings, requests and environments: what a Domain has."""
    return {
        "datasets": _count(session, DatasetRow),
        "objects": _count(session, ObjectRow),
        "trainings": _by(session, TrainingProcess.status),
        "requests": _by(session, RequestRow.state),
        "environments": _by(session, EnvironmentRow.state),
    }


def _count(session: Session, table: type[Base], *where: object) -> int:
    return int(session.scalar(select(func.count()).select_from(table).where(*where)) or 0)  # type: ignore[arg-type]


def _by(session: Session, state: InstrumentedAttribute[str]) -> dict[str, int]:
    """How many rows there are in each state."""
    return dict(session.execute(select(state, func.count()).group_by(state).order_by(state)).all())
