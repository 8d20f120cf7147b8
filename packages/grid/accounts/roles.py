"""Roles: named sets of permission flags; each user has one. Who may change them: :mod:`grid.accounts.powers`."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.accounts.powers import OWNER, flags_of, require_covers
from grid.accounts.tables import Role, User
from grid.node import Principal
from grid.storage.sql.database import Database
from syft_ext.errors import Conflict, Forbidden, NotFound
from syft_ext.messages import FLAGS
from syft_ext.messages.accounts import RoleView

__all__ = ["USER_ROLE", "RoleManager", "role_named"]

USER_ROLE = "User"


def role_named(session: Session, name: str) -> Role:
    """The role of that name, letter by letter. Raises :class:`NotFound`."""
    role = session.scalars(select(Role).where(Role.name == name)).one_or_none()
    if role is None:
        raise NotFound(f"there is no role {name[:80]!r}")
    return role


def view_of(role: Role) -> RoleView:
    """The role as it is shown, flag by flag."""
    flags = {name: getattr(role, name) for name in FLAGS}
    return RoleView(id=role.id, name=role.name, seed=role.seed, **flags)


class RoleManager:
    """Roles in the database. What an actor may change of them is decided here, not by who calls."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[RoleView]:
        """All roles in the order in which they were made, the seed roles first."""
        with self._db.read() as session:
            return [view_of(role) for role in session.scalars(select(Role).order_by(Role.id))]

    def get(self, role_id: int) -> RoleView:
        """The role. Raises :class:`NotFound`."""
        with self._db.read() as session:
            return view_of(_found(session, role_id))

    def create(self, actor: Principal, name: str, flags: dict[str, bool]) -> RoleView:
        """Raises :class:`Forbidden` for a flag that the actor lacks, :class:`Conflict` if the name is taken."""
        require_covers(actor, frozenset(flag for flag, on in flags.items() if on), "the role")
        role = Role(name=name, seed=False, **flags)
        try:
            with self._db.transaction() as session:
                session.add(role)
        except IntegrityError as error:
            raise Conflict(f"there is a role {name!r} already") from error
        return view_of(role)

    def update(
        self, actor: Principal, role_id: int, name: str | None, flags: dict[str, bool | None]
    ) -> RoleView:
        """Change what is not None (rules: :class:`~syft_ext.messages.accounts.UpdateRole`)."""
        try:
            with self._db.transaction() as session:
                role = _found(session, role_id, lock=True)
                if role.name == OWNER or role.name == actor.role:
                    raise Forbidden("nobody edits their own role or the owner's")
                require_covers(actor, flags_of(role), "the role")
                if name is not None and name != role.name:
                    if role.seed:
                        raise Conflict("a seed role keeps its name")
                    role.name = name
                for flag, value in flags.items():
                    if value is not None:
                        setattr(role, flag, value)
                require_covers(actor, flags_of(role), "the role")
        except IntegrityError as error:
            raise Conflict(f"there is a role {name!r} already") from error
        return view_of(role)

    def delete(self, actor: Principal, role_id: int) -> None:
        """Raises :class:`Conflict` for a seed role, and while somebody has the role."""
        try:
            with self._db.transaction() as session:
                role = _found(session, role_id, lock=True)
                if role.seed:
                    raise Conflict("seed roles stay")
                require_covers(actor, flags_of(role), "the role")
                if session.scalars(select(User.id).where(User.role_id == role_id).limit(1)).first():
                    raise Conflict("the role is in use")
                session.delete(role)
        except IntegrityError as error:  # somebody got the role just now
            raise Conflict("the role is in use") from error


def _found(session: Session, role_id: int, *, lock: bool = False) -> Role:
    role = session.get(Role, role_id, with_for_update=True if lock else None)
    if role is None:
        raise NotFound("there is no such role")
    return role
