"""A Domain's statistics without the node around it: what the statistics themselves do, at no cost of sockets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grid.statistics.analyses import Analyses, Analysis
from grid.statistics.first_round import FirstRound
from grid.statistics.rounds import answer_round, check_round
from grid.statistics.rules import check_asked, check_policy
from grid.statistics.sweep import Opened
from grid.storage.blobs.files import FileBlobStore
from syft_ext.ids import new_id
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin, Continue, DescribeTable, Partials, TableColumn, TableView
from syft_ext.tensors import encode_tensors

__all__ = ["LocalDomain", "local_domains"]

Rows = Mapping[str, Any]


class LocalDomain:
    """Is a table and the client of its Domain in one.

    Attributes:
        replies: everything that it answered.
    """

    def __init__(
        self,
        blobs: FileBlobStore,
        rows: Rows,
        *,
        policy: SitePolicy | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        name: str = "domain",
    ) -> None:
        tensors = {key: torch.as_tensor(np.ascontiguousarray(value)) if not torch.is_tensor(value) else value
                   for key, value in rows.items()}  # fmt: skip
        self._blobs, self._digest = blobs, blobs.put([encode_tensors(tensors)]).digest
        self.policy, self.bounds = policy or SitePolicy(), dict(bounds or {})
        self.id = self.object_id = new_id()
        self.name, self.client = name, self
        self.replies: list[Partials] = []
        self._analyses: dict[str, Analysis] = {}

    def call(self, message: Any, *, timeout: float | None = None) -> Any:
        with Opened(self._blobs, self._digest, "tensors") as opened:
            if isinstance(message, DescribeTable):
                return self._describe(opened)
            reply = (
                self._begin(opened, message) if isinstance(message, Begin) else self._go_on(opened, message)
            )
        self.replies.append(reply)
        return reply

    def _describe(self, opened: Opened) -> TableView:
        columns = [
            TableColumn(
                name=column.name,
                dtype=column.dtype,
                low=self.bounds.get(column.name, (None, None))[0],
                high=self.bounds.get(column.name, (None, None))[1],
            )
            for column in opened.table.columns.values()
        ]
        return TableView(
            columns=columns, min_rows=self.policy.min_rows, epsilon=self.policy.statistics_epsilon
        )

    def _begin(self, opened: Opened, message: Begin) -> Partials:
        check_asked(message)
        check_policy(self.policy, message)
        first_round = FirstRound(opened, message, self.policy, self.bounds)
        reply = first_round.run()
        reply.analysis_id = new_id()
        self._analyses[reply.analysis_id] = Analysis(
            "user",
            message,
            self.policy,
            self._digest,
            "tensors",
            frozenset(),
            0.0,
            first_round.keys,
            first_round.groups,
            first_round.codes,
            histograms=Analyses.may_ask_on(message, self.policy) or {},
        )
        return reply

    def _go_on(self, opened: Opened, message: Continue) -> Partials:
        analysis = self._analyses[message.analysis_id]
        check_round(analysis, message)
        return answer_round(analysis, opened, message)


def local_domains(folder: Path, parts: list[Rows], **options: Any) -> list[LocalDomain]:
    """One Domain for each part of the rows."""
    blobs = FileBlobStore(folder)
    return [LocalDomain(blobs, part, name=f"site {index}", **options) for index, part in enumerate(parts)]
