"""Ledgers of tables in a database that was restored: what was told of rows since it was copied stays told."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.policy import current_policy
from grid.catalogue.schemas import lineage_of
from grid.privacy.budget.ledger import MARKS, UNLIMITED, Allowance, ledger_of, parts_of_epsilon
from grid.privacy.budget.ledger_tables import PrivacyLedger, PrivacyLedgerMember
from grid.spending.record import Spent
from grid.statistics.guarded.terms import terms_of
from grid.storage.objects.tables import ObjectRow
from syft_ext.messages.policy import SitePolicy
from syft_ext.store.content import TENSOR_KINDS

__all__ = ["put_right"]

_UNKNOWN = "0" * 64
"""Stands for the content of which exact statistics may have been published: beside it no other one's may be."""


def put_right(session: Session, spent: Spent, everything: bool) -> int:
    """As :data:`grid.spending.record.PutRight` says. Ledgers are found by all that belongs to their lineages;
    those that the database does not know are made, so that none of it is as if nobody had ever asked."""
    changed = 0
    for facts in spent.of(MARKS).values():
        ledger = ledger_of(session, facts["members"], now=0.0)
        before = ledger.spent, ledger.exact_digest, ledger.granted
        ledger.spent = max(ledger.spent, facts["spent"])
        ledger.exact_digest = ledger.exact_digest or facts["exact_digest"]
        if facts["granted"] is not None and ledger.granted is not None:
            ledger.granted = min(ledger.granted, facts["granted"])
        changed += before != (ledger.spent, ledger.exact_digest, ledger.granted)
        session.flush()
    return changed + (_exhaust(session) if everything else 0)


def _exhaust(session: Session) -> int:
    """All ledgers, and those of tables about which, as far as the database knows, nobody asked anything."""
    policy = current_policy(session)
    allowance = _allowance(policy)
    trainings = UNLIMITED if policy.trainings_total is None else parts_of_epsilon(policy.trainings_total)
    of_trainings = set(
        session.scalars(
            select(PrivacyLedgerMember.ledger_id).where(PrivacyLedgerMember.member.startswith("training:"))
        )
    )
    known = select(PrivacyLedgerMember.member).where(PrivacyLedgerMember.member == "object:" + ObjectRow.id)
    unasked = select(ObjectRow.id).where(ObjectRow.kind.in_(TENSOR_KINDS), ~known.exists())
    for object_id in session.scalars(unasked).all():
        ledger_of(session, lineage_of(session, object_id), now=0.0)
    changed = 0
    for ledger in session.scalars(select(PrivacyLedger)).all():
        before = ledger.spent, ledger.exact_digest
        total = trainings if ledger.id in of_trainings else allowance.total(ledger.granted)
        ledger.spent = max(ledger.spent, total)
        ledger.exact_digest = ledger.exact_digest or _UNKNOWN
        changed += before != (ledger.spent, ledger.exact_digest)
    session.flush()
    return changed


def _allowance(policy: SitePolicy) -> Allowance:
    """What a guarded table has; where tables are not guarded, what it would have once they are: the policy may be
    an older one, too."""
    terms = terms_of(policy)
    return Allowance(parts_of_epsilon(policy.statistics_total)) if terms is None else terms.allowance
