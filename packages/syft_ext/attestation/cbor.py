"""CBOR (RFC 8949) as attestation documents use it, read strictly: what is accepted has one encoding, this one.

Definite lengths and shortest forms only, map keys are whole numbers or text and occur once, no floats, no tags
(:mod:`~syft_ext.attestation.cose` takes its outermost one off), of the simple values false, true and null. So
``encode(decode(data)) == data`` for all that :func:`decode` takes, and two readers cannot see two documents in
the same bytes. A length that the rest of the bytes cannot hold is refused before anything is made of it.
"""

from __future__ import annotations

from typing import TypeAlias

from syft_ext.attestation.evidence import Reason, refused

__all__ = ["MAX_DEPTH", "Value", "decode", "encode"]

Value: TypeAlias = "int | bytes | str | bool | list[Value] | dict[int | str, Value] | None"
"""What a document is made of. Maps keep the order of their bytes."""

MAX_DEPTH = 16
"""Arrays and maps within each other (verifiers.md asks for no more)."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _SIMPLE = 0, 1, 2, 3, 4, 5, 7
_SIMPLE_VALUES: dict[int, bool | None] = {20: False, 21: True, 22: None}
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}


def decode(data: bytes) -> Value:
    """The one item that ``data`` is, to its last byte.

    Raises:
        EvidenceRefused: ``malformed``.
    """
    value, end = _item(data, 0, MAX_DEPTH)
    if end != len(data):
        raise refused(Reason.MALFORMED, f"{len(data) - end} bytes after the CBOR item")
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """The item that begins at ``at``, and where the next one would."""
    major, number, at = _head(data, at)
    if major == _UNSIGNED:
        return number, at
    if major == _NEGATIVE:
        return -1 - number, at
    if major == _SIMPLE:
        return _SIMPLE_VALUES[number], at
    if number > len(data) - at:  # each item of an array or map is a byte at least
        raise refused(Reason.MALFORMED, "a CBOR length beyond the end of the document")
    if major == _BYTES:
        return data[at : at + number], at + number
    if major == _TEXT:
        try:
            return data[at : at + number].decode("utf-8"), at + number
        except UnicodeDecodeError as error:
            raise refused(Reason.MALFORMED, "CBOR text that is not UTF-8") from error
    if depth == 0:
        raise refused(Reason.MALFORMED, f"CBOR nested more than {MAX_DEPTH} deep")
    if major == _ARRAY:
        items: list[Value] = []
        for _ in range(number):
            value, at = _item(data, at, depth - 1)
            items.append(value)
        return items, at
    entries: dict[int | str, Value] = {}
    for _ in range(number):
        key, at = _item(data, at, depth - 1)
        if isinstance(key, bool) or not isinstance(key, int | str):
            raise refused(Reason.MALFORMED, "a CBOR map key that is neither a whole number nor text")
        if key in entries:
            raise refused(Reason.MALFORMED, "a CBOR map key that occurs twice")
        entries[key], at = _item(data, at, depth - 1)
    return entries, at


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type and number of the head at ``at`` (RFC 8949, section 3), and where its content begins."""
    if at >= len(data):
        raise refused(Reason.MALFORMED, "the CBOR document ends within an item")
    major, short = data[at] >> 5, data[at] & 31
    at += 1
    if major == _SIMPLE:
        if short not in _SIMPLE_VALUES:
            raise refused(Reason.MALFORMED, "CBOR floats and other simple values are not taken")
        return major, short, at
    if major == 6:
        raise refused(Reason.MALFORMED, "CBOR tags are not taken here")
    if short < 24:
        return major, short, at
    width = _WIDTHS.get(short)
    if width is None:
        raise refused(Reason.MALFORMED, "CBOR of indefinite or reserved length is not taken")
    if len(data) - at < width:
        raise refused(Reason.MALFORMED, "the CBOR document ends within an item")
    number = int.from_bytes(data[at : at + width], "big")
    if number < (24 if width == 1 else 1 << (4 * width)):  # the next shorter form holds half as many bytes
        raise refused(Reason.MALFORMED, "a CBOR number that is not in its shortest form")
    return major, number, at + width


def encode(value: Value) -> bytes:
    """The only bytes that :func:`decode` reads as ``value``; maps in their own order.

    Raises:
        ValueError: a number of more than 64 bits.
    """
    if value is None or isinstance(value, bool):
        return bytes([_SIMPLE << 5 | (22 if value is None else 20 + value)])
    if isinstance(value, int):
        return _encoded_head(_UNSIGNED, value) if value >= 0 else _encoded_head(_NEGATIVE, -1 - value)
    if isinstance(value, bytes):
        return _encoded_head(_BYTES, len(value)) + value
    if isinstance(value, str):
        text = value.encode("utf-8")
        return _encoded_head(_TEXT, len(text)) + text
    if isinstance(value, list):
        return _encoded_head(_ARRAY, len(value)) + b"".join(encode(item) for item in value)
    entries = (encode(key) + encode(entry) for key, entry in value.items())
    return _encoded_head(_MAP, len(value)) + b"".join(entries)


def _encoded_head(major: int, number: int) -> bytes:
    """The shortest head of ``number`` (RFC 8949, section 4.2.1)."""
    if number < 24:
        return bytes([major << 5 | number])
    for short, width in _WIDTHS.items():
        if number < 1 << (8 * width):
            return bytes([major << 5 | short]) + number.to_bytes(width, "big")
    raise ValueError("CBOR numbers have 64 bits")
