"""The content of an object as bytes, and back. Every kind has one encoding; nothing is ever unpickled.

=========  ==============================  ===========================================================
kind       Python                          bytes
=========  ==============================  ===========================================================
tensor     ``torch.Tensor``                tensor file with one tensor, named ``""``
tensors    ``dict[str, torch.Tensor]``     tensor file, in the mapping's order
list       ``list[torch.Tensor]``          tensor file, named ``"0"``, ``"1"``, …
int        ``int``                         two's complement, little-endian, as short as it goes
float      ``float``                       IEEE 754 double, little-endian
bool       ``bool``                        one byte, 0 or 1
str        ``str``                         UTF-8
bytes      ``bytes``                       itself
plan       ``bytes`` (kind="plan")         itself: what :mod:`syft_ext.plans` writes
he.…       ``bytes`` (with their kind)     itself: a frame of :mod:`syft_ext.encrypted.frames`
matched    nobody has it as a value        tensor file: the rows of an intersection that a Domain keeps
=========  ==============================  ===========================================================

Tensor files are those of :mod:`syft_ext.tensors`.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, Union, cast

from syft_ext.encrypted.frames import KINDS as ENCRYPTED_KINDS
from syft_ext.encrypted.frames import check_frame
from syft_ext.errors import BadRequest, InvalidTensors, TooLarge
from syft_ext.tensors import MAX_HEADER, Layout, decode_tensors, iter_tensors

if TYPE_CHECKING:
    import torch

__all__ = [
    "ENCRYPTED_KINDS",
    "KINDS",
    "MATCHED",
    "TENSOR_KINDS",
    "Data",
    "check_layout",
    "copy_data",
    "decode",
    "encode",
    "is_tensor",
    "kind_of",
]

Data: TypeAlias = Union[
    "torch.Tensor", Mapping[str, "torch.Tensor"], Sequence["torch.Tensor"], int, float, str, bytes
]

TENSOR_KINDS = frozenset({"tensor", "tensors", "list"})
KINDS = TENSOR_KINDS | {"int", "float", "bool", "str", "bytes", "plan"} | ENCRYPTED_KINDS
MATCHED = "matched"
"""No kind that anybody puts anywhere or gets: Domains make such objects."""
_OF_BYTES = ENCRYPTED_KINDS | {"plan"}
_SCALARS = {bool: "bool", int: "int", float: "float", str: "str", bytes: "bytes"}


def is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    """Whether it is a tensor. Where nobody has imported torch, nothing is, and this does not import it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def kind_of(data: object) -> str:
    """The kind of ``data``; raises :class:`BadRequest` for what no store keeps."""
    if type(data) in _SCALARS:
        return _SCALARS[type(data)]
    if is_tensor(data):
        return "tensor"
    if isinstance(data, Mapping) and all(isinstance(k, str) and is_tensor(v) for k, v in data.items()):
        return "tensors"
    if isinstance(data, list | tuple) and all(is_tensor(v) for v in data):
        return "list"
    raise BadRequest(f"an object of type {type(data).__name__} cannot be stored")


def check_data(data: Data, kind: str) -> None:
    """Raise :class:`BadRequest` unless :func:`encode` can write ``data`` as ``kind``."""
    expected = kind_of(data)
    if kind != expected and not (expected == "bytes" and kind in _OF_BYTES):
        raise BadRequest(f"data of kind {expected} cannot be stored as {kind[:32]!r}")
    if kind in TENSOR_KINDS:
        header = next(iter_tensors(_named(data)))
        if len(header) > MAX_HEADER:
            raise TooLarge("the names and shapes of the tensors take too much room", limit=MAX_HEADER)
    elif kind == "str":
        next(encode(data, kind))
    elif kind in ENCRYPTED_KINDS and isinstance(data, bytes):
        check_frame(kind, memoryview(data))


def encode(data: Data, kind: str) -> Iterator[memoryview]:
    """The pieces of the content; tensors are not copied. Raises :class:`BadRequest`."""
    if kind in TENSOR_KINDS:
        yield from iter_tensors(_named(data))
    else:
        yield memoryview(_encode_value(data))


def _encode_value(data: Data) -> bytes:
    match data:
        case bytes():
            return data
        case bool():
            return bytes([data])
        case int():
            return data.to_bytes(data.bit_length() // 8 + 1, "little", signed=True)
        case float():
            return struct.pack("<d", data)
        case str():
            try:
                return data.encode()
            except UnicodeEncodeError:
                raise BadRequest("the text cannot be written as UTF-8") from None
    raise BadRequest(f"an object of type {type(data).__name__} cannot be stored")


def _named(data: Data) -> dict[str, torch.Tensor]:
    if is_tensor(data):
        named = {"": data}
    elif isinstance(data, Mapping):
        named = dict(data)
    else:
        named = {str(index): tensor for index, tensor in enumerate(cast("Sequence[torch.Tensor]", data))}
    if "__metadata__" in named:
        raise InvalidTensors("a tensor cannot be named __metadata__")
    for name, tensor in named.items():
        if str(tensor.layout) != "torch.strided" or tensor.device.type == "meta":
            raise InvalidTensors(f"tensor {name[:80]!r}: only dense tensors with data can be stored")
    return {name: tensor.detach().cpu() for name, tensor in named.items()}


def decode(kind: str, content: memoryview) -> Data:
    """What :func:`encode` wrote, tensors as views on ``content``. Raises :class:`BadRequest`."""
    if kind in TENSOR_KINDS:
        tensors = decode_tensors(content)
        check_names(kind, list(tensors))
        if kind == "tensor":
            return tensors[""]
        return list(tensors.values()) if kind == "list" else tensors
    if kind in ENCRYPTED_KINDS:
        check_frame(kind, content)
        return bytes(content)
    return _decode_value(kind, bytes(content))


def _decode_value(kind: str, raw: bytes) -> Data:
    match kind:
        case "bytes" | "plan":
            return raw
        case "bool" if raw in (b"\0", b"\1"):
            return raw == b"\1"
        case "int" if raw:
            return int.from_bytes(raw, "little", signed=True)
        case "float" if len(raw) == 8:
            return float(struct.unpack("<d", raw)[0])
        case "str":
            try:
                return raw.decode()
            except UnicodeDecodeError:
                raise BadRequest("the content is not UTF-8") from None
    raise BadRequest(f"the content is not of kind {kind[:32]!r}")


def check_names(kind: str, names: list[str]) -> None:
    """Raise :class:`InvalidTensors` unless a tensor file with these names can be of ``kind``."""
    fits = {"tensor": [""], "list": [str(index) for index in range(len(names))]}.get(kind, names)
    if names != fits:
        raise InvalidTensors(f"the tensor file does not hold a {kind}")


def check_layout(kind: str, layout: Layout, size: int) -> None:
    """Raise :class:`InvalidTensors` unless a file of ``size`` bytes with this header is of ``kind``."""
    if layout.total_size != size:
        raise InvalidTensors(f"the tensor file has {size} bytes, its header says {layout.total_size}")
    check_names(kind, [spec.name for spec in layout.specs])


def copy_data(data: Data) -> Data:
    """The data on its own memory; what cannot change is not copied."""
    if is_tensor(data):
        return data.detach().clone()
    if isinstance(data, Mapping):
        return {name: tensor.detach().clone() for name, tensor in data.items()}
    if isinstance(data, list | tuple):
        return [tensor.detach().clone() for tensor in data]
    return data
