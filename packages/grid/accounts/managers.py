"""What the services of people are made from."""

from __future__ import annotations

from dataclasses import dataclass

from grid.accounts.groups import GroupManager
from grid.accounts.keys import KeyManager
from grid.accounts.origins import Origins
from grid.accounts.passwords import Passwords
from grid.accounts.roles import RoleManager
from grid.accounts.sessions import SessionManager
from grid.accounts.settings import SettingsManager
from grid.accounts.throttle import Subject, Throttle
from grid.accounts.totp import TotpManager
from grid.accounts.users import UserManager
from grid.node import Context, Node, Service
from syft_ext.clock import wall_of
from syft_ext.errors import Forbidden
from syft_ext.messages import Message

__all__ = ["PASSWORDS", "AccountService", "Managers", "changed_fields"]

#: One for the process: it bounds the memory that hashing takes.
PASSWORDS = Passwords()


@dataclass(frozen=True, slots=True)
class Managers:
    """What the operations on people share; each of their services has its own, by :meth:`of`."""

    settings: SettingsManager
    users: UserManager
    roles: RoleManager
    groups: GroupManager
    sessions: SessionManager
    keys: KeyManager
    totp: TotpManager
    passwords: Passwords
    throttle: Throttle
    origins: Origins

    @classmethod
    def of(cls, node: Node) -> Managers:
        """They are stateless (the state is in the database), so each service may have its own."""
        totp = TotpManager(node.db, wall_of(node.clock), node.identity.derive_secret("one-time codes"))
        return cls(
            settings=SettingsManager(node.db, node.clock),
            users=UserManager(node.db, node.clock, PASSWORDS),
            roles=RoleManager(node.db),
            groups=GroupManager(node.db),
            sessions=SessionManager(node.db, node.clock, node.tokens, PASSWORDS, totp),
            keys=KeyManager(node.db, node.clock, node.id),
            totp=totp,
            passwords=PASSWORDS,
            throttle=Throttle(node.db, node.clock),
            origins=Origins(node.db, node.clock),
        )


class AccountService(Service):
    """What the services of people have in common: their managers, and asking for a password again."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._managers = Managers.of(node)

    def _confirm(self, ctx: Context, password: str) -> None:
        """A stolen token must not be enough to take an account over, nor to guess its password.

        Raises :class:`Forbidden` unless ``password`` is the caller's.
        """
        subjects = [
            Subject.confirmation(ctx.principal.id),
            Subject.remote(ctx.remote),
            Subject.teller(ctx.remote),
        ]
        self._managers.throttle.admit(*subjects)
        if self._managers.sessions.authenticate(ctx.principal.name, password) is None:
            raise Forbidden("that is not your password")
        self._managers.throttle.succeeded(*subjects)


def changed_fields(message: Message) -> str:
    """Which fields of an account, a role, a group or the settings a message changes, for the audit log."""
    names = [name for name in message.__struct_fields__ if not name.endswith("_id")]
    return ", ".join(name for name in names if getattr(message, name) is not None)
