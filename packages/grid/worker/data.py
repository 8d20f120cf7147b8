"""The data that a Worker's owner gave it: looked at when it starts, read as a training declares, never
sent anywhere.

A training that declares its inputs gets them by name (:mod:`syft_ext.federated.inputs`). One that declares nothing
gets what the owner has said in the Worker's settings, and where they have not, nothing: neither the order
of columns nor the numbers of classes are guessed from a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from grid.worker.undeclared import OwnersWord, undeclared
from syft_ext.errors import BadRequest, GridError, InvalidConfig
from syft_ext.federated.inputs import Rows, SiteArrays, SiteData, SiteFolder, SiteTable, match, site_data
from syft_ext.messages.training_inputs import TrainingInputs
from syft_ext.messages.vocabulary import TableOptions

if TYPE_CHECKING:
    import torch

    from grid.worker.protocol import ParticipantSetup

__all__ = ["OwnerData", "Survey", "owner_data", "tensors"]

CHANGES = 1.0
"""Seconds between two looks at data that were not what was needed."""
_SHOWN = 20
_KEPT = 4
_USUAL = TableOptions()


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at the data found: ``rows``, and which columns hold what some trainings cannot take."""

    rows: int
    notes: list[str] = field(default_factory=list)


class OwnerData:
    """A file or folder.

    Args:
        schema: a JSON file: column → what it is (unit, categories); None: nothing is said.
        word: what the owner says for trainings that declare nothing. text: how a CSV is written.
    """

    def __init__(
        self, path: Path, schema: Path | None, word: OwnersWord, text: TableOptions = _USUAL
    ) -> None:
        self.path, self._schema, self._word, self._text = path, schema, word, text
        self._lock = Lock()
        self._read: dict[bytes, tuple[Any, Rows]] = {}

    def stamp(self) -> Any:
        """Something else whenever the data have changed."""
        try:
            return [_stamp(self.path), None if self._schema is None else _stamp(self._schema)]
        except OSError as error:
            return str(error)

    def changed(self, since: Any, wait: Callable[[float], Any]) -> bool:
        """Wait until the data are other than at the stamp ``since``, and nobody writes them any more; False where
        ``wait(seconds)`` says that somebody wants an end."""
        before = since
        while not wait(CHANGES):
            now = self.stamp()
            if now == before != since:
                return True
            before = now
        return False

    def rows(self, inputs: TrainingInputs | None) -> Rows:
        """What a training takes of the data as they are now.

        Raises :class:`~syft_ext.errors.DataMismatch` where they are something else, and :class:`BadRequest` (or
        :class:`NotFound`) where they cannot be read; both name the place.
        """
        key, stamp = msgspec.msgpack.encode(inputs), self.stamp()
        with self._lock:
            kept = self._read.get(key)
            if kept is None or kept[0] != stamp:
                kept = self._read[key] = (stamp, self._rows(inputs))
                while len(self._read) > _KEPT:
                    del self._read[next(iter(self._read))]
            return kept[1]

    def _rows(self, inputs: TrainingInputs | None) -> Rows:
        site = self._site()
        if inputs is None:
            return undeclared(site, self._word)
        rows = match(inputs, site)
        if self._word.standardise != "none":
            rows.notes.append(
                "the training declares how its inputs are scaled: standardise is for those that do not"
            )
        return rows

    def survey(self) -> Survey:
        """Look at all of the data. Raises :class:`GridError`, naming the place, where no training can use them."""
        try:
            return self._survey(self._site())
        except GridError as error:
            if self.path.name in error.detail:
                raise
            raise type(error)(f"{self.path.name}: {error.detail}", **error.extra) from error

    def _site(self) -> SiteData:
        return site_data(self.path, self._metadata(), options=self._text)

    def _metadata(self) -> Mapping[str, Mapping[str, Any]]:
        if self._schema is None:
            return {}
        try:
            return msgspec.json.decode(self._schema.read_bytes(), type=dict[str, dict[str, Any]])
        except (OSError, msgspec.MsgspecError) as error:
            raise InvalidConfig(
                f"{self._schema}: a JSON object is needed, column to unit and categories: {error}",
                key="schema",
            ) from error

    def _survey(self, site: SiteData) -> Survey:
        if isinstance(site, SiteFolder):
            x, _ = site.read()
            return Survey(len(x), _not_finite(site.title, "samples", x))
        if isinstance(site, SiteArrays):
            if not site.arrays:
                raise BadRequest(f"{site.title}: there are no arrays")
            notes = [
                note for name, array in site.arrays.items() for note in _not_finite(site.title, name, array)
            ]
            return Survey(max((len(array) for array in site.arrays.values() if array.ndim), default=0), notes)
        assert isinstance(site, SiteTable)
        return _of_table(site)


def _of_table(site: SiteTable) -> Survey:
    """Every column read once: what its owner is told now need not surprise them when a training comes."""
    notes: list[str] = []
    words = {name: list(site.about(name).get("categories") or ()) for name in site.names}
    read: dict[str, npt.NDArray[Any]] = {}
    errors: list[GridError] = []
    try:
        read = site.read(words)
    except GridError:
        for name in site.names:
            try:
                read |= site.read({name: words[name]})
            except GridError as error:
                errors.append(error)
                notes.append(_column_note(error.detail, name))
    if errors and not read:
        raise errors[0]
    rows = len(next(iter(read.values())))
    if not rows:
        raise BadRequest(f"{site.title}: there are no rows below the names of the columns")
    for name, values in read.items():
        notes += _not_finite(site.title, name, values)
    more = (
        [f"{site.title}: {len(notes) - _SHOWN} more columns cannot be used as they are"]
        if len(notes) > _SHOWN
        else []
    )
    return Survey(rows, [*notes[:_SHOWN], *more])


def _not_finite(title: str, name: str, values: npt.NDArray[Any]) -> list[str]:
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return []
    row = int((~np.isfinite(values)).reshape(len(values), -1).any(1).argmax()) + 1
    what = "has no number" if np.isnan(values[row - 1]).any() else "is not finite"
    return [_column_note(f"{title}, column {name!r}, row {row} {what}", name)]


def _column_note(problem: str, name: str) -> str:
    return f"{problem} (so {name!r} cannot be used by a training that takes numbers there, and all rows)"


def _stamp(path: Path) -> list[Any]:
    """Size and time of a file; of a folder, of all in it."""
    found = path.stat()
    stamps: list[Any] = [found.st_mtime_ns, found.st_size, found.st_ino]
    if path.is_dir():
        for folder, _, names in sorted(os.walk(path)):
            for name in sorted(names):
                each = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - there may be very many
                stamps.append((folder, name, each.st_mtime_ns, each.st_size))
    return stamps


def owner_data(setup: ParticipantSetup) -> OwnerData:
    """The data that the set-up names."""
    word = OwnersWord(
        target=setup.target,
        classes=setup.classes,
        columns=setup.columns,
        standardise=setup.standardise,
        statistics=Path(setup.statistics) if setup.statistics else None,
    )
    return OwnerData(Path(setup.data), Path(setup.schema) if setup.schema else None, word, setup.text)


def tensors(rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples and labels for a trainer."""
    import torch

    return torch.from_numpy(rows.x), torch.from_numpy(rows.y)
