"""Taking part in one call: what will run is shown, agreed to, and run until the training ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from syft_ext.client.watch import Screen, screen
from syft_ext.display.line import announce
from syft_ext.display.progress import surface
from syft_ext.display.prompt import agreed
from syft_ext.display.table import Table
from syft_ext.errors import BadRequest, NotAgreed
from syft_ext.federated.events import Progress, RunSummary, Sent
from syft_ext.federated.fl_client import FLClient
from syft_ext.federated.job import FLJob
from syft_ext.federated.offer import TrainingOffer
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.readable import readable
from syft_ext.transport.base import Path

__all__ = ["Joined", "join"]

_HEADINGS = ("cycle", "status", "steps", "samples", "loss", "accuracy")
_SHOWN = 15  # the latest cycles


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of it.

    Attributes:
        summary: of the run.
        digest: of the definition that ran.
        path: how the Domain was reached, and why not otherwise: ``{"taken": way, "failed": {way: reason}}``.
    """

    summary: RunSummary
    digest: str
    path: Path

    def __repr__(self) -> str:
        return "\n".join([str(self.summary.table()), *_told(self.path)])

    def _repr_html_(self) -> str:
        return self.summary.table()._repr_html_()


def join(
    address: str,
    training: str,
    data: Any = None,
    *,
    schema: ColumnMetadata | None = None,
    digest: str = "",
    max_cycles: int | None = None,
    seed: int | None = None,
    say: Callable[[str], object] = announce,
    **client: Any,
) -> Joined:
    """Take part in a training until it ends: ``sy.join("grid+webrtc://network/domain", "biopsies/1.0", frame)``.

    What will run is shown first. It runs where reviewers at the Domain have approved exactly that, or it is the
    Domain's own; else where you agree, by its ``digest`` or, asked in a notebook or terminal, by typing "yes".
    Then each cycle is shown as it goes on. It waits for cycles as long as it takes, and reconnects by itself.

    Args:
        address: of the Domain, as :class:`~syft_ext.federated.fl_client.FLClient` takes it. ``grid+https://network/domain``
            tries every way that leads there.
        training: ``name/version``.
        data: a frame, a mapping of columns, a path to a file or folder, a dataset, or samples and labels
            (:meth:`~syft_ext.federated.job.FLJob.run`). Without it the training is shown, and nothing runs.
        schema: of ``data``: column → its ``unit`` and ``categories``.
        digest: the definition that you agree to, whoever else has approved it or has not.
        max_cycles: stop after so many reports.
        seed: makes the shuffling of ``data`` reproducible.
        say: is given the lines that are shown where nothing can be drawn.
        client: further arguments of ``FLClient``: ``identity``, ``bounds``, ``trust``, ``auth_token``, ….

    Raises:
        NotAgreed: nobody whose word counts has agreed to what it is, or it is not what was agreed to.
        BadRequest: ``data`` was not given, or ``training`` is not ``name/version``.
        GridError: as ``FLJob.run``.
    """
    name, separator, version = training.rpartition("/")
    if not separator or not name or not version:
        raise BadRequest(f"training is {training!r}: give it as name/version, as biopsies/1.0")
    with FLClient(address, say=say, **client) as participant:
        offer = participant.review(name, version)
        _show(offer, say)
        if data is None:
            raise BadRequest("give data=: what the training takes is in its definition above")
        job = _agreed_job(participant, offer, digest)
        for line in _told(participant.path):
            say(line)
        view = _View(f"{name} {version}", say)
        with screen(say) as shown:
            view.follow(job, shown)
            summary = job.run(data=data, schema=schema, max_cycles=max_cycles, seed=seed)
        return Joined(summary, job.consent.digest, participant.path)


def _told(path: Path) -> list[str]:
    """How the Domain is reached, and why not otherwise; nothing where there was but one way."""
    failed = [f"  not by {way}: {readable(why)}" for way, why in path["failed"].items()]
    return [f"reached by: {path['taken']}", *failed] if path["taken"] else []


def _show(offer: TrainingOffer, say: Callable[[str], object]) -> None:
    if surface() == "notebook":
        from IPython.display import display

        display(offer)  # type: ignore[no-untyped-call]
        return
    for line in offer.text().splitlines():
        say(line)


def _agreed_job(client: FLClient, offer: TrainingOffer, digest: str) -> FLJob:
    """A job of exactly what was shown, by whose word it may run."""
    facts = offer.definition
    if digest and digest != offer.digest:
        raise NotAgreed(
            f"{facts.name} {facts.version} is not what was agreed to: its definition is {offer.digest}, agreed was"
            f" {digest}",
            reason="definition",
        )
    job = client.new_job(facts.name, facts.version, digest=digest)
    try:
        job.authenticate()
    except NotAgreed as error:
        if error.extra.get("reason") != "review" or not agreed(f"{error.detail}."):
            raise
        job = client.new_job(facts.name, facts.version, digest=offer.digest)
        job.authenticate()
    if job.consent.facts is not None and job.consent.digest != offer.digest:
        raise NotAgreed("the Domain shows another definition than a moment ago", reason="definition")
    return job


class _View:
    """A row for each cycle, as the job tells."""

    def __init__(self, title: str, say: Callable[[str], object]) -> None:
        self._title, self._say = title, say
        self._rows: dict[int, tuple[str, Progress | None]] = {}
        self._note = "waits for a cycle"

    def follow(self, job: FLJob, shown: Screen) -> None:
        """Show what ``job`` tells from now on."""

        def cycle_started(job: FLJob, cycle: int) -> None:
            self._close()
            self._rows[cycle], self._note = ("open", None), ""
            shown.show(self.table())

        def progress(job: FLJob, now: Progress) -> None:
            self._rows[now.cycle] = ("open", now)
            shown.show(self.table())

        def reported(job: FLJob, sent: Sent) -> None:
            self._rows[sent.cycle] = ("reported", self._rows.get(sent.cycle, ("", None))[1])
            shown.show(self.table())

        def finished(job: FLJob, summary: RunSummary) -> None:
            self._close()
            self._note = f"ended: {summary.reason}"
            shown.show(self.table())

        job.add_listener(job.EVENT_CYCLE_STARTED, cycle_started)
        job.add_listener(job.EVENT_PROGRESS, progress)
        job.add_listener(job.EVENT_REPORTED, reported)
        job.add_listener(job.EVENT_FINISHED, finished)
        shown.show(self.table())

    def _close(self) -> None:
        """No report of a cycle comes any more that had none until now: as :class:`RunSummary` counts it."""
        self._rows = {
            cycle: ("missed" if status == "open" else status, now)
            for cycle, (status, now) in self._rows.items()
        }

    def table(self) -> Table:
        """The latest cycles."""
        rows = [_row(cycle, status, now) for cycle, (status, now) in list(self._rows.items())[-_SHOWN:]]
        return Table(f"{self._title}: {len(self._rows)} cycles here", _HEADINGS, rows, self._note)


def _row(cycle: int, status: str, now: Progress | None) -> tuple[Any, ...]:
    if now is None:
        return (cycle, status, None, None, None, None)
    steps = f"{now.update}/{now.updates}" if now.updates else now.update
    return (cycle, status, steps, now.samples, now.loss, now.accuracy)
