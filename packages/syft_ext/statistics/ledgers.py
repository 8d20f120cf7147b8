"""Ledgers of your tables (``domain.ledger[asset]``): what was told of their rows in all, and may be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syft_ext.display.table import Table, when
from syft_ext.errors import BadRequest
from syft_ext.messages.ledger import GetLedger, GrantLedger, LedgerList, LedgerView, ListLedgers

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["Ledger", "Ledgers", "percent"]


def percent(share: float) -> str:
    """A share for people, never shown as nothing where it is something: ``12.3 %``."""
    return "less than 0.01 %" if 0 < share < 0.0001 else f"{share * 100:.3g} %"


def _name(view: LedgerView) -> str:
    return f"training {view.training}" if view.training else view.table or view.object_id


class Ledger:
    """One table's, over all of its versions and all users; ``view`` is how it was when it was asked for."""

    def __init__(self, client: Caller, view: LedgerView) -> None:
        self.client, self.view = client, view

    @property
    def total(self) -> float:
        """What statistics may tell in all, in epsilon at a delta of 1e-6."""
        return self.view.total

    @property
    def spent(self) -> float:
        """What they told, in epsilon at that delta."""
        return self.view.spent

    @property
    def used(self) -> float:
        """The share of it that is spent."""
        return self.view.used

    def grant(self, epsilon: float) -> Ledger:
        """Let statistics tell so much in all, with what they told already. What was told stays told."""
        self.view = self.client.call(GrantLedger(object_id=self.view.object_id, epsilon=epsilon))
        return self

    def table(self) -> Table:
        """Who asked for what, the newest first."""
        view = self.view
        rows = [
            (when(each.at), each.user, each.kind, each.what, percent(each.share)) for each in view.charges
        ]
        said = "as its owner granted" if view.granted is not None else "by the site's policy"
        note = (
            f"{percent(view.used)} of all that may ever be told of these rows is used: by everybody "
            f"together, over all versions of the table. At 100 % only what was asked before is answered again. "
            f"In epsilon (δ 1e-6): {view.spent:.3g} of {view.total:.3g}, {said}; percents add up, epsilons do not"
        )
        if not view.limited:
            note = (
                f"in epsilon (δ 1e-6) {view.spent:.3g} was told of these rows by answers with noise. Statistics "
                "are exact here, so that nothing is promised of all together, and they and results of plans are "
                "not limited unless you grant a total; "
                f"private queries and private tensors end at {view.total:.3g}"
            )
        if view.exact:
            note += "; exact statistics were published on its owner's word, outside of this"
        title = f"Ledger of {view.table}" if view.table else "Ledger"
        return Table(title, ("when", "who", "kind", "what", "took of the whole"), rows, note)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Ledgers:
    """Asks the Domain each time."""

    def __init__(self, client: Caller) -> None:
        self.client = client

    def __getitem__(self, table: Any) -> Ledger:
        """The ledger of a table of yours: an asset, a dataset with one asset, an object, or an object's id."""
        assets = getattr(table, "assets", None)
        if assets is not None:
            if len(assets) != 1:
                raise BadRequest("this dataset has several tables: name one of them")
            (table,) = assets
        object_id = table if isinstance(table, str) else getattr(table, "object_id", "") or table.id
        return Ledger(self.client, self.client.call(GetLedger(object_id=object_id)))

    def all(self) -> list[Ledger]:
        """Those of all tables of yours that anybody asked about, the most used first."""
        found: LedgerList = self.client.call(ListLedgers())
        return [Ledger(self.client, view) for view in found.ledgers]

    def table(self) -> Table:
        """A row for each of your tables."""
        rows = [
            (
                _name(each.view),
                percent(each.used),
                each.spent,
                each.total if each.view.limited else "no limit",
            )
            for each in self.all()
        ]
        headings = ("of", "used of the whole", "ε told", "ε in all")
        note = (
            "used: of all that statistics, results of plans and trainings may ever tell everybody together of a "
            "table's rows, or of who takes part in a training, what they told"
        )
        return Table(f"Ledgers at {self.client.name}", headings, rows, note)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
