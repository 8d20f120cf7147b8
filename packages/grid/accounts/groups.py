"""Groups of users: to find people by, to share with (``group:<id>``), and to give permission flags to.

A group without flags is a list of names. Who belongs to one with flags, and which, is under the rule of
:mod:`grid.accounts.powers`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, Select, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.accounts.powers import OWNER, flags_of, require_covers, require_touchable
from grid.accounts.tables import Group, GroupMember, User
from grid.node import Principal
from grid.storage.sql.database import Database
from syft_ext.errors import Conflict, Forbidden, NotFound
from syft_ext.ids import new_id
from syft_ext.messages import FLAGS
from syft_ext.messages.accounts import GroupView

__all__ = ["GroupManager", "set_groups"]


class GroupManager:
    """Groups in the database. What an actor may change of them is decided here, not by who calls."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[GroupView]:
        """All groups by name, each with its members."""
        with self._db.read() as session:
            members: dict[str, list[str]] = {}
            for row in session.scalars(select(GroupMember).order_by(GroupMember.user_id)):
                members.setdefault(row.group_id, []).append(row.user_id)
            groups = session.scalars(select(Group).order_by(Group.name))
            return [_view_with(group, members.get(group.id, [])) for group in groups]

    def get(self, group_id: str) -> GroupView:
        """The group with its members. Raises :class:`NotFound`."""
        with self._db.read() as session:
            return _view(session, _found(session, group_id))

    def create(self, actor: Principal, name: str, users: list[str], flags: Iterable[str]) -> GroupView:
        """Make a group of these users (ids). Raises :class:`Conflict` if there is one of that name."""
        group = Group(id=new_id(), name=name, **dict.fromkeys(FLAGS, False))
        try:
            with self._db.transaction() as session:
                session.add(group)
                session.flush()
                _change(session, actor, group, users=users, flags=frozenset(flags))
                return _view(session, group)
        except IntegrityError as error:
            raise Conflict(f"there is a group {name!r} already") from error

    def update(
        self,
        actor: Principal,
        group_id: str,
        name: str | None,
        users: list[str] | None,
        flags: Iterable[str] | None,
    ) -> GroupView:
        """Change what is not None (rules: :class:`~syft_ext.messages.accounts.UpdateGroup`)."""
        wanted = None if flags is None else frozenset(flags)

        def change(session: Session) -> GroupView:
            group = _found(session, group_id, lock=True)
            _change(session, actor, group, users=users, flags=wanted)
            if name is not None:
                group.name = name
                session.flush()
            return _view(session, group)

        try:
            return self._db.run(change)
        except IntegrityError as error:
            raise Conflict(f"there is a group {name!r} already, or a user was deleted just now") from error

    def delete(self, actor: Principal, group_id: str) -> None:
        """Delete it; its users stay, and lose what it permitted. Refused as :meth:`update` is."""
        with self._db.transaction() as session:
            group = _found(session, group_id, lock=True)
            _change(session, actor, group, users=None, flags=frozenset())
            session.delete(group)


def set_groups(session: Session, actor: Principal | None, user_id: str, names: list[str]) -> None:
    """Make ``user_id`` a member of exactly the groups with these names; ``actor`` covers what changes.

    Raises :class:`NotFound` for a group that is not there.
    """
    memberships = select(GroupMember.group_id).where(GroupMember.user_id == user_id)
    groups = session.scalars(_locked(Group.name.in_(names) | Group.id.in_(memberships))).all()
    # Asked again now that nobody else changes them; a group that was not theirs a moment ago came after us.
    held = set(session.scalars(memberships)) & {group.id for group in groups}
    unknown = sorted(set(names) - {group.name for group in groups})
    if unknown:
        raise NotFound(f"there is no group {unknown[0][:80]!r}")
    wanted = {group.id for group in groups if group.name in names}
    for group in groups:
        if actor is not None and (group.id in wanted) != (group.id in held):
            require_covers(actor, flags_of(group), "the group")
    session.execute(
        delete(GroupMember).where(GroupMember.user_id == user_id, GroupMember.group_id.in_(held - wanted))
    )
    session.add_all(GroupMember(group_id=group_id, user_id=user_id) for group_id in wanted - held)
    session.flush()


def _change(
    session: Session,
    actor: Principal,
    group: Group,
    *,
    users: list[str] | None,
    flags: frozenset[str] | None,
) -> None:
    """Set members and flags, if the actor has all the flags that the group carries, before and after."""
    before = flags_of(group)
    after = before if flags is None else flags
    held = _members(session, group.id)
    wanted = held if users is None else set(users)
    if before or after:
        require_covers(actor, before | after, "the group")
        require_touchable(session, actor, (held ^ wanted) - {actor.id})
        own = actor.id in held ^ wanted or (before != after and actor.id in held | wanted)
        if own and actor.role != OWNER:  # the owner has every power anyway
            raise Forbidden("nobody changes their own powers: somebody else must do this")
    for flag in FLAGS:
        setattr(group, flag, flag in after)
    if wanted != held:
        _set_members(session, group.id, held, wanted)
    session.flush()


def _set_members(session: Session, group_id: str, held: set[str], wanted: set[str]) -> None:
    known = set(session.scalars(select(User.id).where(User.id.in_(wanted))))
    if wanted - known:
        raise NotFound("there is no such user", users=sorted(wanted - known)[:10])
    gone = GroupMember.user_id.in_(held - wanted)
    session.execute(delete(GroupMember).where(GroupMember.group_id == group_id, gone))
    session.add_all(GroupMember(group_id=group_id, user_id=user_id) for user_id in wanted - held)


def _members(session: Session, group_id: str) -> set[str]:
    return set(session.scalars(select(GroupMember.user_id).where(GroupMember.group_id == group_id)))


def _locked(condition: ColumnElement[bool]) -> Select[Group]:
    """Groups whose flags nobody changes until this transaction ends; always in one order."""
    return select(Group).where(condition).order_by(Group.id).with_for_update()


def _found(session: Session, group_id: str, *, lock: bool = False) -> Group:
    group = session.get(Group, group_id, with_for_update=True if lock else None)
    if group is None:
        raise NotFound("there is no such group")
    return group


def _view(session: Session, group: Group) -> GroupView:
    return _view_with(group, sorted(_members(session, group.id)))


def _view_with(group: Group, users: Collection[str]) -> GroupView:
    carried = flags_of(group)
    flags = [flag for flag in FLAGS if flag in carried]
    return GroupView(id=group.id, name=group.name, users=list(users), flags=flags)
