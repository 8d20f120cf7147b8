"""Analyses that were begun and may ask further rounds: in this process's memory, for minutes.

Grants and budget were spent when an analysis began. What it may ask beyond that is bounded: the same columns
of the same content, by the same user, a limited number of rounds. When the node restarts, it is begun anew.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from grid.concurrency.offload import Lock, native_lock
from grid.statistics.columns import Column
from grid.statistics.groups import Groups
from grid.statistics.guarded.questions import LOGISTIC_ROUNDS
from grid.statistics.ranks import Candidates
from syft_ext.errors import NotFound, TooManyRequests
from syft_ext.ids import new_id
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin

__all__ = ["ROUNDS", "Analyses", "Analysis"]

ROUNDS = 64
HISTOGRAMS = 8
"""A range is found once, and again when a site is lost meanwhile."""
_SECONDS = 600.0
_PER_USER = 8
_IN_ALL = 128


@dataclass(slots=True)
class Analysis:
    """Attributes:
    message: what was asked at the beginning, and paid for.
    policy: the site's, by which it was answered.
    digest, kind: of the content as it was then.
    grants: those that a use was spent of.
    groups, codes: how rows are grouped, and the codes of the groups that were answered for.
    histograms: by column, how often bins may still be asked: those whose range had to be found first.
    points: how many points of a logistic regression may still be measured, where the table is guarded.
    lock: one round at a time.
    """

    user_id: str
    message: Begin
    policy: SitePolicy
    digest: str
    kind: str
    grants: frozenset[str]
    expires_at: float
    keys: list[Column] = field(default_factory=list)
    groups: Groups | None = None
    codes: list[int] = field(default_factory=list)
    rounds: int = ROUNDS
    histograms: dict[str, int] = field(default_factory=dict)
    points: int = LOGISTIC_ROUNDS
    candidates: Candidates = field(default_factory=Candidates)
    lock: Lock = field(default_factory=Lock)


class Analyses:
    """Those of all users; the oldest of a user, or of all, give way to new ones."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Analysis] = OrderedDict()
        self._guard = native_lock()

    def add(self, analysis: Analysis) -> str:
        """Keep it; the id by which its user asks on."""
        analysis_id = new_id()
        with self._guard:
            mine = [key for key, each in self._open.items() if each.user_id == analysis.user_id]
            for key in mine[: len(mine) - _PER_USER + 1]:
                del self._open[key]
            while len(self._open) >= _IN_ALL:
                self._open.popitem(last=False)
            self._open[analysis_id] = analysis
        return analysis_id

    def round(self, analysis_id: str, user_id: str, now: float) -> Analysis:
        """Count a round. Raises :class:`NotFound` for what is over, or somebody else's."""
        with self._guard:
            analysis = self._open.get(analysis_id)
            if analysis is not None and analysis.expires_at <= now:
                del self._open[analysis_id]
                analysis = None
            if analysis is None or analysis.user_id != user_id:
                raise NotFound("there is no such analysis, or it is over; begin again", id=analysis_id)
            if analysis.rounds <= 0:
                raise TooManyRequests("this analysis has asked too many rounds", limit=ROUNDS)
            analysis.rounds -= 1
            return analysis

    @staticmethod
    def expiry(now: float) -> float:
        """Until when an analysis that begins at ``now`` may ask on; seconds since the epoch."""
        return now + _SECONDS

    @staticmethod
    def may_ask_on(message: Begin) -> dict[str, int] | None:
        """The histograms that further rounds may ask; None if there is nothing to ask further."""
        asked, given = set(message.statistics), {bins.column for bins in message.histograms}
        histograms = {}
        if "histogram" in asked:
            histograms = {name: HISTOGRAMS for name in message.columns if name not in given}
        return histograms if histograms or asked & {"quantile", "logistic_regression"} else None
