"""MRTD of an Intel TDX guest: what is measured of its firmware file when it is built, before it runs.

    MRTD = SHA-384(the records of all pages that the host adds, in order)
    of each page:                "MEM.PAGE.ADD" ‖ 4 zero bytes ‖ address ‖ 104 zero bytes
    and if it is measured, of each of its 16 chunks of 256 bytes:
                                 "MR.EXTEND" ‖ 7 zero bytes ‖ address of the chunk ‖ 104 zero bytes ‖ chunk

Addresses are 8 bytes, little-endian. The pages are those of the sections that the firmware's TDVF metadata lists,
in its order, but for those that the guest gets later (PAGE.AUG); what a section has no bytes of in the file is
zeros. Linux's KVM measures each page when it adds it (``KVM_TDX_INIT_MEM_REGION``); a host may as well add all
pages of a section first, which gives another value: :class:`Order`.

Source: Intel, "TDX Module Base Architecture Specification" (348549), "Measurement and Attestation", and "ABI
Reference" (348551), TDH.MEM.PAGE.ADD and TDH.MR.EXTEND; "TDX Virtual Firmware Design Guide" (344991), "TDVF
Metadata"; EDK2, ``OvmfPkg/ResetVector/X64/IntelTdxMetadata.asm``. **Never compared with a real guest's quote**: no
firmware file is at hand whose MRTD somebody else states. The tests hold it against an implementation of their own.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from uuid import UUID

from apps.images.ovmf import PAGE, FirmwareError, table_entries

__all__ = ["Order", "TdSection", "TdSectionKind", "build_measurement", "read_td_sections"]

_METADATA = UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le
_MEASURED, _LATER = 1, 2  # attributes: MR.EXTEND, PAGE.AUG
_CHUNK = 256
_MOST_PAGES = 1 << 18  # 1 GiB: more is no firmware


class TdSectionKind(IntEnum):
    """What a section is for: boot code, its configuration, the list of memory, stacks and the like, the guest's
    memory, a kernel, its command line, and facts for the firmware."""

    BFV = 0
    CFV = 1
    TD_HOB = 2
    TEMPORARY = 3
    PERMANENT = 4
    PAYLOAD = 5
    PAYLOAD_PARAMETERS = 6
    TD_INFO = 7


class Order(Enum):
    """Whether a host measures each page as it adds it, or a section's pages when all of them are there."""

    PAGE_BY_PAGE = 1
    SECTION_BY_SECTION = 2


@dataclass(frozen=True, slots=True)
class TdSection:
    """``size`` bytes of memory at ``address``, both multiples of 4,096, beginning with ``contents``."""

    kind: TdSectionKind
    address: int
    size: int
    contents: bytes
    measured: bool
    later: bool


def read_td_sections(data: bytes) -> tuple[TdSection, ...]:
    """The sections of a firmware file, in its order.

    Raises :class:`FirmwareError` for one without metadata of TDX, and for metadata that a host would refuse."""
    if not data or len(data) % PAGE:
        raise FirmwareError("a firmware file has whole pages")
    entry = table_entries(data).get(_METADATA)
    if entry is None:
        raise FirmwareError("the firmware has no metadata of TDX: it does not start under it")
    offset = int.from_bytes(entry[:4], "little") if len(entry) >= 4 else 0
    start = len(data) - offset
    if not 16 <= offset <= len(data) or data[start : start + 4] != b"TDVF":
        raise FirmwareError("the metadata of TDX is not where the table says")
    length, version, count = struct.unpack_from("<III", data, start + 4)
    if version != 1 or length != 16 + 32 * count or start + length > len(data):
        raise FirmwareError("the metadata of TDX is of another version, or cut")
    found = [
        _section(data, *fields) for fields in struct.iter_unpack("<IIQQII", data[start + 16 : start + length])
    ]
    if sum(each.size for each in found if not each.later) > _MOST_PAGES * PAGE:
        raise FirmwareError("the sections are larger than a firmware")
    if not any(each.kind is TdSectionKind.BFV and each.measured for each in found):
        raise FirmwareError("the firmware's code is in no measured section: MRTD would say nothing of it")
    return tuple(found)


def _section(
    data: bytes, offset: int, length: int, address: int, size: int, kind: int, attributes: int
) -> TdSection:
    if kind not in list(TdSectionKind):
        raise FirmwareError(f"a section of the kind {kind} is not known here")
    if attributes & ~(_MEASURED | _LATER):
        raise FirmwareError(f"a section has attributes that are not known here: {attributes:#x}")
    measured, later = bool(attributes & _MEASURED), bool(attributes & _LATER)
    if address % PAGE or size % PAGE or not size or address + size > 1 << 64:
        raise FirmwareError("a section has whole pages")
    if length > size or offset + length > len(data):
        raise FirmwareError("a section of the file is larger than its memory, or not in the file")
    if later and (measured or length):
        raise FirmwareError("memory that comes later is not measured, and nothing of the file is in it")
    return TdSection(TdSectionKind(kind), address, size, data[offset : offset + length], measured, later)


def build_measurement(sections: tuple[TdSection, ...], order: Order = Order.PAGE_BY_PAGE) -> bytes:
    """MRTD (48 bytes) of a guest that is built of these sections."""
    digest = hashlib.sha384()
    for section in sections:
        if section.later:
            continue
        if order is Order.SECTION_BY_SECTION:
            for address, _ in _pages(section):
                digest.update(_added(address))
        for address, page in _pages(section):
            if order is Order.PAGE_BY_PAGE:
                digest.update(_added(address))
            if section.measured:
                for start in range(0, PAGE, _CHUNK):
                    digest.update(_record(b"MR.EXTEND", address + start))
                    digest.update(page[start : start + _CHUNK])
    return digest.digest()


def _pages(section: TdSection) -> Iterator[tuple[int, bytes]]:
    for start in range(0, section.size, PAGE):
        yield section.address + start, section.contents[start : start + PAGE].ljust(PAGE, b"\0")


def _added(address: int) -> bytes:
    return _record(b"MEM.PAGE.ADD", address)


def _record(name: bytes, address: int) -> bytes:
    return name.ljust(16, b"\0") + struct.pack("<Q", address) + bytes(104)
