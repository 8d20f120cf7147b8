"""What is done where the node lives: the first owner, and the owner's lost second factor."""

from __future__ import annotations

from sqlalchemy import select

from grid.accounts.service import SetupService
from grid.accounts.tables import User
from grid.accounts.totp import forget
from grid.accounts.users import end_sessions, normalize_email
from grid.node import Context, Node
from grid.node.principal import ANONYMOUS
from syft_ext.errors import Conflict, NotFound
from syft_ext.messages.accounts import CreateOwner

__all__ = ["bootstrap_owner", "forget_totp"]


def bootstrap_owner(
    node: Node, email: str, password: str, *, node_name: str = "", allow_user_signup: bool = False
) -> bool:
    """Make the first owner of ``node``; False if it has one already (whoever that is: nothing changes).

    Raises :class:`~syft_ext.errors.BadRequest` for an e-mail or a password that cannot be accepted.
    """
    setup = node.service(SetupService)
    assert isinstance(setup, SetupService)
    message = CreateOwner(
        email=email, password=password, node_name=node_name, allow_user_signup=allow_user_signup
    )
    try:
        setup.create_owner(Context(ANONYMOUS), message)
    except Conflict:
        return False
    return True


def forget_totp(node: Node, email: str) -> None:
    """Forget the one-time codes of a user, the owner too, and end their sessions. Raises :class:`NotFound`."""
    with node.db.transaction() as session:
        user = session.scalars(select(User).where(User.email == normalize_email(email))).one_or_none()
        if user is None:
            raise NotFound("there is no such user")
        forget(session, user.id)
        end_sessions(session, user.id)
