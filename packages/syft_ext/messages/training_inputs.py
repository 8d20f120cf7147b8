"""What a training takes of its participants' data: columns by name, classes by word, units, ranges and scaling.

A model knows numbers and places; what they mean stands here. Whoever hosts a training declares it once, it
is part of the definition that is agreed to, and every participant's data are matched against it before
they take part.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Id, Name, Note
from syft_ext.messages.operation import Empty, Message, operation
from syft_ext.messages.permissions import WORKER
from syft_ext.readable import readable

__all__ = [
    "ArrayInputs",
    "CategoryColumn",
    "InputColumn",
    "NumberColumn",
    "StandAside",
    "TableInputs",
    "TrainingInputs",
    "describe_inputs",
]

Positive = Annotated[float, msgspec.Meta(gt=0)]
Rows = Literal["drop", "refuse"]
"""What becomes of rows that do not fit: they are left out and counted, or the data are refused."""


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Defaults are not written: what is declared today keeps its digest when more can be declared."""


class NumberColumn(_Struct, kw_only=True, frozen=True, tag_field="kind", tag="number"):
    """A column of numbers.

    Attributes:
        name: exactly as participants' columns are called.
        unit: of the numbers; a participant who says another one is refused.
        whole: only whole numbers.
        low, high: the range, both ends included; None: no end.
        outside: what becomes of rows beyond the range.
        missing: what becomes of rows in which there is no number.
        centre, scale: the model gets (number − centre) / scale, worked out in double precision.
        scaling: "declared": by these two, which all participants share; "by-site": by each participant's
            own mean and deviation, and then equal numbers mean something else at each.
    """

    name: Name
    unit: Note = ""
    description: Note = ""
    whole: bool = False
    low: float | None = None
    high: float | None = None
    outside: Rows = "refuse"
    missing: Rows = "refuse"
    centre: float = 0.0
    scale: Positive = 1.0
    scaling: Literal["by-site", "declared"] = "declared"

    def __post_init__(self) -> None:
        for name in ("low", "high", "centre", "scale"):
            _as_float(self, name)
        check_scaling(self.name, self.low, self.high, [self.centre], [self.scale])
        if self.scaling == "by-site" and (self.centre, self.scale) != (0.0, 1.0):
            raise ValueError(f"{self.name}: scaling by each site's own numbers takes no centre and no scale")

    @property
    def width(self) -> int:
        """How many numbers the model gets of it."""
        return 1


class CategoryColumn(_Struct, kw_only=True, frozen=True, tag_field="kind", tag="category"):
    """A column of words (or codes with a meaning).

    Attributes:
        name: exactly as participants' columns are called.
        categories: the words; the model gets their places, from 0. How participants number them does not matter.
        one_hot: the model gets as many numbers as there are categories, 1 where the word stands and else 0.
        missing: what becomes of rows in which there is no word, or none of these.
    """

    name: Name
    categories: Annotated[list[Note], msgspec.Meta(min_length=1, max_length=10_000)]
    description: Note = ""
    one_hot: bool = False
    missing: Rows = "refuse"

    def __post_init__(self) -> None:
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"{self.name}: a category is named twice")

    @property
    def width(self) -> int:
        """How many numbers the model gets of it."""
        return len(self.categories) if self.one_hot else 1


InputColumn = NumberColumn | CategoryColumn


class TableInputs(_Struct, kw_only=True, frozen=True, tag_field="form", tag="table"):
    """A table. The model gets one row of numbers for each row: ``columns`` in this order, whatever theirs is.

    Attributes:
        columns: what the model learns from.
        label: what it learns; its categories are the classes.
    """

    columns: Annotated[list[InputColumn], msgspec.Meta(min_length=1, max_length=10_000)]
    label: InputColumn

    def __post_init__(self) -> None:
        _check_label(self.label)

    @property
    def sample_shape(self) -> list[int]:
        """The shape of one sample, as the model gets it."""
        return [sum(column.width for column in self.columns)]


class ArrayInputs(_Struct, kw_only=True, frozen=True, tag_field="form", tag="arrays"):
    """One array for each sample: measurements, or pictures.

    Attributes:
        name: of the array in participants' files; folders of pictures have none.
        shape: of one sample; of a picture: channels (1 or 3), height, width.
        picture: samples are pictures, and the numbers 0 to 1 of what their ``bits`` can hold.
        bits: 8 or 16, of pictures: those of another depth are refused.
        whole: only whole numbers, which the model gets as int64.
        unit, low, high: of the numbers in the arrays.
        centre, scale: one number, or one for each place along the first axis (channel).
    """

    name: Name = "x"
    shape: Annotated[
        list[Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]], msgspec.Meta(min_length=1, max_length=8)
    ]
    label: InputColumn
    picture: bool = False
    bits: Literal[16, 8] = 8
    whole: bool = False
    unit: Note = ""
    description: Note = ""
    low: float | None = None
    high: float | None = None
    centre: Annotated[list[float], msgspec.Meta(max_length=1 << 16)] = []
    scale: Annotated[list[Positive], msgspec.Meta(max_length=1 << 16)] = []

    def __post_init__(self) -> None:
        for name in ("low", "high", "centre", "scale"):
            _as_float(self, name)
        check_scaling(self.name, self.low, self.high, self.centre, self.scale)
        if any(len(each) not in (0, 1, self.shape[0]) for each in (self.centre, self.scale)):
            raise ValueError(f"{self.name}: centre and scale are one number, or {self.shape[0]}")
        _check_label(self.label)

    @property
    def sample_shape(self) -> list[int]:
        """The shape of one sample, as the model gets it."""
        return list(self.shape)


