"""Who may call an operation. Every operation declares one of these; a test walks the map to see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ANYONE", "FLAGS", "NODE", "SIGNED", "USER", "WORKER", "Permission", "flag", "node_or"]

Kind = Literal["anyone", "signed", "user", "flag", "worker", "node", "node_or_flag"]

#: The permission flags of a role: those of PyGrid 0.5, and who may host trainings that nobody reviews.
FLAGS = (
    "can_triage_requests",
    "can_edit_settings",
    "can_create_users",
    "can_create_groups",
    "can_edit_roles",
    "can_manage_infrastructure",
    "can_upload_data",
    "can_host_trainings",
)


@dataclass(frozen=True, slots=True)
class Permission:
    """``kind`` says what sort of identity is needed; ``flag`` names the role flag when one is needed."""

    kind: Kind
    flag: str = ""

    def __str__(self) -> str:
        return f"node or {self.flag}" if self.kind == "node_or_flag" else self.flag or self.kind


ANYONE = Permission("anyone")  #: no identity needed: said on purpose, for what must be public
SIGNED = Permission("signed")  #: any key that signed the message (message plane only)
USER = Permission("user")  #: any user who is logged in
WORKER = Permission("worker")  #: a worker that authenticated for a training
NODE = Permission("node")  #: a node that this node is associated with


def flag(name: str) -> Permission:
    """A logged-in user whose role carries the flag ``name``."""
    if name not in FLAGS:
        raise ValueError(f"no such permission flag: {name}")
    return Permission("flag", name)


def node_or(name: str) -> Permission:
    """A node that this node is associated with, or a logged-in user whose role carries the flag ``name``."""
    return Permission("node_or_flag", flag(name).flag)
