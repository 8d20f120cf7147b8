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
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from syft_ext.errors import InvalidTensors, TooLarge

if TYPE_CHECKING:
    import torch

__all__ = [
    "DTYPES",
    "KINDS",
    "Layout",
    "TensorKind",
    "TensorSpec",
    "can_be",
    "decode_tensors",
    "described",
    "describing",
    "dtype_code",
    "encode_tensors",
    "header_size",
    "iter_tensors",
    "kind_of_dtype",
    "kinds_metadata",
    "moving_stretches",
    "raw_bytes",
    "read_layout",
    "tensor_header",
]

# torch is imported by the functions that need it, not by the module: a node's server process reads
# layouts and sums buffers without it, and so stays 200 MB smaller.

MAX_HEADER = 16 << 20
TensorKind: TypeAlias = Literal["parameter", "statistic", "variance", "counter", "constant"]
"""What a tensor of a model is, and so what may be done with it (ADR 33):

- ``parameter``: learned by gradients. Clipping, noise and server optimisers are for these, and for no others.
- ``statistic``: a running statistic of the data (``running_mean``): averaged, nothing else.
- ``variance``: a statistic that is never below zero (``running_var``).
- ``counter``: a whole number, of steps say (``num_batches_tracked``): averaged, and rounded once.
- ``constant``: frozen, a mask, or truth values: no report moves it.
"""
KINDS = "grid.kinds"
"""Name in a file's metadata: a JSON object, kind → names of its tensors; those that it leaves out are what
:func:`kind_of_dtype` says."""
_FLOATS = ("F64", "F32", "F16", "BF16")
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


def dtype_code(dtype: torch.dtype) -> str:
    """The format's name of a dtype ("F32"). Raises :class:`InvalidTensors` where it has none."""
    if dtype not in _names():
        raise InvalidTensors(f"{dtype} cannot be sent")
    return _names()[dtype]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, dtype (as in the format: "F32") and shape; ``start``/``stop`` are byte offsets into the data.

    ``kind`` is what the file declares of it: what may be clipped, made noisy or only averaged follows from it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int
    kind: TensorKind = "parameter"

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
    yield memoryview(_header(tensors, metadata))
    for tensor in tensors.values():
        if tensor.numel():
            yield memoryview(raw_bytes(tensor).numpy().data).cast("B")


