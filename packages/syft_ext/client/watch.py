"""Following a training live: one long poll after the other, drawn where somebody looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from syft_ext.client.caller import Caller
from syft_ext.client.metrics import ENDED, METRIC_HEADINGS, Metrics, metric_row
from syft_ext.display.progress import stage, surface
from syft_ext.display.table import Table
from syft_ext.errors import DeadlineExceeded, Unavailable
from syft_ext.messages.federated import EventsReply, ProcessView, WatchProcess
from syft_ext.transport.backoff import Backoff

__all__ = ["watch"]

POLL = 25.0
SHOWN = 15  # the latest cycles


class Watched(Protocol):
    """A training that can be followed: what :func:`watch` needs of it.

    Attributes:
        client: of the Domain that hosts it.
        view: its state when it was last asked for; kept up to date here.
    """

    client: Caller
    view: ProcessView

    @property
    def id(self) -> str:
        """The training's id."""

    def metrics(self) -> Metrics:
        """What its cycles measured so far."""


class Screen(Protocol):
    """Where a table is shown over the one before."""

    def show(self, table: Table) -> None:
        """Show ``table`` in place of the last one."""


def watch(training: Watched, *, timeout: float | None = None) -> Metrics:
    """See :meth:`syft_ext.client.trainings.Training.watch`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    backoff = Backoff()
    after, metrics = 0, Metrics([])
    with _screen() as screen:
        while True:
            try:
                metrics = training.metrics()
                screen.show(progress_table(training.view, metrics))
                if training.view.status in ENDED or (deadline and time.monotonic() >= deadline):
                    return metrics
                after = _next(training, after, deadline)
                backoff.reset()
            except (Unavailable, DeadlineExceeded) as error:
                if deadline and time.monotonic() >= deadline:
                    raise
                screen.show(progress_table(training.view, metrics, f"{error.detail}; trying again"))
                time.sleep(backoff.next_delay())


def _next(training: Watched, after: int, deadline: float | None) -> int:
    """Wait for transitions after ``after``; the number of the last one."""
    wait = POLL if deadline is None else min(POLL, max(deadline - time.monotonic(), 0.0))
    message = WatchProcess(process_id=training.id, after=after, timeout=wait)
    reply: EventsReply = training.client.call(message, timeout=wait + 30)
    training.view = reply.process
    return reply.last


def progress_table(view: ProcessView, metrics: Metrics, note: str = "") -> Table:
    """What a watcher sees: the training's line, and its latest cycles."""
    total = view.num_cycles or "∞"
    title = f"{view.name} {view.version}: {view.status}, {view.cycles_completed} of {total} cycles"
    if view.status not in ENDED:
        title += f"; cycle {view.cycle}: {view.reported} of {view.admitted} reported"
    return Table(title, METRIC_HEADINGS, [metric_row(cycle) for cycle in metrics[-SHOWN:]], note)


@contextmanager
def _screen() -> Iterator[Screen]:
    where = surface()
    if where == "notebook":
        yield _Notebook()
        return
    with stage() as drawing:
        if where == "terminal" and drawing:
            from rich.live import Live

            with Live(refresh_per_second=8) as live:
                yield _Terminal(live)
        else:
            yield _Nowhere()


class _Terminal:
    def __init__(self, live: Any) -> None:
        self._live = live

    def show(self, table: Table) -> None:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        drawn = RichTable(title=Text(table.title), box=box.SIMPLE, caption=Text(table.note))
        for heading in table.headings:
            drawn.add_column(heading, justify="right")
        for row in table.rows:
            drawn.add_row(*(Text(cell) for cell in row))
        self._live.update(drawn)


class _Notebook:
    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, table: Table) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(table, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(table)


class _Nowhere:
    def show(self, table: Table) -> None:
        """Nobody looks."""
