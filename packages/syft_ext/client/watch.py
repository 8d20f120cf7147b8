"""Following a training live: one long poll after the other, drawn where somebody looks, in lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from syft_ext.client.caller import Caller
from syft_ext.client.metrics import ENDED, METRIC_HEADINGS, Metrics, metric_row
from syft_ext.display.line import announce
from syft_ext.display.progress import stage, surface
from syft_ext.display.table import Table
from syft_ext.errors import DeadlineExceeded, Unauthenticated, Unavailable
from syft_ext.messages.federated import EventsReply, ProcessView, WatchProcess
from syft_ext.profile.credentials import load
from syft_ext.transport.backoff import Backoff

__all__ = ["Screen", "screen", "watch"]

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


def watch(
    training: Watched, *, timeout: float | None = None, say: Callable[[str], object] = announce
) -> Metrics:
    """See :meth:`syft_ext.client.trainings.Training.watch`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    backoff = Backoff()
    after, metrics = 0, Metrics([])
    session = SessionKeeper(training.client)
    with screen(say) as shown:
        while True:
            try:
                metrics = training.metrics()
                shown.show(progress_table(training.view, metrics, waited_for(training.view)))
                if training.view.status in ENDED or (deadline and time.monotonic() >= deadline):
                    return metrics
                after = _next(training, after, deadline)
                backoff.reset()
            except (Unavailable, DeadlineExceeded) as error:
                if deadline and time.monotonic() >= deadline:
                    raise
                shown.show(progress_table(training.view, metrics, f"{error.detail}; trying again"))
                time.sleep(backoff.next_delay())
            except Unauthenticated as error:
                if not session.over(error):
                    continue
                if deadline and time.monotonic() >= deadline:
                    raise
                shown.show(progress_table(training.view, metrics, f"{error.detail}; it goes on then"))
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


def waited_for(view: ProcessView) -> str:
    """Whom a training waits for, in a line; "" where for nobody."""
    if view.status == "waiting":
        return f"waits for the Domain's reviewers (request {view.review.request_id})"
    if view.status == "paused":
        return f"paused{view.reason and ': ' + view.reason}"
    if view.waits_for and view.status not in ENDED:
        return f"waits for {view.waits_for}"
    if view.status in ENDED or view.cycle_status not in ("open", "collecting"):
        return ""
    if view.admitted < view.min_workers:
        more = view.min_workers - view.admitted
        return f"waits for {more} more participant{'s' if more > 1 else ''}: a cycle needs {view.min_workers}"
    left = view.admitted - view.reported
    if left <= 0:
        return ""
    return f"waits for {', '.join(view.missing) or f'the reports of {left} of {view.admitted} participants'}"


class SessionKeeper:
    """What goes on when a session ends while somebody watches: their key still says who they are, for a while;
    after that, whenever they log in again."""

    def __init__(self, client: Caller) -> None:
        self._client = client

    def over(self, error: Unauthenticated) -> bool:
        """Take another way in; True where there is none, and somebody has to log in first.

        Raises ``error`` again where nobody was logged in.
        """
        session, connection = self._client.session, self._client.connection
        if session is None:
            raise error
        newer = load(session.address)
        if newer is not None and not newer.expired and newer.token != session.token:
            self._client.session, connection.token = newer, newer.token
            return False
        if connection.token:
            connection.token = ""  # the node knows the key of who logged in with it
            return False
        return True


@contextmanager
def screen(say: Callable[[str], object]) -> Iterator[Screen]:
    """Where a table that changes is shown: drawn anew in a terminal or notebook; elsewhere ``say`` is given a line
    for what has changed. Its first column is a number, its second a status."""
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
            yield _Lines(say)


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


class _Lines:
    """A line for what has changed: progress, and each cycle that closed."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._last, self._told = "", 0

    def show(self, table: Table) -> None:
        closed = [
            row for row in table.rows if row[1] not in ("open", "collecting", "aggregating", "applying")
        ]
        for row in closed:
            if int(row[0]) > self._told:
                self._told = int(row[0])
                named = zip(table.headings, row, strict=True)
                self._say(", ".join(f"{name} {cell}" for name, cell in named if cell not in ("", "–")))
        line = "; ".join(filter(None, (table.title, table.note)))
        if line != self._last:
            self._last = line
            self._say(line)
