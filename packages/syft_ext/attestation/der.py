"""A strict reader of DER (X.690), for what the library of certificates does not read: values of makers'
extensions, and AMD's leaf certificates, whose serial number is zero.

Lengths are definite and shortest, tags are of one byte. What cannot be read raises
:class:`~syft_ext.errors.EvidenceRefused`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from syft_ext.attestation.evidence import Reason, refused

__all__ = [
    "BIT_STRING",
    "BOOLEAN",
    "IA5_STRING",
    "INTEGER",
    "OBJECT_IDENTIFIER",
    "OCTET_STRING",
    "SEQUENCE",
    "SET",
    "Reader",
    "read_integer",
    "read_moment",
    "read_oid",
    "read_text",
    "whole_size",
]

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OBJECT_IDENTIFIER = 0x01, 0x02, 0x03, 0x04, 0x06
UTF8_STRING, PRINTABLE_STRING, IA5_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x16, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31

_TEXTS = frozenset({UTF8_STRING, PRINTABLE_STRING, IA5_STRING})


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start and end of the value of the element at ``at``."""
    if at + 2 > len(data):
        raise refused(Reason.MALFORMED, "DER ends within an element")
    tag, length, start = data[at], data[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise refused(Reason.MALFORMED, "DER has a tag of several bytes")
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 3 or start + count > len(data):
            raise refused(Reason.MALFORMED, "DER has a length that is not looked at")
        length = int.from_bytes(data[start : start + count], "big")
        start += count
        if length < 0x80 or length < 1 << 8 * (count - 1):
            raise refused(Reason.MALFORMED, "DER has a length that is not the shortest")
    if start + length > len(data):
        raise refused(Reason.MALFORMED, "DER ends within a value")
    return tag, start, start + length


def whole_size(data: bytes) -> int:
    """Bytes of the first element, its header among them."""
    return _header(data, 0)[2]


class Reader:
    """The elements within ``data``, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def more(self) -> bool:
        """Whether an element is left."""
        return self._at < len(self._data)

    def peek(self) -> int:
        """The tag of the next element."""
        return _header(self._data, self._at)[0]

    def take(self, tag: int) -> bytes:
        """The value of the next element, which must have this tag."""
        return self.element(tag)[1]

    def element(self, tag: int) -> tuple[bytes, bytes]:
        """The next element, which must have this tag: with its header, and its value."""
        found, start, end = _header(self._data, self._at)
        if found != tag:
            raise refused(Reason.MALFORMED, f"DER has the tag {found:#x} where {tag:#x} must be")
        whole = self._data[self._at : end]
        self._at = end
        return whole, self._data[start:end]

    def any(self) -> tuple[int, bytes]:
        """Tag and value of the next element."""
        tag = self.peek()
        return tag, self.take(tag)

    def end(self) -> None:
        """Nothing may be left."""
        if self.more:
            raise refused(Reason.MALFORMED, "DER has more than it must")


def read_integer(value: bytes) -> int:
    """The whole number of an INTEGER."""
    if not value or len(value) > 32:
        raise refused(Reason.MALFORMED, "DER has a number that is not looked at")
    if len(value) > 1 and ((value[0] == 0 and value[1] < 0x80) or (value[0] == 0xFF and value[1] >= 0x80)):
        raise refused(Reason.MALFORMED, "DER has a number that is not the shortest")
    return int.from_bytes(value, "big", signed=True)


def read_oid(value: bytes) -> str:
    """The dotted form of an OBJECT IDENTIFIER."""
    if not value or value[-1] >= 0x80 or len(value) > 32:
        raise refused(Reason.MALFORMED, "DER has an object identifier that is none")
    arcs, arc, fresh = list[int](), 0, True
    for byte in value:
        if fresh and byte == 0x80:
            raise refused(Reason.MALFORMED, "DER has an object identifier that is not the shortest")
        arc, fresh = arc << 7 | byte & 0x7F, byte < 0x80
        if fresh:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, [first, arcs[0] - 40 * first, *arcs[1:]]))


def read_text(tag: int, value: bytes) -> str:
    """The text of a UTF8String, PrintableString or IA5String."""
    if tag not in _TEXTS:
        raise refused(Reason.MALFORMED, "DER has no text where one must be")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise refused(Reason.MALFORMED, "DER has text that is none") from None


def read_moment(tag: int, value: bytes) -> datetime:
    """The time of a UTCTime or GeneralizedTime, which must be in UTC and to the second (RFC 5280, 4.1.2.5)."""
    digits = {UTC_TIME: 12, GENERALIZED_TIME: 14}.get(tag)
    if digits is None or len(value) != digits + 1 or value[-1:] != b"Z" or not value[:-1].isdigit():
        raise refused(Reason.MALFORMED, "DER has no time where one must be")
    text = value[:-1].decode()
    if tag == UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise refused(Reason.MALFORMED, "DER has a time that is none") from None
