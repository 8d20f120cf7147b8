"""What an OVMF firmware file says of its start under SEV-SNP: which pages are measured beside it, and how.

The file ends in a table of entries, each with its data in front of its length and GUID, read backwards; one of
them leads to AMD's metadata, the list of sections that the host prepares. Source: EDK2, ``OvmfPkg/ResetVector``,
``X64/OvmfSevMetadata.asm``; AMD, "SEV Secure Nested Paging Firmware ABI", 56860.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

__all__ = ["Firmware", "FirmwareError", "Section", "SectionKind", "read_firmware", "table_entries"]

PAGE = 4096
_FOUR_GIB = 1 << 32
_TABLE = UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
_HASHES = UUID("7255371f-3a3b-4b04-927b-1da6efa8d454").bytes_le
_RESET = UUID("00f771de-1a7e-4fcb-890e-68c77e2fb44e").bytes_le
_METADATA = UUID("dc886566-984a-4798-a75e-5585a7bf67cc").bytes_le
_ENTRY = 18  # length and GUID
_END = 32  # of the file, behind the table


class FirmwareError(ValueError):
    """The file is no firmware whose launch can be computed here."""


class SectionKind(IntEnum):
    """What the host does with a section's pages before the start."""

    MEMORY = 1
    SECRETS = 2
    CPUID = 3
    KERNEL_HASHES = 16


@dataclass(frozen=True, slots=True)
class Section:
    """Pages at ``address``, ``size`` bytes, both multiples of 4,096."""

    address: int
    size: int
    kind: SectionKind


@dataclass(frozen=True, slots=True)
class Firmware:
    """A firmware file, as it is laid before the processor.

    Attributes:
        sections: in the file's order, in which they are measured.
        reset: where further processors begin (None: the file names no place).
        hashes: address of the table of the kernel's hashes (None: it has room for none).
    """

    data: bytes
    sections: tuple[Section, ...]
    reset: int | None
    hashes: int | None

    @property
    def address(self) -> int:
        """Where its first byte is: it ends at 4 GiB."""
        return _FOUR_GIB - len(self.data)


def read_firmware(data: bytes) -> Firmware:
    """The firmware in an OVMF file. Raises :class:`FirmwareError` for one without SEV-SNP's metadata."""
    if not data or len(data) % PAGE or len(data) >= _FOUR_GIB:
        raise FirmwareError("a firmware file has whole pages")
    entries = table_entries(data)
    if _METADATA not in entries:
        raise FirmwareError("the firmware has no metadata of SEV-SNP: it does not start under it")
    reset = _number(entries.get(_RESET))
    return Firmware(data, _sections(data, entries[_METADATA]), reset, _number(entries.get(_HASHES)))


def _number(entry: bytes | None) -> int | None:
    if entry is None:
        return None
    if len(entry) < 4:
        raise FirmwareError("an entry of the firmware's table is too short")
    return int.from_bytes(entry[:4], "little") or None


def table_entries(data: bytes) -> dict[bytes, bytes]:
    """GUID (as it lies there) → data of the table at the end of the file. Raises :class:`FirmwareError`."""
    end = len(data) - _END
    if data[end - 16 : end] != _TABLE:
        raise FirmwareError("the file does not end as OVMF does")
    size = int.from_bytes(data[end - _ENTRY : end - 16], "little")
    if not _ENTRY <= size <= end:
        raise FirmwareError("the firmware's table is cut")
    rest, found = data[end - size : end - _ENTRY], dict[bytes, bytes]()
    while rest:
        length = int.from_bytes(rest[-_ENTRY:-16], "little")
        if not _ENTRY <= length <= len(rest):
            raise FirmwareError("the firmware's table is cut")
        guid = rest[-16:]
        if guid in found:
            raise FirmwareError("the firmware's table says something twice")
        found[guid] = rest[len(rest) - length : -_ENTRY]
        rest = rest[: len(rest) - length]
    return found


def _sections(data: bytes, entry: bytes) -> tuple[Section, ...]:
    offset = _number(entry) or 0
    start = len(data) - offset
    if not 16 <= offset <= len(data) or data[start : start + 4] != b"ASEV":
        raise FirmwareError("the metadata of SEV-SNP is not where the table says")
    length, version, count = struct.unpack_from("<III", data, start + 4)
    if version != 1 or length != 16 + 12 * count or start + length > len(data):
        raise FirmwareError("the metadata of SEV-SNP is of another version, or cut")
    found = []
    for address, size, kind in struct.iter_unpack("<III", data[start + 16 : start + length]):
        if kind not in list(SectionKind):
            raise FirmwareError(f"a section of the kind {kind} is not known here")
        if address % PAGE or size % PAGE or not size:
            raise FirmwareError("a section has whole pages")
        if kind != SectionKind.MEMORY and size != PAGE:
            raise FirmwareError("only memory has more than one page")
        found.append(Section(address, size, SectionKind(kind)))
    return tuple(found)
