"""What the parts of the pipeline tell one another over the node's :class:`~grid.node.events.EventBus`.

Each part knows the store, the bus and the state machines; of the other parts, only these events. An event with
a ``unit`` is published inside that transaction. Of the others each says whether something is committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from grid.federated.state.store import Unit
from grid.node.events import Event, TransactionEvent

__all__ = [
    "AveragingStarts",
    "CycleClosed",
    "CycleEnded",
    "CycleForgotten",
    "CycleOpened",
    "MasksMove",
    "ModelReplaced",
    "ReportAccepted",
    "ReportReceived",
    "ReportUnusable",
    "SlotsChanged",
    "StateForgotten",
    "TrainingEnded",
    "WakeAt",
    "WakeForWorkAt",
    "WorkDue",
]


# -- inside a transaction --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CycleOpened(TransactionEvent):
    """``unit.cycle`` is a new cycle; nobody was admitted to it yet."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class CycleClosed(TransactionEvent):
    """``unit.cycle`` takes no more reports: those it has are to be averaged after the commit."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class CycleEnded(TransactionEvent):
    """``unit.cycle`` is over, well or badly: what was kept for it can go."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class MasksMove(TransactionEvent):
    """The masked reports of ``unit.cycle`` may be one phase further: one more came, or a time is up."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class SlotsChanged(TransactionEvent):
    """Waiting workers may be admitted, or have to be sent away. Published once, at the transaction's end."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class ReportUnusable(TransactionEvent):
    """An accepted report of ``unit.cycle`` could not be averaged, and is to be taken back. ``tensor``: the one
    that was the reason, "" where none was."""

    unit: Unit
    assignment_id: str
    reason: str
    tensor: str = ""


@dataclass(frozen=True, slots=True)
class TrainingEnded(TransactionEvent):
    """``unit.process`` will have no further cycle: what was kept for one can go."""

    unit: Unit


# -- outside ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReportReceived(Event):
    """A report has come and waits for the disk. Nothing is committed: it may still be refused."""

    process_id: str
    cycle_id: str


@dataclass(frozen=True, slots=True)
class ReportAccepted(Event):
    """A report of ``size`` bytes was counted, and its cycle collects on: this is committed."""

    process_id: str
    cycle_id: str
    size: int


@dataclass(frozen=True, slots=True)
class AveragingStarts(Event):
    """A closed cycle is averaged now. Nothing is committed yet.

    What a handler enters in ``scope`` lasts until that is over, well or badly; as a rule the training's next
    cycle is open then.
    """

    process_id: str
    scope: ExitStack


@dataclass(frozen=True, slots=True)
class ModelReplaced(Event):
    """A cycle has its model: this is committed. The one before it (``digest``) will hardly be read again."""

    process_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class CycleForgotten(Event):
    """No report of this cycle is needed any more: this is committed.

    Attributes:
        contents: digest → bytes of what the reports referred to; nothing does so now.
    """

    process_id: str
    cycle_id: str
    contents: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StateForgotten(Event):
    """What a strategy kept, or an old model, is needed no more: this is committed. ``contents``: as in
    :class:`CycleForgotten`."""

    contents: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WakeAt(Event):
    """Something is due for a training at ``when`` (seconds since the epoch): what makes it so is committed."""

    process_id: str
    when: float


@dataclass(frozen=True, slots=True)
class WakeForWorkAt(Event):
    """A message of the outbox can be taken at ``when`` (seconds since the epoch): this is committed."""

    when: float


@dataclass(frozen=True, slots=True)
class WorkDue(Event):
    """Messages may wait in the outbox: they were left by whoever died, or are to be tried again."""
