"""What kind of node one is, as far as the platform must know: the facts that its rooms ask for.

Which kinds there are, and what each is made of, is the apps' business (``apps/kinds.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["NodeKind", "title_of"]

_NAME = re.compile(r"[a-z][a-z_]{0,15}")


def title_of(kind: str) -> str:
    """The name of a kind as people write it: Domain, Key host."""
    return kind.replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKind:
    """A kind of node.

    Attributes:
        name: how nodes of this kind call it to one another; a-z and _, at most 16.
        has_owner: people have accounts there, and the first of them is its owner.
        asks: the kind of node that it asks to associate; empty when it asks none.
        accepts: the kinds that may ask it.
        presents: of those, the kind that its users see, search and send messages to through it. It must be
            reachable; the others may join without an address.
        participants: of those, the kinds that take part in trainings here.
        needs_address: whether it is no use to the node that it asks when it cannot be reached there.
    """

    name: str
    has_owner: bool = False
    asks: str = ""
    accepts: tuple[str, ...] = ()
    presents: str = ""
    participants: tuple[str, ...] = ()
    needs_address: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a kind of node")
        if self.presents and self.presents not in self.accepts:
            raise ValueError(f"a {self.name} presents {self.presents} nodes, which it does not accept")
        if not set(self.participants) <= set(self.accepts):
            raise ValueError(f"nodes take part in trainings at a {self.name} that it does not accept")

    @property
    def title(self) -> str:
        """Its name as people write it."""
        return title_of(self.name)

    @property
    def command(self) -> str:
        """What follows ``grid`` on the command line."""
        return self.name.replace("_", "-")

    def __str__(self) -> str:
        return self.name
