"""The counters of a node: one snapshot, a handful of indexed counts."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from grid.accounts.tables import Group, Role, User, UserSession
from grid.catalogue.tables import DatasetRow
from grid.environments.tables import EnvironmentRow
from grid.federated.state.tables import TrainingProcess
from grid.governance.decisions.tables import RequestRow
from grid.network.tables import Association
from grid.node import Context, Service, handles
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.base import Base
from syft_ext.messages.dashboard import Dashboard, GetDashboard

__all__ = ["DashboardService"]


class DashboardService(Service):
    """Counts what is in the database at the moment it is asked; the counters are those of its Domain."""

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
            if self.node.kind == "domain":
                counters.datasets = _count(session, DatasetRow)
                counters.objects = _count(session, ObjectRow)
                counters.trainings = _by(session, TrainingProcess.status)
                counters.requests = _by(session, RequestRow.state)
                counters.environments = _by(session, EnvironmentRow.state)
        return counters


def _count(session: Session, table: type[Base], *where: object) -> int:
    return int(session.scalar(select(func.count()).select_from(table).where(*where)) or 0)  # type: ignore[arg-type]


def _by(session: Session, state: InstrumentedAttribute[str]) -> dict[str, int]:
    """How many rows there are in each state."""
    return dict(session.execute(select(state, func.count()).group_by(state).order_by(state)).all())
