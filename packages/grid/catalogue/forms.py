"""The form of a stored content: what its header says, without reading its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from grid.storage.blobs.interface import BlobStore
from syft_ext.errors import BadRequest
from syft_ext.messages.datasets import Column
from syft_ext.store.content import TENSOR_KINDS
from syft_ext.tensors import DTYPES, TensorSpec, described, header_size, read_layout

__all__ = ["Form", "completed", "form_of"]


@dataclass(frozen=True, slots=True)
class Form:
    """The tensors of a content; empty for what is no tensors.

    Attributes:
        meanings: what its columns say of themselves: unit of times, words of a categorical.
    """

    specs: tuple[TensorSpec, ...] = ()
    meanings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def rows(self) -> int | None:
        """Entries that all tensors have; None where they differ."""
        lengths = {spec.shape[0] for spec in self.specs if spec.shape}
        return lengths.pop() if len(lengths) == 1 else None

    def like(self, other: Form) -> bool:
        """Whether code written for the one runs on the other: all but the number of entries is the same."""
        return [_entry(spec) for spec in self.specs] == [_entry(spec) for spec in other.specs]


def _entry(spec: TensorSpec) -> tuple[object, ...]:
    return (spec.name, spec.dtype, len(spec.shape), spec.shape[1:])


def form_of(blobs: BlobStore, digest: str, kind: str) -> Form:
    """Reads the header only. (What is stored as tensors was checked when it was put.)"""
    if kind not in TENSOR_KINDS:
        return Form()
    with blobs.open(digest) as reader:
        layout = read_layout(reader.read(0, header_size(reader.read(0, 8))))
    return Form(layout.specs, described(layout.metadata)[0])


def completed(form: Form, columns: Sequence[Column], asset: str) -> list[Column]:
    """The owner's schema with the types and shapes of the data; without one, the data's own.

    Raises :class:`BadRequest` where the two contradict each other.
    """
    if not form.specs:
        return list(columns)
    unnamed = len(form.specs) == 1 and not form.specs[0].name
    if not columns:
        columns = [Column(name=spec.name or asset) for spec in form.specs]
    specs = {spec.name: spec for spec in form.specs}
    found = []
    for column in columns:
        spec = form.specs[0] if unnamed and len(columns) == 1 else specs.get(column.name)
        if spec is None:  # one number of each row of a matrix, say
            found.append(column)
            continue
        dtype, shape = DTYPES[spec.dtype][0], list(spec.shape[1:])
        if column.dtype not in ("", dtype) or (column.shape and column.shape != shape):
            raise BadRequest(
                f"column {column.name!r} of {asset!r} is {dtype} {shape}, its schema says {column.dtype}"
                f" {column.shape}",
                column=column.name,
            )
        meaning = _meaning(column, form.meanings.get(spec.name, {}), asset)
        found.append(msgspec.structs.replace(column, dtype=dtype, shape=shape, **meaning))
    return found


def _meaning(column: Column, told: Mapping[str, Any], asset: str) -> dict[str, Any]:
    """What the content says of a column, where its owner says nothing else of it.

    The words of a categorical are those that its numbers stand for: other words would be wrong ones. A unit may be
    put in other words.
    """
    words = told.get("categories")
    if words and column.categories not in ([], words):
        raise BadRequest(
            f"column {column.name!r} of {asset!r} has the categories {', '.join(words)[:200]}; its schema says"
            f" {', '.join(column.categories)[:200]}",
            column=column.name,
        )
    found: dict[str, Any] = {"categories": words} if words else {}
    if told.get("unit") and not column.unit:
        found["unit"] = told["unit"]
    return found
