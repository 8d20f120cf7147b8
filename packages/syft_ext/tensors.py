"""Tensors as raw typed buffers: the safetensors layout, written in the caller's order, read without copies.

A tensor file is ``uint64 n`` (little-endian), ``n`` bytes of JSON header, then the buffers back to back.
Any safetensors reader can read it. The order of the header is the order of the model's parameters.
Source of the format: https://github.com/huggingface/safetensors (README, "Format").
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from syft_ext.errors import InvalidTensors, TooLarge

if TYPE_CHECKING:
    import torch

__all__ = [
    "DTYPES",
    "Layout",
    "TensorSpec",
    "decode_tensors",
    "encode_tensors",
    "header_size",
    "iter_tensors",
    "read_layout",
    "tensor_header",
]

# torch is imported by the functions that need it, not by the module: a node's server process reads
# layouts and sums buffers without it, and so stays 200 MB smaller.

MAX_HEADER = 16 << 20
#: Name in the format → (name in torch, bytes per element).
DTYPES: dict[str, tuple[str, int]] = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}


@cache
def _names() -> dict[Any, str]:
    import torch

    return {getattr(torch, name): code for code, (name, _) in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype (as in the format: "F32") and shape; ``start``/``stop`` are byte offsets into the data."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return DTYPES[self.dtype][1]

    @property
    def numel(self) -> int:
        """Elements; 1 for a tensor without dimensions."""
        return math.prod(self.shape)

    @property
    def torch_dtype(self) -> torch.dtype:
        """Loads torch."""
        import torch

        dtype: torch.dtype = getattr(torch, DTYPES[self.dtype][0])
        return dtype


@dataclass(frozen=True, slots=True)
class Layout:
    """The header of a tensor file. ``data_offset`` is where the data section begins in the file."""

    specs: tuple[TensorSpec, ...]
    data_offset: int
    metadata: Mapping[str, str]

    @property
    def data_size(self) -> int:
        """Bytes of the data section."""
        return max((spec.stop for spec in self.specs), default=0)

    @property
    def total_size(self) -> int:
        """Bytes of the whole file, header included."""
        return self.data_offset + self.data_size

    def same_tensors(self, other: Layout) -> bool:
        """Same names, dtypes and shapes in the same order: the data sections can be added as they are."""
        return [(s.name, s.dtype, s.shape) for s in self.specs] == [
            (s.name, s.dtype, s.shape) for s in other.specs
        ]


def _header(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None) -> bytes:
    entries = []
    for name, tensor in tensors.items():
        if tensor.dtype not in _names():
            raise InvalidTensors(f"tensor {name!r}: {tensor.dtype} cannot be sent")
        entries.append((name, _names()[tensor.dtype], tuple(tensor.shape)))
    return tensor_header(entries, metadata)


def tensor_header(
    entries: Iterable[tuple[str, str, Sequence[int]]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """What precedes the data in a tensor file of these (name, dtype as in the format, shape), in this order."""
    header: dict[str, Any] = {}
    if metadata:
        header["__metadata__"] = dict(metadata)
    offset = 0
    for name, dtype, shape in entries:
        size = math.prod(shape) * DTYPES[dtype][1]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def iter_tensors(
    tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> Iterator[memoryview]:
    """The pieces of the tensor file, in order; the data pieces are views on the tensors' own memory."""
    import torch

    yield memoryview(_header(tensors, metadata))
    for tensor in tensors.values():
        flat = tensor.detach().contiguous().reshape(-1)
        if flat.numel():
            yield memoryview(flat.view(torch.uint8).numpy().data).cast("B")


def encode_tensors(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The tensor file as one ``bytes`` object (one copy of the data)."""
    return b"".join(iter_tensors(tensors, metadata))


def header_size(prefix: bytes | memoryview) -> int:
    """Bytes that :func:`read_layout` needs, from the first eight bytes of a file."""
    if len(prefix) < 8:
        raise InvalidTensors("truncated: no header length")
    (length,) = struct.unpack_from("<Q", prefix)
    if length > MAX_HEADER:
        raise TooLarge(f"tensor header of {length} bytes", limit=MAX_HEADER)
    return 8 + int(length)


def read_layout(prefix: bytes | bytearray | memoryview) -> Layout:
    """Parse and check the header (``prefix`` holds at least the header; the data may be missing)."""
    end = header_size(prefix if isinstance(prefix, memoryview) else memoryview(prefix))
    if len(prefix) < end:
        raise InvalidTensors("truncated: header incomplete")
    try:
        header = json.loads(bytes(prefix[8:end]), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InvalidTensors("the tensor header is not JSON") from error
    if not isinstance(header, dict):
        raise InvalidTensors("the tensor header is not an object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InvalidTensors("tensor metadata must map strings to strings")
    specs = tuple(_spec(name, entry) for name, entry in header.items())
    _check_contiguous(specs)
    return Layout(specs, end, metadata)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _spec(name: str, entry: Any) -> TensorSpec:
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise InvalidTensors(f"tensor {name[:80]!r}: incomplete entry") from error
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InvalidTensors(f"tensor {name[:80]!r}: unknown dtype")
    numbers = [start, stop, *(shape if isinstance(shape, list) else [None])]
    if not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers) or len(shape) > 16:
        raise InvalidTensors(f"tensor {name[:80]!r}: bad shape or offsets")
    if stop - start != math.prod(shape) * DTYPES[dtype][1]:
        raise InvalidTensors(f"tensor {name[:80]!r}: shape and size disagree")
    return TensorSpec(name, dtype, tuple(shape), start, stop)


def _check_contiguous(specs: Iterable[TensorSpec]) -> None:
    end = 0
    for spec in sorted(specs, key=lambda s: (s.start, s.stop)):
        if spec.start != end:
            raise InvalidTensors(f"tensor {spec.name[:80]!r}: buffers overlap or leave a hole")
        end = spec.stop


def decode_tensors(buffer: bytes | bytearray | memoryview) -> dict[str, torch.Tensor]:
    """The tensors of a whole file as views on ``buffer``: no copy is made, treat them as read-only.

    ``buffer`` may be a memory map. Raises :class:`InvalidTensors` when anything disagrees.
    """
    layout = read_layout(buffer)
    view = memoryview(buffer)
    if len(view) != layout.total_size:
        found = len(view) - layout.data_offset
        raise InvalidTensors(f"tensor data: {found} bytes, header says {layout.data_size}")
    return {spec.name: _view(view, layout.data_offset, spec) for spec in layout.specs}


def _view(view: memoryview, offset: int, spec: TensorSpec) -> torch.Tensor:
    import torch

    if spec.stop == spec.start:
        return torch.empty(spec.shape, dtype=spec.torch_dtype)
    piece = view[offset + spec.start : offset + spec.stop]
    if spec.dtype == "BOOL" and max(piece) > 1:
        raise InvalidTensors(f"tensor {spec.name[:80]!r}: a bool that is neither 0 nor 1")
    # An offset that the dtype's alignment does not divide is legal in the format, not in torch.
    source = piece if (offset + spec.start) % spec.itemsize == 0 else bytearray(piece)
    return _frombuffer(source, spec.torch_dtype).reshape(spec.shape)


def _frombuffer(source: memoryview | bytearray, dtype: torch.dtype) -> torch.Tensor:
    import warnings

    import torch

    with warnings.catch_warnings():
        # torch warns that the buffer is read-only; that is the contract of decode_tensors.
        warnings.simplefilter("ignore", UserWarning)
        return torch.frombuffer(source, dtype=dtype)