TrainingInputs = TableInputs | ArrayInputs


def _as_float(declared: msgspec.Struct, name: str) -> None:
    """Have 5 and 5.0 declare the same: they would have different digests."""
    value = getattr(declared, name)
    if value is not None:
        floats = [float(each) for each in value] if isinstance(value, list) else float(value)
        msgspec.structs.force_setattr(declared, name, floats)


def check_scaling(
    name: str, low: float | None, high: float | None, centre: list[float], scale: list[float]
) -> None:
    """Raise :class:`ValueError` for ranges and scales that say nothing."""
    if not all(math.isfinite(each) for each in (*centre, *scale, low or 0.0, high or 0.0)):
        raise ValueError(f"{name}: range, centre and scale are finite numbers")
    if any(each <= 0 for each in scale):
        raise ValueError(f"{name}: a scale is more than zero")
    if low is not None and high is not None and low > high:
        raise ValueError(f"{name}: low is more than high")


def _check_label(label: InputColumn) -> None:
    if isinstance(label, CategoryColumn) and label.one_hot:
        raise ValueError(
            f"{label.name}: a label is given as the place of its class; plans make columns of it"
        )


def describe_inputs(inputs: TrainingInputs | None) -> list[str]:
    """What a training takes, a line for each column; of one that declares nothing, that."""
    if inputs is None:
        return ["it declares nothing of the data that it takes: columns and classes cannot be compared"]
    if isinstance(inputs, TableInputs):
        lines = [f"column {place}: {_column(column)}" for place, column in enumerate(inputs.columns)]
    else:
        lines = [_array(inputs)]
    return [readable(line) for line in [*lines, f"label: {_column(inputs.label)}"]]


def _column(column: InputColumn) -> str:
    if isinstance(column, CategoryColumn):
        words = ", ".join(f"{place} = {word!r}" for place, word in enumerate(column.categories))
        parts = [f"{column.name!r}, one of {words}"]
        parts += ["as 0 and 1 for each"] if column.one_hot else []
    else:
        parts = [f"{column.name!r}, {'whole numbers' if column.whole else 'numbers'}"]
        parts += [f"in {column.unit}"] if column.unit else []
        parts += _range(column.low, column.high, column.outside)
        if column.scaling == "by-site":
            parts.append("scaled by each site's own mean and deviation")
        elif (column.centre, column.scale) != (0.0, 1.0):
            parts.append(f"given to the model as (number - {column.centre:g}) / {column.scale:g}")
    parts += ["rows without it are left out"] if column.missing == "drop" else []
    return ", ".join(parts + ([column.description] if column.description else []))


def _range(low: float | None, high: float | None, outside: str = "refuse") -> list[str]:
    if low is None and high is None:
        return []
    ends = (f"from {low:g}" if low is not None else "", f"to {high:g}" if high is not None else "")
    return [" ".join(filter(None, ends)) + (" (rows beyond are left out)" if outside == "drop" else "")]


def _array(inputs: ArrayInputs) -> str:
    if inputs.picture:
        channels, *size = inputs.shape if len(inputs.shape) == 3 else (1, *inputs.shape)
        parts = [f"pictures of {inputs.bits} bits, {channels} channels, {' × '.join(map(str, size))}"]
    else:
        parts = [f"array {inputs.name!r}, {'whole numbers' if inputs.whole else 'numbers'} {inputs.shape}"]
    parts += [f"in {inputs.unit}"] if inputs.unit else []
    parts += _range(inputs.low, inputs.high)
    if inputs.centre or inputs.scale:
        parts.append(f"given to the model as (number - {inputs.centre or 0}) / {inputs.scale or 1}")
    return ", ".join(parts + ([inputs.description] if inputs.description else []))


@operation(
    "federated.stand_aside",
    rest="POST /federated/processes/{process_id}/aside",
    reply=Empty,
    permission=WORKER,
    audited=False,
)
class StandAside(Message):
    """As a worker that joined: say why it takes no part for now, or with "" that it does again.

    What is said is of the form of its data, in the words of the declaration; no number of them is in it.
    """

    process_id: Id
    reason: Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^[^\x00]*$")] = ""
