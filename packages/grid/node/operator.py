"""The owner of a node without accounts is whoever holds its home: messages signed with its own key are theirs.

So a Worker or a key host has no accounts and no passwords that anybody could guess, and still obeys
``grid worker approve --home …`` on the machine that it runs on.
"""

from __future__ import annotations

from grid.node.principal import Principal
from grid.node.service import Service
from syft_ext.messages import FLAGS

__all__ = ["OperatorService"]


class OperatorService(Service):
    """Knows the node's own key as its owner, with all permissions."""

    def principal_of_key(self, verify_key: str) -> Principal | None:
        if verify_key != self.node.identity.verify_key:
            return None
        return Principal("user", self.node.id, verify_key, "operator", "Owner", frozenset(FLAGS))
