"""Privacy budgets: how much epsilon each user may spend, and has spent."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.accounts.tables import User
from grid.node import Context, Service, handles
from grid.privacy.budget.tables import PrivacyBudget
from grid.spending.keeping import check_newest, note
from syft_ext.errors import Conflict, Forbidden, NotFound
from syft_ext.messages import budget as b

__all__ = [
    "MARKS",
    "BudgetService",
    "add_budget",
    "check_budget",
    "epsilon_of",
    "spend_budget",
    "take_back_budget",
    "units_of",
]

MARKS = "budget"
"""The kind of a budget's marks in the record of what was spent."""
_UNITS = 10**9
_MOST = 10**18


def spend_budget(session: Session, user_id: str, epsilon: float) -> None:
    """Take ``epsilon`` from the user's budget, in the transaction after which the answer is given.

    One conditional update: two calls that race for the last of it cannot both have it.
    Raises :class:`Forbidden`, and the transaction must not commit, when there is less left.
    """
    units = units_of(epsilon)
    spent = session.execute(
        update(PrivacyBudget)
        .where(PrivacyBudget.user_id == user_id, PrivacyBudget.spent <= PrivacyBudget.granted - units)
        .values(spent=PrivacyBudget.spent + units)
    )
    if spent.rowcount != 1:  # type: ignore[attr-defined]
        raise _too_dear(session, user_id, epsilon)
    if units:
        check_newest(session)
        _note(session, user_id)


def check_budget(session: Session, user_id: str, epsilon: float) -> None:
    """Raise as :func:`spend_budget` would now, before anything is computed for an answer that costs so much."""
    row = session.get(PrivacyBudget, user_id)
    if units_of(epsilon) > (0 if row is None else row.granted - row.spent):
        raise _too_dear(session, user_id, epsilon)


def _too_dear(session: Session, user_id: str, epsilon: float) -> Forbidden:
    row = session.get(PrivacyBudget, user_id)
    left = 0.0 if row is None else (row.granted - row.spent) / _UNITS
    return Forbidden(
        f"this costs {epsilon:.9g} of your privacy budget, and {left:.9g} is left",
        left=left,
        cost=epsilon,
    )


def units_of(epsilon: float) -> int:
    """Billionths, rounded up; digits beyond the twelfth are those of binary fractions, and no one's price."""
    exact = Decimal(f"{epsilon:.12g}") * _UNITS
    return min(int(exact.to_integral_value(ROUND_CEILING)), _MOST + 1)


def epsilon_of(units: int) -> float:
    """Billionths as an epsilon."""
    return units / _UNITS


def add_budget(session: Session, user_id: str, units: int, *, by: str, now: float) -> None:
    """Let the user spend so many billionths more."""
    row = _locked(session, user_id)
    if row is None:
        row = PrivacyBudget(user_id=user_id, granted=0, spent=0)
        session.add(row)
    if row.granted + units > _MOST:
        raise Conflict("so large a budget means nothing", granted=row.granted / _UNITS)
    row.granted, row.changed_at, row.changed_by = row.granted + units, now, by
    session.flush()


def take_back_budget(session: Session, user_id: str, units: int, *, by: str, now: float) -> None:
    """Take so many billionths back; what is spent of them stays spent."""
    row = _locked(session, user_id)
    if row is not None:
        row.granted = max(row.spent, row.granted - units)
        row.changed_at, row.changed_by = now, by
        session.flush()
        _note(session, user_id, granted=True)


def _note(session: Session, user_id: str, *, granted: bool = False) -> None:
    """Both totals, as they are now; ``granted``: it became less, and is not to become more again."""
    columns = select(PrivacyBudget.spent, PrivacyBudget.granted).where(PrivacyBudget.user_id == user_id)
    row = session.execute(columns).one()
    facts = {"spent": row.spent, "granted": row.granted} if granted else {"spent": row.spent}
    note(session, MARKS, user_id, facts)


def _locked(session: Session, user_id: str) -> PrivacyBudget | None:
    found = select(PrivacyBudget).where(PrivacyBudget.user_id == user_id)
    return session.scalars(found.with_for_update()).one_or_none()


class BudgetService(Service):
    """The operations on budgets: one's own for everybody, those of others for reviewers."""

    @handles(b.GetBudget)
    def get(self, ctx: Context, message: b.GetBudget) -> b.BudgetView:
        with self.node.db.read() as session:
            row = session.get(PrivacyBudget, ctx.principal.id)
            return b.BudgetView(user_id=ctx.principal.id) if row is None else _view(row)

    @handles(b.ListBudgets)
    def list(self, ctx: Context, message: b.ListBudgets) -> b.BudgetList:
        rows = select(PrivacyBudget).order_by(PrivacyBudget.user_id)
        with self.node.db.read() as session:
            found = session.scalars(rows.limit(message.limit).offset(message.offset))
            return b.BudgetList(budgets=[_view(row) for row in found])

    @handles(b.GrantBudget)
    def grant(self, ctx: Context, message: b.GrantBudget) -> b.BudgetView:
        ctx.note(message.user_id, granted=message.granted)
        if message.user_id == ctx.principal.id:
            raise Forbidden("nobody grants themselves a privacy budget")
        try:
            with self.node.db.transaction() as session:
                return self._grant(session, ctx.principal.id, message)
        except IntegrityError as error:
            raise Conflict("the budget changed meanwhile; look again") from error

    def _grant(self, session: Session, by: str, message: b.GrantBudget) -> b.BudgetView:
        if session.get(User, message.user_id) is None:
            raise NotFound("there is no such user", id=message.user_id)
        units = units_of(message.granted)
        row = _locked(session, message.user_id)
        if row is None:
            row = PrivacyBudget(user_id=message.user_id, spent=0)
            session.add(row)
        elif units < row.spent:
            raise Conflict("more than that is spent already", spent=row.spent / _UNITS)
        less = units < (row.granted or 0)
        row.granted, row.changed_at, row.changed_by = units, self.node.clock.now(), by
        session.flush()
        if less:
            _note(session, message.user_id, granted=True)
        return _view(row)


def _view(row: PrivacyBudget) -> b.BudgetView:
    return b.BudgetView(
        user_id=row.user_id,
        granted=row.granted / _UNITS,
        spent=row.spent / _UNITS,
        left=(row.granted - row.spent) / _UNITS,
    )
