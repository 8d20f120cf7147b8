"""The operations on quotas: everybody sees their own, reviewers see others', who edits settings sets them."""

from __future__ import annotations

from typing import cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from grid.accounts.tables import Role, User
from grid.node import Context, Service, handles
from grid.quotas.limits import EVERYBODY, limits_of, subject_of
from grid.quotas.tables import UNLIMITED, QuotaRow
from grid.quotas.usage import usage_of
from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages import quotas as q

__all__ = ["QuotaService"]


class QuotaService(Service):
    """What is set acts on the very next operation; what is kept already stays, also beyond a lower quota."""

    @handles(q.MyQuotas)
    def mine(self, ctx: Context, message: q.MyQuotas) -> q.QuotaView:
        return self._view(ctx.principal.id)

    @handles(q.QuotasOf)
    def of(self, ctx: Context, message: q.QuotasOf) -> q.QuotaView:
        with self.node.db.read() as session:
            _user(session, message.user_id)
        return self._view(message.user_id)

    def _view(self, user_id: str) -> q.QuotaView:
        with self.node.db.reading() as connection:
            used, limits = usage_of(connection, user_id), limits_of(connection, user_id)
        uses = [
            q.QuotaUse(name=cast("q.QuotaName", name), used=used[name], limit=limit, set_for=origin)
            for name, (limit, origin) in limits.items()
            if name in used
        ]
        return q.QuotaView(user_id=user_id, quotas=uses)

    @handles(q.ListQuotas)
    def list(self, ctx: Context, message: q.ListQuotas) -> q.QuotaSettings:
        return self._all()

    @handles(q.SetQuotas)
    def set(self, ctx: Context, message: q.SetQuotas) -> q.QuotaSettings:
        if message.user_id is not None and message.role is not None:
            raise BadRequest("quotas are set for a user, for a role, or for everybody", field="role")
        if not message.values and not message.reset:
            raise BadRequest("there is nothing to set", field="values")
        both = sorted(set(message.values) & set(message.reset))
        if both:
            raise BadRequest(f"{both[0]} is both set and reset", field="reset")
        with self.node.db.transaction() as session:
            role_id = None if message.role is None else _role(session, message.role)
            if message.user_id is not None:
                _user(session, message.user_id)
            subject = subject_of(user_id=message.user_id, role_id=role_id)
            session.execute(
                delete(QuotaRow).where(
                    QuotaRow.subject == subject, QuotaRow.name.in_([*message.values, *message.reset])
                )
            )
            session.add_all(
                QuotaRow(
                    subject=subject,
                    name=name,
                    value=UNLIMITED if value is None else value,
                    user_id=message.user_id,
                    role_id=role_id,
                )
                for name, value in message.values.items()
            )
        said = [f"{name}={'none' if value is None else value}" for name, value in message.values.items()]
        said += [f"{name}=reset" for name in message.reset]
        ctx.note(subject=subject, quotas=",".join(said))
        return self._all()

    def _all(self) -> q.QuotaSettings:
        query = (
            select(QuotaRow, User.email, Role.name)
            .outerjoin(User, User.id == QuotaRow.user_id)
            .outerjoin(Role, Role.id == QuotaRow.role_id)
            .order_by(QuotaRow.subject, QuotaRow.name)
        )
        with self.node.db.read() as session:
            rows = session.execute(query).all()
        settings = [
            q.QuotaSetting(
                name=cast("q.QuotaName", row.name),
                limit=None if row.value == UNLIMITED else row.value,
                set_for="everybody" if row.subject == EVERYBODY else "role" if row.role_id else "user",
                user_id=row.user_id or "",
                email=email or "",
                role=role or "",
            )
            for row, email, role in rows
        ]
        return q.QuotaSettings(quotas=settings)


def _user(session: Session, user_id: str) -> None:
    if session.get(User, user_id) is None:
        raise NotFound("there is no such user", id=user_id)


def _role(session: Session, name: str) -> int:
    found = session.scalar(select(Role.id).where(Role.name == name))
    if found is None:
        raise NotFound(f"there is no role {name[:80]!r}")
    return found
