"""Trainings whose reports are summed outside: by what is not in this process, and not trusted to it.

Such reports are sealed, or masked: nobody here can read one, average early, or take one back. The room that knows
how they are checked and summed registers for their format, and the pipeline asks it where it would look itself.
What is collected when a cycle leaves COLLECTING is what is summed, whatever becomes of it: that is final.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from grid.aggregation.base import Aggregate
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.federated.intake.format import UploadCheck
from grid.federated.intake.registry import format_of
from grid.federated.state.store import Unit
from grid.storage.blobs.blob import Blob
from syft_ext.errors import Unavailable
from syft_ext.tensors import Layout

__all__ = ["AwaitedSum", "OutsideSum", "OutsideSums", "Outsiders"]


@dataclass(frozen=True, slots=True)
class OutsideSum:
    """What came back for a cycle.

    Attributes:
        aggregate: as the training's strategy takes it.
        note: what whoever made it has to write down with the model (:meth:`OutsideSums.publish`).
    """

    aggregate: Aggregate
    note: Any = None


@dataclass(frozen=True, slots=True)
class AwaitedSum:
    """The reports are summed, and the sum is somebody's to open, who takes their time.

    Attributes:
        blob: what they are given; held until it is noted.
        note: writes it down, in the transaction that ends this work. Whoever has opened it publishes
            :class:`~grid.federated.state.events.CycleClosed` again, and :meth:`OutsideSums.sum` has the answer
                then.
        whom: who is waited for, for those who watch.
    """

    blob: Blob
    note: Callable[[Unit], None]
    whom: str


class OutsideSums(Protocol):
    """Who checks and sums the reports of one format. Beside these it hears of cycles that are opened and closed
    (:mod:`grid.federated.state.events`), inside the transactions that do it."""

    def check_training(
        self, server: ServerConfig, plans: Mapping[str, str], protocols: Mapping[str, bytes]
    ) -> None:
        """Raise :class:`InvalidConfig` for a training that cannot be summed so, when it is hosted.

        Args:
            plans: the digests of its client plans, by name. protocols: what it hands its participants, by name.
        """

    def check_model(self, definition: TrainingDefinition, layout: Layout) -> None:
        """Raise :class:`InvalidTensors` for a model that cannot be, when it is uploaded."""

    def kept(self, definition: TrainingDefinition, layout: Layout) -> int:
        """Bytes that a cycle adds to what is kept of the training, beside its model."""

    def until(self, unit: Unit) -> float | None:
        """When the unit's cycle takes no report any more, whatever its length; None: not known yet."""

    def upload(self, assignment: Any, layout: Layout) -> UploadCheck:
        """The check of the report of this row (:meth:`Collector.find_active`). Raises what refuses it before a
        byte of it is read."""

    def count(self, unit: Unit, assignment: Any, blob: Blob) -> None:
        """A report is about to be counted. Raises what refuses it, and it alone."""

    def sum(self, definition: TrainingDefinition, cycle_id: str, base: TensorFile) -> OutsideSum | AwaitedSum:
        """The sum of a closed cycle. Called again after what passes, and after a crash: the answer is the same.

        Raises what passes (:mod:`grid.concurrency.passing`); a :class:`BadRequest` or :class:`Unsupported` is what
        can never succeed, and fails the cycle.
        """

    def publish(self, unit: Unit, found: OutsideSum, number: int) -> None:
        """Model ``number`` was made of it: this is the transaction that says so."""


class Outsiders:
    """Who sums the reports of which format. Empty where a node has nobody who does."""

    def __init__(self) -> None:
        self._by_format: dict[str, OutsideSums] = {}

    def register(self, name: str, sums: OutsideSums) -> None:
        """``sums`` does those of the format ``name``. Raises :class:`ValueError` if somebody does already."""
        if name in self._by_format:
            raise ValueError(f"two sum reports of the format {name}")
        self._by_format[name] = sums

    def known(self, server: ServerConfig) -> OutsideSums | None:
        """As :meth:`of`; None also where nobody can, or the format is not installed any more: such a training can
        still be seen, and ended."""
        return self._by_format.get(server.report_format)

    def of(self, server: ServerConfig) -> OutsideSums | None:
        """Who sums the reports of a training; None where the pipeline itself does.

        Raises :class:`Unavailable` where nobody on this node can.
        """
        if not format_of(server).outside:
            return None
        found = self._by_format.get(server.report_format)
        if found is None:
            raise Unavailable(f"nobody at this node sums reports of the format {server.report_format!r}")
        return found
