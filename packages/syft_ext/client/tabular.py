"""What data owners have (tensors, arrays, data frames) as what a Domain keeps: tensors and a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from syft_ext.errors import BadRequest
from syft_ext.messages.datasets import Column

if TYPE_CHECKING:
    import torch

__all__ = ["as_data", "schema_of"]


def as_data(value: Any, name: str) -> torch.Tensor | dict[str, torch.Tensor]:
    """A tensor, an array or a list of numbers as a tensor; a data frame as one tensor per column.

    Raises :class:`~syft_ext.errors.BadRequest` naming what cannot be kept as numbers.
    """
    if hasattr(value, "columns") and hasattr(value, "dtypes"):
        columns = list(value.columns)
        if len({str(column) for column in columns}) != len(columns):
            raise BadRequest(f"{name}: two columns have the same name")
        return {
            str(column): _tensor(value[column].to_numpy(), f"{name}, column {column}") for column in columns
        }
    if isinstance(value, Mapping):
        return {str(key): _tensor(part, f"{name}, {key}") for key, part in value.items()}
    return _tensor(value, name)


def _tensor(value: Any, name: str) -> torch.Tensor:
    import numpy
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    array = numpy.asarray(value)
    if array.dtype == object:  # pandas' nullable numbers
        try:
            array = array.astype(numpy.float64)
        except (TypeError, ValueError):
            raise BadRequest(f"{name}: not numbers; encode text and categories as numbers first") from None
    if array.dtype.kind not in "biuf":
        raise BadRequest(f"{name}: {array.dtype} is not numbers; encode it as numbers first")
    try:
        return torch.from_numpy(numpy.ascontiguousarray(array).copy())
    except TypeError as error:
        raise BadRequest(f"{name}: {array.dtype} cannot be kept") from error


def schema_of(
    data: torch.Tensor | Mapping[str, torch.Tensor],
    name: str,
    said: Mapping[str, Mapping[str, Any]],
) -> list[Column]:
    """One column per tensor: its type, and the shape of one entry (the first dimension counts entries).

    ``said`` is what the owner says of columns: name → ``unit``, ``description``; other names are ignored.
    """
    tensors = data if isinstance(data, Mapping) else {name: data}
    return [
        Column(
            name=column,
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=list(tensor.shape[1:]),
            **said.get(column, {}),
        )
        for column, tensor in tensors.items()
    ]
