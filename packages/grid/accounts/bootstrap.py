"""The first owner from the environment, or from ``grid domain setup``."""

from __future__ import annotations

from grid.accounts.service import SetupService
from grid.node import Context, Node
from grid.node.principal import ANONYMOUS
from syft_ext.errors import Conflict
from syft_ext.messages.accounts import CreateOwner

__all__ = ["bootstrap_owner"]


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
