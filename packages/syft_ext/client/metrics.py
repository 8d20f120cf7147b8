"""What the cycles of a training measured, as a table."""

from __future__ import annotations

from typing import Any

from syft_ext.display.table import Table, size
from syft_ext.messages.federated import CycleMetrics

__all__ = ["ENDED", "METRIC_HEADINGS", "Metrics", "metric_row"]

ENDED = ("completed", "cancelled", "failed")
METRIC_HEADINGS = ("cycle", "status", "reports", "samples", "loss", "accuracy", "received", "seconds")


class Metrics(list[CycleMetrics]):
    """Cycle after cycle: participants, loss, accuracy. Shows itself as a table."""

    def __init__(self, cycles: list[CycleMetrics], title: str = "Metrics") -> None:
        super().__init__(cycles)
        self._title = title

    def table(self) -> Table:
        """One row for each cycle."""
        return Table(self._title, METRIC_HEADINGS, [metric_row(cycle) for cycle in self])

    def to_pandas(self) -> Any:
        """All fields as a pandas DataFrame, one row per cycle."""
        import msgspec
        import pandas

        return pandas.DataFrame([msgspec.to_builtins(cycle) for cycle in self])

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def metric_row(cycle: CycleMetrics) -> tuple[Any, ...]:
    """One row under :data:`METRIC_HEADINGS`."""
    seconds = None if cycle.closed_at is None else f"{cycle.closed_at - cycle.opened_at:.2f}"
    reports = f"{cycle.reported} of {cycle.admitted}"
    received = size(cycle.bytes_received)
    return (
        cycle.cycle,
        cycle.status,
        reports,
        cycle.samples,
        cycle.loss,
        cycle.accuracy,
        received,
        seconds,
    )
