"""Groups of users: to find people by, and to share objects and datasets with (``group:<id>``)."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.accounts.tables import Group, GroupMember, User
from grid.storage.database import Database
from syft_ext.errors import Conflict, NotFound
from syft_ext.ids import new_id
from syft_ext.messages.accounts import GroupView

__all__ = ["GroupManager"]


class GroupManager:
    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[GroupView]:
        with self._db.read() as session:
            members: dict[str, list[str]] = {}
            for row in session.scalars(select(GroupMember).order_by(GroupMember.user_id)):
                members.setdefault(row.group_id, []).append(row.user_id)
            groups = session.scalars(select(Group).order_by(Group.name))
            return [GroupView(id=g.id, name=g.name, users=members.get(g.id, [])) for g in groups]

    def get(self, group_id: str) -> GroupView:
        with self._db.read() as session:
            return _view(session, _found(session, group_id))

    def create(self, name: str, users: list[str]) -> GroupView:
        group = Group(id=new_id(), name=name)
        try:
            with self._db.transaction() as session:
                session.add(group)
                session.flush()
                _set_users(session, group.id, users)
                return _view(session, group)
        except IntegrityError as error:
            raise Conflict(f"there is a group {name!r} already") from error

    def update(self, group_id: str, name: str | None, users: list[str] | None) -> GroupView:
        try:
            with self._db.transaction() as session:
                group = _found(session, group_id)
                if name is not None:
                    group.name = name
                    session.flush()
                if users is not None:
                    _set_users(session, group_id, users)
                return _view(session, group)
        except IntegrityError as error:
            raise Conflict(f"there is a group {name!r} already") from error

    def delete(self, group_id: str) -> None:
        with self._db.transaction() as session:
            session.delete(_found(session, group_id))


def _found(session: Session, group_id: str) -> Group:
    group = session.get(Group, group_id)
    if group is None:
        raise NotFound("there is no such group")
    return group


def _set_users(session: Session, group_id: str, users: list[str]) -> None:
    wanted = set(users)
    known = set(session.scalars(select(User.id).where(User.id.in_(wanted))))
    if wanted - known:
        raise NotFound("there is no such user", users=sorted(wanted - known)[:10])
    session.execute(delete(GroupMember).where(GroupMember.group_id == group_id))
    session.add_all(GroupMember(group_id=group_id, user_id=user_id) for user_id in wanted)
    session.flush()


def _view(session: Session, group: Group) -> GroupView:
    members = select(GroupMember.user_id).where(GroupMember.group_id == group.id)
    return GroupView(
        id=group.id, name=group.name, users=list(session.scalars(members.order_by(GroupMember.user_id)))
    )
