"""The form of a stored content: what its header says, without reading its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from grid.storage.blobs.interface import BlobStore
from syft_ext.errors import BadRequest
from syft_ext.messages.datasets import Column
from syft_ext.store.content import TENSOR_KINDS
from syft_ext.tensors import DTYPES, TensorSpec, header_size, read_layout

__all__ = ["Form", "completed", "form_of"]


@dataclass(frozen=True, slots=True)
class Form:
    """The tensors of a content; empty for what is no tensors."""

    specs: tuple[TensorSpec, ...] = ()

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
        return Form(read_layout(reader.read(0, header_size(reader.read(0, 8)))).specs)


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
        found.append(msgspec.structs.replace(column, dtype=dtype, shape=shape))
    return found
