"""Trainings at a Domain, as their owner sees and steers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from syft_ext.client.collection import Collection
from syft_ext.client.metrics import Metrics
from syft_ext.client.transfer import download
from syft_ext.client.watch import watch
from syft_ext.display.table import Table, fields_table, size, when
from syft_ext.errors import NotFound
from syft_ext.messages.federated import (
    CancelProcess,
    CheckpointView,
    Event,
    EventsReply,
    GetProcess,
    ListProcesses,
    MetricsReply,
    PauseProcess,
    ProcessHistory,
    ProcessList,
    ProcessMetrics,
    ProcessView,
    ResumeProcess,
    RetrieveModel,
)

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.plans.training.parameters import Parameters

__all__ = ["History", "Training", "Trainings"]


class History(list[Event]):
    """The transitions of a training, its cycles and assignments, in order."""

    @overload
    def __getitem__(self, which: SupportsIndex) -> Event: ...
    @overload
    def __getitem__(self, which: slice) -> History: ...
    def __getitem__(self, which: SupportsIndex | slice) -> Event | History:
        """One of them; of several, ``history[:10]``, again what shows itself as a table."""
        return History(super().__getitem__(which)) if isinstance(which, slice) else super().__getitem__(which)

    def table(self) -> Table:
        """One row for each transition."""
        rows = [
            (when(e.at), e.entity, e.cycle, f"{e.before or '·'} → {e.after}", e.entity_id[:12]) for e in self
        ]
        return Table("History", ("time", "of", "cycle", "what", "id"), rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Training:
    """One training: what it is, what became of it, and the handles to steer it.

    ``view`` is the state when it was last asked for; :meth:`refresh` asks again.
    """

    def __init__(self, client: Caller, view: ProcessView) -> None:
        self.client = client
        self.view = view

    @property
    def id(self) -> str:
        return self.view.process_id

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def version(self) -> str:
        return self.view.version

    @property
    def status(self) -> str:
        """ "created", "running", "paused", "completed", "cancelled" or "failed": asked now."""
        return self.refresh().view.status

    def refresh(self) -> Training:
        """Ask the Domain for the present state."""
        self.view = self.client.call(GetProcess(process_id=self.id))
        return self

    def pause(self) -> Training:
        """Hand out no more assignments until :meth:`resume`."""
        self.view = self.client.call(PauseProcess(process_id=self.id))
        return self

    def resume(self) -> Training:
        """Hand out assignments again; raises :class:`~syft_ext.errors.Conflict` unless it is paused."""
        self.view = self.client.call(ResumeProcess(process_id=self.id))
        return self

    def cancel(self, reason: str = "") -> Training:
        """End it for good; its checkpoints stay."""
        self.view = self.client.call(CancelProcess(process_id=self.id, reason=reason))
        return self

    def history(self) -> History:
        """All transitions so far."""
        events = History()
        while True:
            last = events[-1].seq if events else 0
            page: EventsReply = self.client.call(ProcessHistory(process_id=self.id, after=last))
            if not page.events:
                return events
            events += page.events

    def metrics(self) -> Metrics:
        """Loss, accuracy, samples and participants of every cycle so far."""
        reply: MetricsReply = self.client.call(ProcessMetrics(process_id=self.id))
        return Metrics(reply.cycles, f"Cycles of {self.name} {self.version}")

    def model(self, checkpoint: int | str = "latest") -> Parameters:
        """A checkpoint's parameters; 1 is the model as it was hosted."""
        return Trainings(self.client).model(self.name, self.version, checkpoint)

    def watch(self, *, timeout: float | None = None) -> Metrics:
        """Follow it live until it ends: a table in a terminal or notebook, silence elsewhere.

        Survives restarts of the Domain. ``timeout``: seconds after which to stop watching.

        Returns:
            The metrics of all cycles, as they are in the end.
        """
        return watch(self, timeout=timeout)

    def table(self) -> Table:
        """Where the training stands, as of the last call."""
        view = self.view
        total = view.num_cycles or "∞"
        fields = [
            ("status", view.status + (f": {view.reason}" if view.reason else "")),
            ("cycles", f"{view.cycles_completed} of {total}"),
            ("cycle now", f"{view.cycle} ({view.cycle_status}): {view.reported} of {view.admitted} reported"),
            ("checkpoint", view.checkpoint),
            ("model", size(view.model_size)),
            ("plans", list(view.plans)),
            ("aggregator", _aggregator(view)),
            ("hosted by", self._owner()),
            ("created", when(view.created_at)),
            ("id", view.process_id),
        ]
        return fields_table(f"Training {view.name} {view.version}", fields)

    def _owner(self) -> str:
        """Your address where it is yours; of somebody else the id is all that the Domain tells."""
        session = self.client.session
        return session.email if session and session.user_id == self.view.owner else self.view.owner

    def __repr__(self) -> str:
        view = self.view
        return (
            f"<Training {view.name!r} {view.version!r} {view.status}, "
            f"{view.cycles_completed} of {view.num_cycles or '∞'} cycles, id {view.process_id}>"
        )

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Trainings(Collection[Training]):
    """The trainings that a Domain hosts, newest first."""

    title = "Trainings"
    headings = ("name", "version", "status", "cycles", "reports", "created", "id")

    def all(self) -> list[Training]:
        reply: ProcessList = self.client.call(ListProcesses())
        return [Training(self.client, view) for view in reply.processes]

    def get(self, process_id: str) -> Training:
        """By id, whoever hosts it. Raises :class:`~syft_ext.errors.NotFound`."""
        return Training(self.client, self.client.call(GetProcess(process_id=process_id)))

    def find(self, name: str, version: str = "") -> Training:
        """The newest training of that name (and version). Raises :class:`~syft_ext.errors.NotFound`."""
        reply: ProcessList = self.client.call(ListProcesses(name=name, version=version))
        if not reply.processes:
            which = f"{name!r} {version!r}" if version else repr(name)
            raise NotFound(f"{self.client.name} hosts no training {which}")
        return Training(self.client, reply.processes[0])

    def cancel(self, process_id: str, reason: str = "") -> Training:
        """As :meth:`Training.cancel`, by id."""
        return self.get(process_id).cancel(reason)

    def pause(self, process_id: str) -> Training:
        """As :meth:`Training.pause`, by id."""
        return self.get(process_id).pause()

    def resume(self, process_id: str) -> Training:
        """As :meth:`Training.resume`, by id."""
        return self.get(process_id).resume()

    def history(self, process_id: str) -> History:
        """As :meth:`Training.history`, by id."""
        return self.get(process_id).history()

    def metrics(self, process_id: str) -> Metrics:
        """As :meth:`Training.metrics`, by id."""
        return self.get(process_id).metrics()

    def model(self, name: str, version: str, checkpoint: int | str = "latest") -> Parameters:
        """Download a checkpoint; ``checkpoint`` is a number or "latest"."""
        from syft_ext.plans.training.parameters import Parameters

        message = RetrieveModel(name=name, version=version, checkpoint=str(checkpoint))
        view: CheckpointView
        view, data = download(self.client, message, f"model {name}")
        return Parameters.loads(data, checkpoint=view.number, digest=view.digest)

    def key(self, item: Training) -> tuple[str, ...]:
        return (item.id, item.name)

    def row(self, item: Training) -> tuple[Any, ...]:
        view = item.view
        cycles = f"{view.cycles_completed} of {view.num_cycles or '∞'}"
        reports = f"{view.reported} of {view.admitted}"
        return (view.name, view.version, view.status, cycles, reports, when(view.created_at), view.process_id)


def _aggregator(view: ProcessView) -> str:
    set_to = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in view.aggregator_parameters.items()
    )
    return f"{view.aggregator} ({set_to})" if set_to else view.aggregator
