"""The operations on ledgers of tables: shown to and granted by whoever decides who else may have the table."""

from __future__ import annotations

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from grid.access.conditions import governed
from grid.access.decision import governs, sees
from grid.access.policy import current_policy
from grid.access.shown import is_shown, name_shown
from grid.access.viewer import viewer_of
from grid.accounts.tables import User
from grid.node import Context, Node, Service, handles
from grid.privacy.budget.ledger import (
    UNLIMITED,
    Allowance,
    Balance,
    balance_of,
    epsilon_of_parts,
    ledger_of,
    parts_of_epsilon,
)
from grid.privacy.budget.ledger_tables import PrivacyCharge, PrivacyLedger, PrivacyLedgerMember
from grid.statistics.guarded.desk import GuardedDesk, Lineages
from grid.statistics.guarded.terms import terms_of
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import Conflict, Forbidden, NotFound
from syft_ext.messages import ledger as m
from syft_ext.messages.permissions import flag

__all__ = ["LedgerService"]

#: Where tables are not guarded: what a policy that says nothing else would give.
_UNGUARDED = Allowance(parts_of_epsilon(6.0))


class LedgerService(Service):
    """One ledger for all versions of a table and all users: its owner's view of it."""

    def __init__(self, node: Node, *, lineages: Lineages) -> None:
        super().__init__(node)
        self._desk = GuardedDesk(node, lineages)

    @handles(m.GetLedger)
    def get(self, ctx: Context, message: m.GetLedger) -> m.LedgerView:
        with self.node.db.read() as session:
            members = self._members(session, ctx, message.object_id)
            view = _view(session, message.object_id, members, message.limit, message.offset)
            return self._named(session, ctx, view)

    @handles(m.ListLedgers)
    def mine(self, ctx: Context, message: m.ListLedgers) -> m.LedgerList:
        with self.node.db.read() as session:
            mine = select(ObjectRow.id, PrivacyLedgerMember.ledger_id).where(
                governed(ctx.principal.id), PrivacyLedgerMember.member == "object:" + ObjectRow.id
            )
            newest = {row.ledger_id: row.id for row in session.execute(mine.order_by(ObjectRow.created_at))}
            views = [
                self._named(session, ctx, _view(session, object_id, [f"object:{object_id}"], 0, 0))
                for object_id in newest.values()
            ]
            trainings = _trainings(session) if ctx.principal.has(flag("can_triage_requests")) else []
        return m.LedgerList(ledgers=[*sorted(views, key=lambda view: -view.used), *trainings])

    @handles(m.GrantLedger)
    def grant(self, ctx: Context, message: m.GrantLedger) -> m.LedgerView:
        """Less than what is spent cannot be granted: what was told stays told."""
        ctx.note(message.object_id, epsilon=message.epsilon)
        now = self.node.clock.now()

        def change(session: Session) -> m.LedgerView:
            members = self._members(session, ctx, message.object_id)
            ledger = ledger_of(session, members, now=now)
            granted = parts_of_epsilon(message.epsilon)
            if granted < ledger.spent:
                raise Conflict("more than that is spent already", spent=epsilon_of_parts(ledger.spent))
            most = _allowance(session).most
            if most is not None and granted > most:
                raise Conflict(
                    "the site's policy is strict: a ledger has so much that no count is ever known better than to "
                    "half of its min_rows, and no more",
                    most=epsilon_of_parts(most),
                )
            ledger.granted, ledger.changed_at, ledger.changed_by = granted, now, ctx.principal.id
            session.flush()
            return self._named(session, ctx, _view(session, message.object_id, members, 100, 0))

        return self.node.db.run(change)

    def _named(self, session: Session, ctx: Context, view: m.LedgerView) -> m.LedgerView:
        """With the name that its owner knows the table by."""
        view.table = name_shown(session, viewer_of(session, ctx.principal), view.object_id)
        return view

    def _members(self, session: Session, ctx: Context, object_id: str) -> list[str]:
        viewer = viewer_of(session, ctx.principal)
        if not governs(session, ctx.principal.id, object_id):
            if sees(session, viewer, object_id, now=self.node.clock.now()) or is_shown(
                session, viewer, object_id
            ):
                raise Forbidden("a table's ledger is shown to its owner, who you are not", id=object_id)
            raise NotFound("there is no such object", id=object_id)
        digest = session.get_one(ObjectRow, object_id).blob_digest
        return list(self._desk.members(session, object_id, digest))


def _allowance(session: Session) -> Allowance:
    terms = terms_of(current_policy(session))
    return _UNGUARDED if terms is None else terms.allowance


def _view(session: Session, object_id: str, members: list[str], limit: int, offset: int) -> m.LedgerView:
    balance: Balance = balance_of(session, members, _allowance(session))
    ids = select(PrivacyLedgerMember.ledger_id).where(PrivacyLedgerMember.member.in_(members))
    ledgers = session.scalars(select(PrivacyLedger).where(PrivacyLedger.id.in_(ids))).all()
    grants = [each.granted for each in ledgers if each.granted is not None]
    rows = session.execute(
        select(PrivacyCharge, User.email)
        .outerjoin(User, User.id == PrivacyCharge.user_id)
        .where(PrivacyCharge.ledger_id.in_(ids))
        .order_by(PrivacyCharge.at.desc(), PrivacyCharge.id)
        .limit(limit)
        .offset(offset)
    ).all()
    return m.LedgerView(
        object_id=object_id,
        total=epsilon_of_parts(balance.total),
        spent=epsilon_of_parts(balance.spent),
        used=balance.spent / balance.total if balance.total else 1.0,
        granted=epsilon_of_parts(max(grants)) if grants else None,
        exact=any(each.exact_digest is not None for each in ledgers),
        told=_told(session, ids, balance.total),
        limited=bool(grants) or terms_of(current_policy(session)) is not None,
        charges=[
            m.ChargeView(
                at=charge.at,
                user=email or charge.user_id,
                object_id=charge.object_id,
                what=charge.what,
                share=charge.cost / balance.total if balance.total else 0.0,
                kind=charge.kind,
            )
            for charge, email in rows
        ],
    )


def _told(session: Session, ids: Select[str], total: int) -> dict[str, float]:
    """What each kind of charge took of the total."""
    sums = (
        select(PrivacyCharge.kind, func.sum(PrivacyCharge.cost))
        .where(PrivacyCharge.ledger_id.in_(ids))
        .group_by(PrivacyCharge.kind)
        .order_by(PrivacyCharge.kind)
    )
    return {kind: int(cost) / total if total else 0.0 for kind, cost in session.execute(sums)}


def _trainings(session: Session) -> list[m.LedgerView]:
    """The ledgers of trainings, by name."""
    said = current_policy(session).trainings_total
    total = UNLIMITED if said is None else parts_of_epsilon(said)
    prefix = "training:"
    rows = select(PrivacyLedger, PrivacyLedgerMember.member).join(
        PrivacyLedgerMember, PrivacyLedgerMember.ledger_id == PrivacyLedger.id
    )
    rows = rows.where(PrivacyLedgerMember.member.startswith(prefix)).order_by(PrivacyLedgerMember.member)
    return [
        m.LedgerView(
            object_id="",
            training=member.removeprefix(prefix),
            total=0.0 if said is None else epsilon_of_parts(total),
            limited=said is not None,
            spent=epsilon_of_parts(ledger.spent),
            used=ledger.spent / total,
            granted=None,
            exact=False,
            charges=[],
            told={"training": ledger.spent / total},
        )
        for ledger, member in session.execute(rows)
    ]
