"""Who calls, as the node established it from a verified key or token. Never from a message's body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from syft_ext.errors import Forbidden, Unauthenticated
from syft_ext.messages import Permission

__all__ = ["ANONYMOUS", "Principal"]


@dataclass(frozen=True, slots=True)
class Principal:
    """An identity and what it may do.

    Attributes:
        kind: anonymous (nothing verified), key (a signature, and no more), user, worker, or node.
        id: user id, worker id or node id; empty for anonymous and key.
        verify_key: the key that signed the message, or that the identity is known by; hex.
        name: e-mail of a user, name of a node: for logs and pages.
        role: name of a user's role.
        flags: the permission flags that a user has now, by their role and their groups.
        claims: what the token said beyond that (e.g. the training a worker authenticated for).
        hint: what a user who has fewer flags than their role says should do about it; it goes into refusals.
    """

    kind: Literal["anonymous", "key", "user", "worker", "node"]
    id: str = ""
    verify_key: str = ""
    name: str = ""
    role: str = ""
    flags: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)
    hint: str = ""

    def has(self, permission: Permission) -> bool:
        """Whether the caller may use such operations at all; which objects they may touch is decided elsewhere."""
        if permission.kind == "anyone":
            return True
        if permission.kind == "signed":
            return bool(self.verify_key)
        if permission.kind == "flag":
            return self.kind == "user" and permission.flag in self.flags
        if permission.kind == "node_or_flag":
            return self.kind == "node" or (self.kind == "user" and permission.flag in self.flags)
        return self.kind == permission.kind

    def require(self, permission: Permission) -> None:
        """Raise :class:`Unauthenticated` or :class:`Forbidden` unless this identity has ``permission``."""
        if self.has(permission):
            return
        if self.kind in ("anonymous", "key"):
            raise Unauthenticated(f"this needs {_needs(permission)}")
        raise Forbidden(f"this needs {_needs(permission)}{self.hint and f' ({self.hint})'}")


def _needs(permission: Permission) -> str:
    return {
        "signed": "a signed message",
        "user": "a logged-in user",
        "worker": "a worker's token (authenticate for the training first)",
        "node": "an associated node",
        "flag": f"the permission {permission.flag}",
        "node_or_flag": f"an associated node, or the permission {permission.flag}",
    }[permission.kind]


ANONYMOUS = Principal("anonymous")
