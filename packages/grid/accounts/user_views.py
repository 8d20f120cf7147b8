"""Users as others see them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.accounts.powers import flags_of_users
from grid.accounts.tables import Group, GroupMember, Role, Totp, User, UserKey
from syft_ext.messages import FLAGS
from syft_ext.messages.accounts import UserView

__all__ = ["user_views"]


def user_views(session: Session, users: list[User]) -> list[UserView]:
    """The views of a page of users, in a few queries for the whole page."""
    ids = [user.id for user in users]
    roles = {role.id: role.name for role in session.scalars(select(Role))}
    flags = flags_of_users(session, ids)
    groups: dict[str, list[str]] = {}
    member = select(GroupMember.user_id, Group.name).join(Group).where(GroupMember.user_id.in_(ids))
    for user_id, name in session.execute(member.order_by(Group.name)):
        groups.setdefault(user_id, []).append(name)
    keys: dict[str, list[str]] = {}
    for key in session.scalars(select(UserKey).where(UserKey.user_id.in_(ids)).order_by(UserKey.used_at)):
        keys.setdefault(key.user_id, []).append(key.verify_key)
    confirmed = select(Totp.user_id).where(Totp.user_id.in_(ids), Totp.confirmed_at.is_not(None))
    with_codes = set(session.scalars(confirmed))
    return [
        UserView(
            id=user.id,
            email=user.email,
            role=roles[user.role_id],
            flags=[flag for flag in FLAGS if flag in flags[user.id]],
            groups=groups.get(user.id, []),
            verify_keys=keys.get(user.id, []),
            disabled=user.disabled_at is not None,
            created_at=user.created_at,
            totp=user.id in with_codes,
        )
        for user in users
    ]
