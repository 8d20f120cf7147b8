"""What somebody may do here, and the one rule against escalation.

A user's flags are those of their role and those of the groups they are in, looked up at every call. The
rule: nobody gives, takes or touches a power that they lack, and nobody changes their own.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.accounts.tables import Group, GroupMember, NodeSetup, Role, Totp, User
from grid.node import Principal
from syft_ext.errors import Forbidden
from syft_ext.messages import FLAGS

__all__ = ["OWNER", "acting_flags", "flags_of", "flags_of_users", "require_covers", "require_touchable"]

OWNER = "Owner"


def flags_of(row: Role | Group) -> frozenset[str]:
    """The flags that a role or a group carries."""
    return frozenset(name for name in FLAGS if getattr(row, name))


def flags_of_users(session: Session, user_ids: Collection[str]) -> dict[str, frozenset[str]]:
    """The flags of each of these users, by their role and their groups. Who does not exist is left out."""
    roles = select(User.id, Role).join(Role, Role.id == User.role_id).where(User.id.in_(user_ids))
    flags = {user_id: flags_of(role) for user_id, role in session.execute(roles)}
    groups = select(GroupMember.user_id, Group).join(Group, Group.id == GroupMember.group_id)
    for user_id, group in session.execute(groups.where(GroupMember.user_id.in_(user_ids))):
        flags[user_id] |= flags_of(group)
    return flags


def acting_flags(session: Session, user_id: str) -> frozenset[str]:
    """The flags that this user could act with now: as at a call (:mod:`grid.accounts.effective_permissions`),
    none while the node demands one-time codes and they use none."""
    confirmed = select(Totp.user_id).where(Totp.user_id == user_id, Totp.confirmed_at.is_not(None))
    if session.scalar(select(NodeSetup.require_totp)) and session.scalar(confirmed) is None:
        return frozenset()
    return flags_of_users(session, [user_id]).get(user_id, frozenset())


def require_covers(actor: Principal, flags: frozenset[str], what: str) -> None:
    """Raise :class:`Forbidden` unless the actor has all of ``flags``."""
    lacking = sorted(flags - actor.flags)
    if lacking:
        raise Forbidden(f"{what} carries permissions that you lack: {', '.join(lacking)}", lacking=lacking)


def require_touchable(session: Session, actor: Principal, user_ids: Collection[str]) -> None:
    """Raise :class:`Forbidden` unless the actor may change what each of these users may do."""
    if not user_ids:
        return
    owner = select(User.id).join(Role, Role.id == User.role_id).where(Role.name == OWNER)
    if session.scalars(owner.where(User.id.in_(user_ids))).first():
        raise Forbidden("nobody edits the owner's account but the owner, by their own password")
    for flags in flags_of_users(session, user_ids).values():
        require_covers(actor, flags, "the user, by their role and groups,")
