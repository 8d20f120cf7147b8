"""What the guard of a table says before anything private is told of a column of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from grid.statistics.guarded.desk import Asking, GuardedDesk
from grid.statistics.guarded.questions import question_of
from grid.statistics.guarded.schema import Said
from grid.statistics.guarded.terms import Terms
from grid.statistics.sweep import Opened
from syft_ext.messages.statistics import Begin

__all__ = ["Gate"]


@dataclass(frozen=True, slots=True)
class Gate:
    """The guard of this Domain's tables, asked for a user; ``authorise`` as of the guard's own questions."""

    guard: GuardedDesk
    terms: Terms
    user_id: str
    authorise: Callable[[Session], None]

    def keeps_back(self, object_id: str, digest: str, opened: Opened, column: str, said: Said) -> bool:
        """Whether the guard hides how many values the column has: then it hides all that follows from few.

        That is the guard's own answer, measured once for everybody and charged to the same ledger.
        """
        count = Begin(object_id=object_id, statistics=["count"], columns=[column])
        answer = self.guard.begin(
            Asking(
                object_id=object_id,
                digest=digest,
                user_id=self.user_id,
                question=question_of(count, opened.table, said),
                terms=self.terms,
                opened=opened,
                authorise=self.authorise,
                spend=lambda session: None,  # the answer itself uses up the grant
                what=f"count of {column}",
            )
        )
        return answer.columns[0].count[0] is None
