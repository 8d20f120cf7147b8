"""Local data of a job, matched against what its training declares before it asks for a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from syft_ext.errors import DataMismatch, GridError
from syft_ext.federated.batches import LocalTraining, PlanTrainer
from syft_ext.federated.consent import Consent
from syft_ext.federated.inputs import SiteArrays, match, site_data
from syft_ext.federated.inputs.columns import lost_in_single
from syft_ext.federated.privacy_book import PrivacyBook
from syft_ext.messages.training_inputs import TrainingInputs
from syft_ext.messages.vocabulary import ColumnMetadata

__all__ = ["MatchedTrainer", "matched_rows", "reason_aside"]

Tensors = tuple[torch.Tensor, torch.Tensor]


class MatchingJob(LocalTraining, Protocol):
    """What is known of a job once it has looked at its training."""

    consent: Consent

    def rows(self, data: Any, schema: ColumnMetadata | None = None) -> Tensors:
        """The data as the training takes them."""


class MatchedTrainer:
    """As :class:`~syft_ext.federated.batches.PlanTrainer`, over data that are matched once, at the first look."""

    def __init__(self, data: Any, schema: ColumnMetadata | None, seed: int | None, site: str) -> None:
        self._data, self._schema, self._seed, self._site = data, schema, seed, site
        self._trainer: PlanTrainer | None = None

    def prepare(self, job: MatchingJob) -> None:
        """Match, unless that was done, or the training is over and shows nobody what it takes."""
        if self._trainer is None and job.consent.facts is not None:
            rows = job.rows(self._data, self._schema)
            self._trainer = PlanTrainer(*rows, seed=self._seed, site=self._site, book=PrivacyBook())

    def __call__(self, job: MatchingJob) -> list[torch.Tensor]:
        self.prepare(job)
        assert self._trainer is not None  # whoever trains has looked
        return self._trainer(job)


def matched_rows(
    inputs: TrainingInputs | None, data: Any, schema: ColumnMetadata | None, say: Callable[[str], object]
) -> Tensors:
    """Samples and labels as a training takes them; what could not be compared is said.

    Where nothing is declared, only plain arrays are taken: whoever gives names would have them put in an
        order that
    nobody has said. Raises :class:`DataMismatch`.
    """
    if inputs is None:
        return _undeclared(data, schema)
    rows = match(inputs, site_data(data, schema))
    for note in rows.notes:
        say(note)
    return torch.from_numpy(rows.x), torch.from_numpy(rows.y)


def reason_aside(error: GridError | None) -> str:
    """What a Domain is told of data that do not fit: the declaration's words, and nothing of their rows."""
    if error is None:
        return ""
    if error.extra.get("values"):
        return "its data: rows that are not as declared; its owner is told which"
    return f"its data: {error.extra.get('form') or 'they cannot be read'}"


def _undeclared(data: Any, schema: ColumnMetadata | None) -> Tensors:
    if (
        isinstance(data, tuple | list)
        and len(data) == 2
        and all(isinstance(each, torch.Tensor) for each in data)
    ):
        return data[0], data[1]
    site = site_data(data, schema)
    if not isinstance(site, SiteArrays) or site.named or site.classes:
        raise DataMismatch(
            f"{site.title}: the training declares no inputs, so that nobody says which column, or"
            f" class, has which place"
            " in its model. Its host can declare them (inputs=sy.declare_inputs(…)); or give tensors,"
            " in the model's order",
            form="has names, and nothing is declared to compare them with",
        )
    x, y = (_tensor(site.arrays[name], f"{site.title}, {name}") for name in "xy")
    return x, y


def _tensor(array: NDArray[Any], where: str) -> torch.Tensor:
    """Fractions in single precision. Raises :class:`DataMismatch` where that would round away what varies."""
    tensor = torch.as_tensor(array)
    if array.dtype == np.float64 and len(array):
        lost = lost_in_single(array) & np.isfinite(array)
        if lost.any():
            row = int(np.argwhere(lost)[0][0])
            raise DataMismatch(
                f"{where}, row {row + 1}: single precision would round away what varies there: subtract what all"
                " rows have in common",
                form="would be rounded",
            )
    return tensor.float() if tensor.is_floating_point() else tensor
