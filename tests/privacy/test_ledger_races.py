"""A thousand parallel reservations never overspend a ledger, on either engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.privacy.budget.ledger import Allowance, Charge, charge, ledger_of
from grid.privacy.budget.ledger_tables import PrivacyCharge, PrivacyLedger
from grid.storage.sql.database import Database

RESERVATIONS, EACH, TOTAL = 1_000, 7, 2_345


def test_a_thousand_parallel_reservations_never_overspend(database: Database) -> None:
    def reserve(number: int) -> bool:
        def take(session: Session) -> bool:
            ledger = ledger_of(session, ["object:0", "content:1"], now=float(number))
            entry = Charge("o", "u", float(number), "a run", "plan")
            return charge(session, ledger, EACH, Allowance(TOTAL), entry)

        return database.run(take)

    with ThreadPoolExecutor(8) as pool:
        given = sum(pool.map(reserve, range(RESERVATIONS)))
    with database.read() as session:
        (spent,) = session.scalars(select(PrivacyLedger.spent))
        charged = session.scalar(select(func.sum(PrivacyCharge.cost)))
    assert spent == charged == given * EACH <= TOTAL
    assert given == TOTAL // EACH, "and all that there is can be spent"
