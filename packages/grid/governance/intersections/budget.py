"""A budget of ids for each user, and for each other Domain, against each table.

Whoever learns how many of their ids are in a table learns, id by id, who is in it. What bounds that is how many
they may try: made-up ids and made-up Domains are tried like others. A user cannot spread over Domains, nor a
Domain over users, for both are charged.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from grid.governance.intersections.tables import IntersectionBudget
from grid.spending.keeping import check_newest, note
from grid.storage.sql.dialect import insert, table_of
from syft_ext.errors import Forbidden

__all__ = ["EVERYBODY", "MARKS", "spend_ids", "spent_of"]

MARKS = "intersection"
"""The kind of a budget's marks in the record of what was spent."""
EVERYBODY = "*"


def spend_ids(
    session: Session, *, user_id: str, peer: str, members: Collection[str], ids: int, most: int
) -> None:
    """Take ``ids`` from what this user, and the node ``peer``, may test against a table; before anything runs.

    One conditional update for each: two calls that race for the last of it cannot both have it.
    Raises :class:`Forbidden`, and the transaction must not commit, where there is less left.
    """
    unknown = session.get(IntersectionBudget, (EVERYBODY, EVERYBODY))
    room = most - ids - (0 if unknown is None else unknown.spent)
    table = table_of(IntersectionBudget)
    for who in (f"node:{peer}", f"user:{user_id}"):
        for member in sorted(members):
            fresh = insert(session, table).values(who=who, member=member, spent=0)
            session.execute(fresh.on_conflict_do_nothing())
            taken = session.scalar(
                update(IntersectionBudget)
                .where(
                    IntersectionBudget.who == who,
                    IntersectionBudget.member == member,
                    IntersectionBudget.spent <= room,
                )
                .values(spent=IntersectionBudget.spent + ids)
                .returning(IntersectionBudget.spent)
                .execution_options(synchronize_session=False)
            )
            if taken is None:
                raise Forbidden(
                    "too many ids were tested against this table: "
                    + ("you" if who.startswith("user:") else "the other Domain")
                    + " may not test so many more",
                    ids=ids,
                    most=most,
                )
            check_newest(session)
            note(session, MARKS, f"{who} {member}", {"spent": taken})


def spent_of(session: Session, members: Collection[str]) -> dict[str, int]:
    """Who tested how many ids against a table, most first."""
    rows = session.execute(
        select(IntersectionBudget.who, IntersectionBudget.spent).where(
            IntersectionBudget.member.in_((EVERYBODY, *members))
        )
    )
    found: dict[str, int] = {}
    for row in rows:
        found[row.who] = max(found.get(row.who, 0), row.spent)
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
