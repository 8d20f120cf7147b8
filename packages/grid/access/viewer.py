"""Who is looking: what the lists of finders and readers are compared with.

- A list holds user ids, ``group:`` + group id, or ``*`` (every logged-in user; for finding, associated
  Networks too).
- Who puts an object or a dataset there may change it; so may a *manager*, whose role carries
  ``can_edit_settings``. A manager finds and describes everything, and reads what its list lets them read.
- What one may neither find nor read does not exist for one (404, never 403): ids tell nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.accounts.tables import GroupMember
from grid.node import Principal

__all__ = ["EVERYBODY", "GROUP", "MANAGER_FLAG", "NETWORK", "Viewer", "viewer_of"]

EVERYBODY = "*"
GROUP = "group:"  # before the id of a group whose members are meant
MANAGER_FLAG = "can_edit_settings"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Attributes:
    user_id: empty for a Network.
    subjects: the members of lists that mean this viewer.
    manager: sees and changes everything.
    """

    user_id: str
    subjects: frozenset[str]
    manager: bool = False

    @property
    def is_network(self) -> bool:
        """Whether it is an associated Network, which only finds."""
        return not self.user_id

    def owns(self, owner_id: str | None) -> bool:
        """Whether the viewer is that user; never for a Network, nor for what has no owner (any more)."""
        return bool(self.user_id) and self.user_id == owner_id

    def may_change(self, owner_id: str | None) -> bool:
        """Whether the viewer may change what that user put there: its owner and managers may."""
        return self.manager or self.owns(owner_id)


#: An associated Network: sees what everybody may find.
NETWORK = Viewer("", frozenset({EVERYBODY}))


def viewer_of(session: Session, principal: Principal) -> Viewer:
    """The viewer behind a user's principal, with the groups that they are in now."""
    groups = session.scalars(select(GroupMember.group_id).where(GroupMember.user_id == principal.id))
    subjects = {EVERYBODY, principal.id, *(f"{GROUP}{group}" for group in groups)}
    return Viewer(principal.id, frozenset(subjects), MANAGER_FLAG in principal.flags)
