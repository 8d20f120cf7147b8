"""What owners have in memory: tensors, arrays, data frames of pandas and Polars, datasets of torch.

None of these libraries is imported here: whoever has such an object has its library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.content import PartsContent
from syft_ext.sources.parts import (
    NOT_NUMBERS,
    Part,
    array_part,
    code_of_dtype,
    codes,
    metadata_of,
)
from syft_ext.store.content import is_tensor
from syft_ext.tensors import DTYPES

if TYPE_CHECKING:
    import torch

__all__ = ["content_of", "tensor_part"]


def content_of(value: Any, metadata: ColumnMetadata, name: str) -> PartsContent:
    """A tensor, an array or a list of numbers as a tensor; what has columns as one tensor per column.

    Args:
        metadata: what the owner says of columns.
        name: what to call it in errors; a tensor's only column is called as its last part.

    Raises :class:`BadRequest` naming what cannot be kept as numbers.
    """
    column = name.rsplit("/", 1)[-1]
    if type(value).__name__ == "LazyFrame":
        raise BadRequest(f"{name}: collect() the frame first")
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        names = [str(each) for each in value.columns]
        if len(set(names)) != len(names):
            raise BadRequest(f"{name}: two columns have the same name")
        parts = [
            _series_part(label, value[key], metadata_of(metadata, label), f"{name}, column {label}")
            for label, key in zip(names, value.columns, strict=True)
        ]
        return PartsContent("tensors", parts, column)
    if isinstance(value, Mapping):
        named = {str(key): part for key, part in value.items()}
        parts = [
            _part(key, part, metadata_of(metadata, key), f"{name}, {key}") for key, part in named.items()
        ]
        return PartsContent("tensors", parts, column)
    if hasattr(value, "__getitem__") and hasattr(value, "__len__") and _is_torch_dataset(value):
        return PartsContent("tensors", _dataset_parts(value, metadata, name), column)
    return PartsContent("tensor", [_part("", value, metadata_of(metadata, column), name)], column)


def _part(name: str, value: Any, metadata: Mapping[str, Any], where: str) -> Part:
    if is_tensor(value):
        return tensor_part(name, value, metadata, where)
    if hasattr(value, "to_numpy") and hasattr(value, "dtype") and not isinstance(value, np.ndarray):
        return _series_part(name, value, metadata, where)
    return array_part(name, np.asarray(value), metadata, where)


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


def _series_part(name: str, series: Any, metadata: Mapping[str, Any], where: str) -> Part:
    """A column of a data frame, converted a stretch of rows at a time."""
    if metadata.get("categories"):
        return Part(
            name,
            "I64",
            (len(series),),
            lambda i, j: codes(_sliced(series, i, j).to_list(), metadata["categories"], where, i),
            metadata,
        )
    if hasattr(series, "null_count") and not callable(getattr(series.dtype, "type", None)):
        return _polars_part(name, series, metadata, where)
    kind = getattr(series.dtype, "numpy_dtype", None)  # pandas' nullable numbers
    if kind is not None and np.dtype(kind).kind in "biuf":
        gaps = bool(series.isna().any())
        dtype = np.dtype(np.float64) if gaps else np.dtype(kind)
        fill: dict[str, Any] = {"na_value": np.nan} if gaps else {}
        return Part(
            name,
            code_of_dtype(dtype, where),
            (len(series),),
            lambda i, j: _sliced(series, i, j).to_numpy(dtype=dtype, **fill),
            metadata,
        )
    if type(series.dtype).__name__ == "CategoricalDtype":
        raise BadRequest(f"{where}: {NOT_NUMBERS}")
    return array_part(name, series.to_numpy(), metadata, where)


def _polars_part(name: str, series: Any, metadata: Mapping[str, Any], where: str) -> Part:
    kind = series.dtype
    boolean = str(kind) == "Boolean"
    if not (kind.is_numeric() or boolean) or kind.is_decimal():
        if str(kind).startswith("Array("):
            return array_part(name, series.to_numpy(), metadata, where)
        raise BadRequest(f"{where}: {kind} is {NOT_NUMBERS}")
    if series.null_count():
        import polars

        return Part(
            name, "F64", (len(series),), lambda i, j: series[i:j].cast(polars.Float64).to_numpy(), metadata
        )
    code = code_of_dtype(series[:0].to_numpy().dtype, where)
    return Part(name, code, (len(series),), lambda i, j: series[i:j].to_numpy(), metadata)


def _sliced(series: Any, first: int, stop: int) -> Any:
    return series.iloc[first:stop] if hasattr(series, "iloc") else series[first:stop]


def _is_torch_dataset(value: Any) -> bool:
    return any(kind.__module__.startswith("torch.utils.data") for kind in type(value).__mro__)


def _dataset_parts(dataset: Any, metadata: ColumnMetadata, name: str) -> list[Part]:
    """A map-style ``torch.utils.data.Dataset``: one tensor per item of a sample, read when it is sent.

    Samples that are not the same at every reading (random augmentations) are found out by their digest.
    """
    if not len(dataset):
        raise BadRequest(f"{name}: the dataset is empty")
    sample = dataset[0]
    keys: list[Any] = list(sample) if isinstance(sample, Mapping) else list(range(len(sample)))

    def part(key: Any) -> Part:
        label, where = str(key), f"{name}, item {key}"
        first = _part(label, sample[key], {}, where)
        if first.dtype == "BF16":
            raise BadRequest(f"{where}: bfloat16 samples cannot be stacked; convert them")

        def rows(start: int, stop: int) -> NDArray[Any]:
            return np.stack([np.asarray(dataset[index][key]) for index in range(start, stop)])

        return Part(label, first.dtype, (len(dataset), *first.shape), rows, metadata_of(metadata, label))

    return [part(key) for key in keys]
