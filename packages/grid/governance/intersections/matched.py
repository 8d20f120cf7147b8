"""Rows that an intersection left: who may use them, for what. Nobody reads them, and no list or grant lets
anybody.

They tell which rows of a table here are in another Domain's table, so that both tables are their sources. The
other one is not here: as with a source that is gone, nobody has a right to it, and nobody governs what came of it
(:mod:`grid.access.rule`). What is left are approved plans on shares, and of split networks, in
which that Domain takes part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from blake3 import blake3
from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.sources import add_sources, sources_of
from grid.catalogue.objects import within_quota
from grid.governance.decisions.machine import RequestState
from grid.governance.decisions.tables import IntersectionRequest, RequestRow
from grid.governance.intersections.tables import MatchedRows
from grid.storage.blobs.blob import Blob
from grid.storage.objects.references import record
from grid.storage.objects.rows import upsert
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import Forbidden
from syft_ext.ids import new_id
from syft_ext.messages.intersection_terms import common_rows
from syft_ext.messages.shared_terms import SharedTerms
from syft_ext.messages.split_terms import SplitTerms
from syft_ext.store.content import MATCHED
from syft_ext.store.objects import ObjectInfo

__all__ = ["check_matched", "check_same_rows", "keep_derived", "keep_rows", "sources_here"]


def keep_rows(
    session: Session, pair: IntersectionRequest, user_id: str, peer: str, run: str, blob: Blob, now: float
) -> str:
    """Make the rows an object that its author and the table's owner find, and nobody reads."""
    owner = session.get_one(ObjectRow, pair.object_id).owner
    info = ObjectInfo(
        id=new_id(),
        kind=MATCHED,
        description=f"rows of {pair.object_id} whose ids are in a table of {peer[:16]}, run {run}",
        search_permissions=frozenset(filter(None, (user_id, owner))),
        owner=user_id,
        created_at=now,
        size=blob.size,
    )
    foreign = _foreign(peer, pair.agreement, run)
    record(session, blob)
    upsert(session, info, blob.digest)
    here = sources_of(session, [pair.object_id])[pair.object_id]
    add_sources(session, info.id, [*here, foreign])
    session.add(
        MatchedRows(
            object_id=info.id,
            request_id=pair.request_id,
            peer=peer,
            agreement=pair.agreement,
            run=run,
            foreign=foreign,
        )
    )
    within_quota(session, info)
    return info.id


def _foreign(peer: str, agreement: str, run: str) -> str:
    """An id that no object here has: nobody chooses it, and ids are random."""
    said = f"{peer} {agreement} {run}".encode()
    return str(blake3(said, derive_key_context="grid 2026-12 a table elsewhere").hexdigest())[:32]


def keep_derived(
    session: Session, given: Collection[str], user_id: str, blob: Blob, what: str, now: float
) -> str:
    """Make what was computed of kept rows an object of their kind: of the same intersection, whose end ends it,
    and derived from both tables. ``given``: what it was computed of."""
    rows = session.scalars(select(MatchedRows).where(MatchedRows.object_id.in_(sorted(given)))).all()
    first = rows[0]
    tables = sources_here(session, given)
    owners = session.scalars(select(ObjectRow.owner).where(ObjectRow.id.in_(sorted(tables))))
    info = ObjectInfo(
        id=new_id(),
        kind=MATCHED,
        description=what,
        search_permissions=frozenset(filter(None, (user_id, *owners))),
        owner=user_id,
        created_at=now,
        size=blob.size,
    )
    record(session, blob)
    upsert(session, info, blob.digest)
    add_sources(session, info.id, frozenset().union(*sources_of(session, given).values()))
    session.add(
        MatchedRows(
            object_id=info.id,
            request_id=first.request_id,
            peer=first.peer,
            agreement=first.agreement,
            run=first.run,
            foreign=first.foreign,
        )
    )
    within_quota(session, info)
    return info.id


def check_matched(session: Session, given: Mapping[str, str], shared: SharedTerms | None) -> None:
    """Raise :class:`Forbidden` where one of the objects are rows of an intersection, and this is not a computation
    on shares to which the Domain that they are in common with brings its half of the same rows, or the
    intersection was revoked.

    Rows here tell of the table there: its owner is asked by that Domain, which holds its input to the same rule.

    Args:
        given: input of the plan → object here.
    """
    rows = session.execute(
        select(MatchedRows, RequestRow.state)
        .outerjoin(RequestRow, RequestRow.id == MatchedRows.request_id)
        .where(MatchedRows.object_id.in_(sorted(given.values())))
    )
    matched = {row.object_id: (row, state) for row, state in rows}
    inputs = {} if shared is None else {each.name: each for each in shared.inputs}
    for name, object_id in sorted(given.items()):
        said = inputs[name].common if name in inputs else None
        if object_id not in matched:
            if said:
                raise Forbidden(f"input {name} is said to be of rows in common, and is not", id=object_id)
            continue
        row, state = matched[object_id]
        if shared is None or row.peer not in shared.parties:
            raise Forbidden(
                "rows that two tables have in common are computed with on shares, the other Domain being a party",
                id=object_id,
            )
        if said != common_rows(row.agreement, row.run):
            raise Forbidden(
                f"input {name} is of rows in common: the terms say which, and the other Domain brings the same "
                "(matched.tensor)",
                id=object_id,
            )
        there = shared.parties.index(row.peer)
        if not any(each.party == there and each.common == said for each in shared.inputs):
            raise Forbidden("the other Domain brings its half of the rows in common", id=object_id)
        if state != RequestState.APPROVED:
            raise Forbidden("the intersection that these rows are of was revoked", id=object_id)


def check_same_rows(session: Session, object_ids: Collection[str], terms: SplitTerms) -> None:
    """Raise :class:`Forbidden` unless all of these are the rows in common that the terms name, or what was learned
    of them, with the other party, and the intersection was not revoked. That one holds what it brings to the same.
    """
    rows = session.execute(
        select(MatchedRows, RequestRow.state)
        .outerjoin(RequestRow, RequestRow.id == MatchedRows.request_id)
        .where(MatchedRows.object_id.in_(sorted(object_ids)))
    ).all()
    for row, state in rows:
        if state != RequestState.APPROVED:
            raise Forbidden("the intersection that these rows are of was revoked", id=row.object_id)
    fitting = {
        row.object_id
        for row, _ in rows
        if row.peer in terms.parties and common_rows(row.agreement, row.run) == terms.common
    }
    if fitting != set(object_ids):
        raise Forbidden("a split network takes the rows in common with its other party that its terms name")


def sources_here(session: Session, object_ids: Collection[str]) -> frozenset[str]:
    """Whose owners here have to agree to a computation on these objects: their sources, but for other Domains'
    tables, for which these Domains ask at home."""
    every = frozenset().union(*sources_of(session, object_ids).values())
    foreign = select(MatchedRows.foreign).where(MatchedRows.object_id.in_(sorted(object_ids)))
    return every - set(session.scalars(foreign))
