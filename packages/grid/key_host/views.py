"""What the operator is shown of the ledger."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.key_host.chain import NOTHING, LedgerEntry, is_whole
from grid.key_host.policies import ScopeLimits
from grid.key_host.tables import KeyHostLedgerRow, KeyHostPolicy, KeyHostScope
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.messages import key_host as m

__all__ = ["ledger_view"]


def ledger_view(session: Session, offset: int, limit: int) -> m.HostLedger:
    """Scopes, one page of rows, and whether they all fit."""
    rows = session.scalars(
        select(KeyHostLedgerRow).order_by(KeyHostLedgerRow.sequence.desc()).offset(offset).limit(limit)
    )
    return m.HostLedger(
        scopes=_scopes(session),
        rows=[_row(row) for row in rows],
        size=session.scalar(select(func.count()).select_from(KeyHostLedgerRow)) or 0,
        whole=is_whole(session),
    )


def _row(row: KeyHostLedgerRow) -> m.LedgerRowView:
    entry = LedgerEntry.decode(row.body)
    return m.LedgerRowView(
        sequence=row.sequence,
        hash=row.hash,
        at=entry.at,
        what=entry.what,
        context="" if entry.context == NOTHING else entry.context.hex(),
        manifest="" if entry.manifest == NOTHING else entry.manifest.hex(),
        cost=entry.rho,
    )


def _scopes(session: Session) -> list[m.ScopeView]:
    approved: dict[str, list[ConfidentialPolicy]] = {}
    for each in session.scalars(select(KeyHostPolicy).where(KeyHostPolicy.state == "approved")):
        approved.setdefault(each.scope_id, []).append(ConfidentialPolicy.decode(each.statement))
    spent = {row.id: row for row in session.scalars(select(KeyHostScope))}
    found = []
    for scope in sorted({*approved, *spent}):
        policies, row = approved.get(scope, []), spent.get(scope)
        found.append(
            m.ScopeView(
                scope=scope,
                spent=0 if row is None else row.spent,
                total=ScopeLimits.strictest(policies).rho if policies else 0,
                rounds=0 if row is None else row.rounds,
                burnt=row is not None and row.burnt,
            )
        )
    return found
