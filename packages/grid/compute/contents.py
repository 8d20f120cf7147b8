"""Stored objects as tensors: their layout, and the bytes of one of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from grid.concurrency.offload import offload
from grid.storage.blobs.interface import BlobStore
from syft_ext.encrypted.frames import CONTEXT_KIND, LONGEST_HEAD, read_form
from syft_ext.encrypted.frames import KINDS as ENCRYPTED_KINDS
from syft_ext.errors import BadRequest, NotFound
from syft_ext.messages.compute import TensorLayout
from syft_ext.store.content import TENSOR_KINDS, decode
from syft_ext.tensors import DTYPES, Layout, TensorSpec, header_size, read_layout

__all__ = ["CODES", "Content", "short_dtype"]

_PIECE = 1 << 20
_LONGEST_NUMBER = 16
#: The short name of a dtype, as plans write it → its name in tensor files.
CODES: Mapping[str, str] = {("b" if code == "BOOL" else code.lower()): code for code in DTYPES}
_SHORT = {code: short for short, code in CODES.items()}


def short_dtype(spec: TensorSpec) -> str:
    """The dtype as plans write it (``f32``, ``b``), of one as tensor files do (``F32``, ``BOOL``)."""
    return _SHORT[spec.dtype]


#: Kinds of single numbers: the dtype and the format of the tensor without dimensions that each is here.
_NUMBERS = {"bool": ("BOOL", "?"), "int": ("I64", "<q"), "float": ("F64", "<d")}


class Content:
    """An open tensor file, a number, or what is encrypted (its bytes). Deleting the object does not cut a
    reading off.

    Raises :class:`BadRequest` for an object of another kind, and for an integer of more than 64 bits.
    """

    def __init__(self, blobs: BlobStore, digest: str, kind: str) -> None:
        if kind not in TENSOR_KINDS and kind not in _NUMBERS and kind not in ENCRYPTED_KINDS:
            raise BadRequest(f"an object of kind {kind[:32]} holds no tensors")
        self._reader = blobs.open(digest)
        self._number: bytes | None = None
        self.kind, self.form = kind, dict[str, Any]()
        try:
            if kind in ENCRYPTED_KINDS:
                self._layout = self._encrypted()
                return
            if kind in _NUMBERS:
                self._layout, self._number = _number(kind, self._reader.read(0, _LONGEST_NUMBER))
            else:
                self._layout = read_layout(self._reader.read(0, header_size(self._reader.read(0, 8))))
        except BaseException:
            self._reader.close()
            raise

    def _encrypted(self) -> Layout:
        size = self._reader.size
        if self.kind != CONTEXT_KIND:
            form, _ = read_form(self._reader.read(0, min(LONGEST_HEAD, size)), size)
            self.form = msgspec.to_builtins(form)
        return Layout((TensorSpec("", "U8", (size,), 0, size),), 0, {})

    def dtype(self, spec: TensorSpec) -> str:
        """As actions write it: of a tensor, or the kind of what is encrypted."""
        return self.kind if self.kind in ENCRYPTED_KINDS else short_dtype(spec)

    def tensors(self) -> list[TensorLayout]:
        """Names, dtypes and shapes, in the order of the file; a number is one without dimensions."""
        return [
            TensorLayout(name=spec.name, dtype=self.dtype(spec), shape=list(spec.shape))
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
        if self._number is not None:
            yield self._number
            return
        position, stop = self._layout.data_offset + spec.start, self._layout.data_offset + spec.stop
        while position < stop:
            piece = offload(self._reader.read, position, min(position + _PIECE, stop))
            if not piece:
                raise OSError("the content is shorter than its header says")
            position += len(piece)
            yield piece

    def __enter__(self) -> Content:
        return self

    def __exit__(self, *exception: object) -> None:
        self._reader.close()


def _number(kind: str, raw: bytes) -> tuple[Layout, bytes]:
    """The layout and the bytes of a stored number as a tensor without dimensions."""
    dtype, form = _NUMBERS[kind]
    try:
        data = struct.pack(form, decode(kind, memoryview(raw)))
    except struct.error:
        raise BadRequest("an integer of more than 64 bits cannot be computed with") from None
    return Layout((TensorSpec("", dtype, (), 0, len(data)),), 0, {}), data
