"""Just enough of protobuf to write the library's messages ourselves, and to take fields out of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Literal, overload

from syft_ext.errors import BadRequest

__all__ = ["field_of", "fields", "joined", "tagged", "varint"]

_MOST_FIELDS = 1 << 17


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number at ``position``, and where it ends. Raises :class:`IndexError` behind the end."""
    value = shift = 0
    while shift < 64:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise BadRequest("a message that cannot be read")


def fields(message: bytes | memoryview) -> list[tuple[int, int, memoryview]]:
    """The fields of a message, in order: number, wire type, bytes. Raises :class:`BadRequest`."""
    found: list[tuple[int, int, memoryview]] = []
    view, position = memoryview(message), 0
    try:
        while position < len(view):
            tag, position = varint(view, position)
            number, kind = tag >> 3, tag & 7
            if kind == 2:
                length, position = varint(view, position)
                stop = position + length
            elif kind == 0:
                _, stop = varint(view, position)
            elif kind == 1:
                stop = position + 8
            else:
                raise BadRequest("a message that cannot be read")
            if stop > len(view) or len(found) == _MOST_FIELDS:
                raise BadRequest("a message that cannot be read")
            found.append((number, kind, view[position:stop]))
            position = stop
    except IndexError:
        raise BadRequest("a message that is cut off") from None
    return found


@overload
def field_of(message: bytes | memoryview, number: int) -> memoryview: ...
@overload
def field_of(message: bytes | memoryview, number: int, *, several: Literal[True]) -> list[memoryview]: ...
def field_of(
    message: bytes | memoryview, number: int, *, several: bool = False
) -> memoryview | list[memoryview]:
    """The bytes of the one field of that number, or of ``several``. Raises :class:`BadRequest`."""
    found = [data for each, kind, data in fields(message) if each == number and kind == 2]
    if several:
        return found
    if len(found) != 1:
        raise BadRequest("a message that lacks what it must have")
    return found[0]


def tagged(number: int, data: bytes | memoryview) -> bytes:
    """A field with bytes."""
    return _head(number, len(data)) + bytes(data)


def joined(sizes: Sequence[int], ciphertexts: Sequence[bytes | memoryview], scale: float | None) -> bytes:
    """TenSEAL's message of a vector or tensor: sizes (1), ciphertexts (2), and the scale of CKKS (3)."""
    packed = b"".join(_varint(size) for size in sizes)
    parts: list[bytes | memoryview] = [_head(1, len(packed)), packed]
    for each in ciphertexts:
        parts += (_head(2, len(each)), each)
    if scale is not None:
        parts += (_varint(3 << 3 | 1), struct.pack("<d", scale))
    return b"".join(parts)


def _head(number: int, length: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
