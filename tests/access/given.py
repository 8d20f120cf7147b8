"""Two objects of one owner, and grants on them: what small tests of this room begin with."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from grid.access.grants import give
from grid.access.tables import Grant

NOW = 1000.0
OWNER, USER, OTHER = "a" * 32, "b" * 32, "c" * 32
FIRST, SECOND = "1" * 32, "2" * 32


def granted(session: Session, object_id: str = FIRST, user_id: str = USER, **conditions: Any) -> Grant:
    conditions = {"expires_at": None, "uses": None, "max_output_bytes": None, **conditions}
    grant = give(
        session, scope="read", user_id=user_id, object_id=object_id, giver=OWNER, now=NOW, **conditions
    )
    session.flush()
    return grant