def raw_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The elements of ``tensor`` in order, as one flat tensor of bytes: a view where they lie so, else a copy."""
    import torch

    flat = tensor.detach().contiguous().reshape(-1)
    if flat.stride() != (1,):  # a single element is contiguous to torch whatever its stride, and not viewable
        flat = flat.as_strided((flat.numel(),), (1,))
    return flat.view(torch.uint8)


def kind_of_dtype(dtype: str) -> TensorKind:
    """What a tensor is of which nobody says it: floats are learned, whole numbers count, truth values stay."""
    return "parameter" if dtype in _FLOATS else "constant" if dtype == "BOOL" else "counter"


def can_be(kind: TensorKind, dtype: str) -> bool:
    """Whether a tensor of this dtype can be of this kind: whole numbers are not learned, and of truth values
    nothing is averaged."""
    return kind == "constant" or dtype in _FLOATS or (kind == "counter" and dtype != "BOOL")


def kinds_metadata(kinds: Mapping[str, TensorKind]) -> dict[str, str]:
    """The metadata of a file that declare what each of its tensors is."""
    groups: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        groups.setdefault(kind, []).append(name)
    return {KINDS: json.dumps(groups, separators=(",", ":"))}


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
    kinds = _declared_kinds(metadata, header)
    specs = tuple(_spec(name, entry, kinds.get(name)) for name, entry in header.items())
    _check_contiguous(specs)
    return Layout(specs, end, metadata)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _declared_kinds(metadata: Mapping[str, str], names: Mapping[str, Any]) -> dict[str, TensorKind]:
    """Name → kind, as the metadata say. Raises :class:`InvalidTensors` for what they cannot mean."""
    if KINDS not in metadata:
        return {}
    try:
        groups = json.loads(metadata[KINDS], object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InvalidTensors(f"the metadata {KINDS} are not JSON") from error
    kinds: dict[str, TensorKind] = {}
    if not isinstance(groups, dict) or not set(groups) <= set(get_args(TensorKind)):
        raise InvalidTensors(f"the metadata {KINDS} are not kind → names; kinds: {_ALL_KINDS}")
    for kind, members in groups.items():
        if not isinstance(members, list):
            raise InvalidTensors(f"the metadata {KINDS} are not kind → names; kinds: {_ALL_KINDS}")
        for name in members:
            if not isinstance(name, str) or name not in names or name in kinds:
                raise InvalidTensors(
                    f"the metadata {KINDS} name {str(name)[:80]!r}, which is no tensor here, or named twice"
                )
            kinds[name] = cast(TensorKind, kind)
    return kinds


_ALL_KINDS = ", ".join(get_args(TensorKind))


def _spec(name: str, entry: Any, kind: TensorKind | None) -> TensorSpec:
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
    natural = kind_of_dtype(dtype)
    if kind is not None and not can_be(kind, dtype):
        raise InvalidTensors(
            f"tensor {name[:80]!r}: {DTYPES[dtype][0]} is no {kind}; whole numbers are no parameters",
            tensor=name[:80],
        )
    return TensorSpec(name, dtype, tuple(shape), start, stop, kind or natural)


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
    import torch

    if isinstance(source, memoryview) and source.readonly:
        import numpy

        # torch warns of memory that is read-only, which is the contract of decode_tensors. Filters of warnings are
        # the whole process's, and other threads change them meanwhile: it is told that the memory is not.
        return torch.from_numpy(numpy.asarray(_AsWritable(source))).view(dtype)
    return torch.frombuffer(source, dtype=dtype)


class _AsWritable:
    """Bytes as numpy's array interface, version 3, has them, but for the word that they are read-only."""

    def __init__(self, source: memoryview) -> None:
        import numpy

        self._source = numpy.frombuffer(source, dtype=numpy.uint8)  # held as long as any view of it

    @property
    def __array_interface__(self) -> dict[str, Any]:
        interface = self._source.__array_interface__
        return {**interface, "data": (interface["data"][0], False)}


_COLUMNS, _NOTES = "grid.columns", "grid.notes"


def describing(columns: Mapping[str, Mapping[str, Any]], notes: Sequence[str]) -> dict[str, str]:
    """Metadata of a tensor file: what the values of columns mean, and what of their source is not in it.

    Args:
        columns: column → ``unit`` and ``categories``, as far as the values tell them of themselves.
    """
    found = {}
    if columns:
        found[_COLUMNS] = json.dumps({name: dict(each) for name, each in columns.items()})
    if notes:
        found[_NOTES] = json.dumps(list(notes))
    return found


def described(metadata: Mapping[str, str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What :func:`describing` wrote; strangers write files too: what is not of its form is left out."""
    try:
        columns = json.loads(metadata.get(_COLUMNS, "{}"))
        notes = json.loads(metadata.get(_NOTES, "[]"))
    except (ValueError, RecursionError):
        return {}, []
    if not isinstance(columns, dict) or not isinstance(notes, list):
        return {}, []
    found = {str(name): _meaning(each) for name, each in columns.items() if isinstance(each, dict)}
    return found, [note[:1000] for note in notes[:20] if isinstance(note, str) and "\0" not in note]


def _meaning(said: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    unit, words = said.get("unit"), said.get("categories")
    if isinstance(unit, str) and len(unit) <= 200 and "\0" not in unit:
        found["unit"] = unit
    if (
        isinstance(words, list)
        and len(words) <= 10_000
        and all(isinstance(word, str) and len(word) <= 4096 and "\0" not in word for word in words)
        and len(set(words)) == len(words)
    ):
        found["categories"] = words
    return found


def moving_stretches(layout: Layout) -> list[tuple[int, int]]:
    """First and end byte, in the file, of all that is no constant: the rest is the same in every checkpoint."""
    found: list[tuple[int, int]] = []
    for spec in sorted(layout.specs, key=lambda spec: spec.start):
        first, last = layout.data_offset + spec.start, layout.data_offset + spec.stop
        if spec.kind == "constant" or first == last:
            continue
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found
