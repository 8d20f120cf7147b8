"""What owners have in memory: tensors, arrays, frames of pandas, Polars and Arrow, datasets of torch.

None of these libraries is imported here: whoever has such an object has its library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.arrays import held_array
from syft_ext.sources.arrow import ArrowColumns, cells_of_arrow, counted_cells, words_of
from syft_ext.sources.content import PartsContent
from syft_ext.sources.held import HeldColumn, held_content
from syft_ext.sources.pandas_frames import pandas_array, pandas_columns
from syft_ext.sources.parts import NUMPY, Part
from syft_ext.sources.polars_frames import polars_column
from syft_ext.sources.rule.cells import CellsProblem, cells_of_objects
from syft_ext.store.content import is_tensor
from syft_ext.tensors import DTYPES

if TYPE_CHECKING:
    import torch

__all__ = ["array_of", "content_of", "tensor_part"]


def content_of(
    value: Any, metadata: ColumnMetadata, name: str, columns: Sequence[str] | None = None
) -> PartsContent:
    """A tensor, an array or a list of numbers as a tensor; what has columns as one tensor per column.

    Args:
        metadata: what the owner says of columns.
        name: what to call it in errors; a tensor's only column is called as its last part.
        columns: only these, in this order.

    Raises :class:`BadRequest` naming what cannot be kept, of all columns at once.
    """
    last = name.rsplit("/", 1)[-1]
    table = _table_of(value, name)
    if table is not None:
        held, notes = table
        return held_content("tensors", name, held, metadata, columns=columns, name=last, notes=notes)
    if columns is not None:
        raise BadRequest(f"{name} has no columns to choose from")
    if hasattr(value, "__getitem__") and hasattr(value, "__len__") and _is_torch_dataset(value):
        parts = _dataset_parts(value, name)
        return held_content("tensors", name, parts, metadata, name=last)
    return held_content("tensor", name, [_held("", value, name)], metadata, name=last)


def _table_of(value: Any, where: str) -> tuple[Sequence[HeldColumn | Part], Sequence[str]] | None:
    """The columns of what has some, and what is left out; None for a tensor."""
    library = type(value).__module__.partition(".")[0]
    if type(value).__name__ == "LazyFrame":
        raise BadRequest(f"{where}: collect() the frame first")
    if library == "polars" and hasattr(value, "get_columns"):
        return [polars_column(series.name, series) for series in value.get_columns()], []
    if library == "pyarrow" and hasattr(value, "column_names"):
        return _arrow_table(value)
    if hasattr(value, "columns") and hasattr(value, "dtypes") and hasattr(value, "index"):
        return pandas_columns(value, where)
    if isinstance(value, np.ndarray) and value.dtype.names:
        return [_held(each, value[each], f"{where}, {each}") for each in value.dtype.names], []
    if isinstance(value, Mapping):
        return [_held(str(key), part, f"{where}, {key}") for key, part in value.items()], []
    return None


def _held(name: str, value: Any, where: str) -> HeldColumn | Part:
    """A column, or a tensor that keeps its type."""
    if is_tensor(value):
        return tensor_part(name, value, {}, where)
    library = type(value).__module__.partition(".")[0]
    if library == "polars":
        return polars_column(name, value)
    if library == "pyarrow":
        return _arrow_column(name, value)
    if library == "pandas" and hasattr(value, "array"):
        return pandas_array(name, value.array)
    if isinstance(value, list | tuple) and not any(
        isinstance(each, list | tuple | np.ndarray) for each in value
    ):
        # Through numpy, [1, 2.5] would be rounded and [1, "a"] be words before anybody looked.
        return HeldColumn(name, len(value), lambda first, stop: cells_of_objects(value[first:stop]))
    return held_array(name, array_of(value, where), where)


def array_of(value: Any, where: str) -> NDArray[Any]:
    """What numpy makes of lists in lists, arrays and their like; a mask stays.

    Raises :class:`BadRequest` where numpy would change a number: whole numbers beside fractions or beyond int64,
    truth values beside numbers.
    """
    if isinstance(value, np.ndarray):
        return value if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise BadRequest(f"{where}: {error}") from None
    if isinstance(value, list | tuple):
        _check_unchanged(value, array, where)
    return array


def _check_unchanged(value: Sequence[Any], array: NDArray[Any], where: str) -> None:
    for row, each in enumerate(value):
        try:
            if isinstance(each, list | tuple):
                _check_unchanged(each, array[row], f"{where}, row {row + 1}")
            elif isinstance(each, np.ndarray) and each.dtype != array.dtype:
                raise CellsProblem(row, f"{each.dtype}, where there is {array.dtype} elsewhere")
        except CellsProblem as problem:
            raise BadRequest(f"{where}, row {problem.row + 1}: {problem.text}") from None
    plain = [each for each in value if isinstance(each, bool | int | float)]
    kinds = {isinstance(each, bool) for each in plain}
    if len(kinds) > 1 or (True in kinds and array.dtype.kind != "b"):
        raise BadRequest(f"{where}: truth values beside numbers")
    changed = next(
        (each for each in plain if array.dtype.kind in "iuf" and _is_changed(each, array.dtype)), None
    )
    if changed is not None:
        raise BadRequest(f"{where}: {changed} is not held by {array.dtype}, which other numbers here need")


def _is_changed(value: bool | int | float, dtype: np.dtype[Any]) -> bool:
    """Whether a whole number becomes another one in a type."""
    if not isinstance(value, int):
        return False
    try:
        return int(dtype.type(value)) != value
    except OverflowError:
        return True


def _arrow_table(table: Any) -> tuple[Sequence[HeldColumn], Sequence[str]]:
    described = ArrowColumns(table.schema, table.num_rows)
    counted = [_counted_column(name, numbers) for name, numbers in described.counted.items()]
    held = zip(described.names, described.places, strict=True)
    written = [_arrow_column(name, table.column(place)) for name, place in held if place is not None]
    return [*counted, *written], described.notes


def _counted_column(name: str, numbers: range) -> HeldColumn:
    return HeldColumn(name, len(numbers), lambda first, stop: counted_cells(numbers[first:stop]))


def _arrow_column(name: str, array: Any) -> HeldColumn:
    chunks = list(array.chunks) if hasattr(array, "chunks") else [array]
    return HeldColumn(
        name,
        len(array),
        lambda first, stop: cells_of_arrow(array.slice(first, stop - first)),
        words_of(iter(chunks)),
    )


def tensor_part(name: str, tensor: torch.Tensor, metadata: Mapping[str, Any], where: str) -> Part:
    """A part of a dense tensor; raises :class:`BadRequest` for what no store keeps."""
    import torch

    kept = {name: code for code, (name, _) in DTYPES.items()}
    code = kept.get(str(tensor.dtype).removeprefix("torch."))
    if code is None or str(tensor.layout) != "torch.strided" or tensor.device.type == "meta":
        raise BadRequest(f"{where}: a {tensor.layout} tensor of {tensor.dtype} cannot be kept")
    flat = tensor.detach().reshape(1) if tensor.ndim == 0 else tensor.detach()

    def rows(first: int, stop: int) -> NDArray[Any]:
        piece = flat[first:stop].cpu().contiguous()
        if piece.dtype is torch.bfloat16:  # numpy has none
            piece = piece.view(torch.uint16)
        return np.asarray(piece)

    return Part(name, code, tuple(tensor.shape), rows, metadata)


def _is_torch_dataset(value: Any) -> bool:
    return any(kind.__module__.startswith("torch.utils.data") for kind in type(value).__mro__)


def _dataset_parts(dataset: Any, name: str) -> list[Part]:
    """A map-style ``torch.utils.data.Dataset``: one tensor per item of a sample, read when it is sent.

    Samples that are not the same at every reading (random augmentations) are found out by their digest.
    """
    if not len(dataset):
        raise BadRequest(f"{name}: the dataset is empty")
    sample = dataset[0]
    keys: list[Any] = list(sample) if isinstance(sample, Mapping) else list(range(len(sample)))

    def part(key: Any) -> Part:
        where = f"{name}, item {key}"
        first = _sample_part(sample[key], where)
        if first.dtype == "BF16":
            raise BadRequest(f"{where}: bfloat16 samples cannot be stacked; convert them")

        def rows(start: int, stop: int) -> NDArray[Any]:
            read = [np.asarray(dataset[index][key]) for index in range(start, stop)]
            for row, each in enumerate(read):
                if each.shape != first.shape or not np.can_cast(each.dtype, np.dtype(NUMPY[first.dtype])):
                    raise BadRequest(
                        f"{where}, row {start + row + 1}: {each.dtype} {each.shape}, unlike the first"
                    )
            return np.stack(read)

        return Part(str(key), first.dtype, (len(dataset), *first.shape), rows)

    return [part(key) for key in keys]


def _sample_part(value: Any, where: str) -> Part:
    if is_tensor(value):
        return tensor_part("", value, {}, where)
    held = held_array("", np.asarray(value)[None], where)
    if not isinstance(held, Part):
        raise BadRequest(f"{where}: a {type(value).__name__} is not numbers")
    return Part("", held.dtype, held.shape[1:], held.rows)
