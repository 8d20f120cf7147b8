"""Stored objects as tensors: their layout, and the bytes of one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from grid.offload import offload
from grid.storage.blobs import BlobStore
from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages.compute import TensorLayout
from syft_ext.store.content import TENSOR_KINDS
from syft_ext.tensors import DTYPES, TensorSpec, header_size, read_layout

__all__ = ["CODES", "Content", "short_dtype"]

_PIECE = 1 << 20
#: The short name of a dtype, as plans write it → its name in tensor files.
CODES: Mapping[str, str] = {("b" if code == "BOOL" else code.lower()): code for code in DTYPES}
_SHORT = {code: short for short, code in CODES.items()}


def short_dtype(spec: TensorSpec) -> str:
    return _SHORT[spec.dtype]


class Content:
    """An open tensor file. Deleting the object does not cut a reading off."""

    def __init__(self, blobs: BlobStore, digest: str, kind: str) -> None:
        if kind not in TENSOR_KINDS:
            raise BadRequest(f"an object of kind {kind[:32]} holds no tensors")
        self._file = blobs.open(digest)
        try:
            head = header_size(os.pread(self._file.fileno(), 8, 0))
            self._layout = read_layout(os.pread(self._file.fileno(), head, 0))
        except BaseException:
            self._file.close()
            raise

    def tensors(self) -> list[TensorLayout]:
        return [
            TensorLayout(name=spec.name, dtype=short_dtype(spec), shape=list(spec.shape))
            for spec in self._layout.specs
        ]

    def find(self, name: str) -> TensorSpec:
        """The tensor of that name; "" is the only one, whatever it is called."""
        for spec in self._layout.specs:
            if spec.name == name:
                return spec
        if not name and len(self._layout.specs) == 1:
            return self._layout.specs[0]
        raise NotFound(f"the object holds no tensor {name[:80]!r}")

    def pieces(self, spec: TensorSpec) -> Iterator[bytes]:
        """The bytes of a tensor, read beside the event loop."""
        position, stop = self._layout.data_offset + spec.start, self._layout.data_offset + spec.stop
        while position < stop:
            piece = offload(os.pread, self._file.fileno(), min(_PIECE, stop - position), position)
            if not piece:
                raise OSError("the content is shorter than its header says")
            position += len(piece)
            yield piece

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
