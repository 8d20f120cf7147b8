"""The launch digest of an AMD SEV-SNP guest, as QEMU and KVM start it: the reference value for a policy.

    LD = 48 zero bytes; for each page that the host prepares, in order:
    LD = SHA-384(LD ‖ SHA-384(page) or zeros ‖ 0x70 ‖ type ‖ 0 ‖ permissions ‖ address)

The pages are: the firmware; its sections; the first registers of each processor. Source: AMD, "SEV Secure Nested
Paging Firmware ABI" (56860), section 8.17; APM volume 2, table B-4 (the save area); QEMU, ``target/i386/sev.c``.
Held against the digests that virtee/sev-snp-measure publishes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from apps.images.ovmf import PAGE, Firmware, FirmwareError, SectionKind

__all__ = ["PROCESSORS", "Boot", "firmware_digest", "launch_digest", "processor_signature"]

_NORMAL, _VMSA, _ZERO, _SECRETS, _CPUID = 1, 2, 3, 5, 6  # types of pages
_NOTHING = bytes(48)
_VMSA_ADDRESS = 0xFFFFFFFFF000
_FIRST_START = 0xFFFFFFF0
_HASH_TABLE = UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le
_COMMAND_LINE = UUID("97d02dd8-bd20-4c94-aa78-e7714d36ab2a").bytes_le
_INITRD = UUID("44baf731-3a2f-4bd7-9af1-41e29169781d").bytes_le
_KERNEL = UUID("4de79437-abd2-427f-b835-d5b172d2045b").bytes_le
_SEGMENTS = {  # offset: selector, attributes, limit; the base of the code is where it starts
    0x00: (0, 0x93, 0xFFFF),
    0x10: (0xF000, 0x9B, 0xFFFF),
    0x20: (0, 0x93, 0xFFFF),
    0x30: (0, 0x93, 0xFFFF),
    0x40: (0, 0x93, 0xFFFF),
    0x50: (0, 0x93, 0xFFFF),
    0x60: (0, 0, 0xFFFF),
    0x70: (0, 0x82, 0xFFFF),
    0x80: (0, 0, 0xFFFF),
    0x90: (0, 0x8B, 0xFFFF),
}
_REGISTERS = {  # offset: what KVM has put there before the first instruction
    0x0D0: 0x1000,  # EFER: SVME
    0x148: 0x40,  # CR4: MCE
    0x158: 0x10,  # CR0: ET
    0x160: 0x400,  # DR7
    0x168: 0xFFFF0FF0,  # DR6
    0x170: 2,  # RFLAGS
    0x268: 0x0007040600070406,  # PAT
    0x3E8: 1,  # XCR0
}
_CODE_BASE, _RIP, _RDX, _FEATURES = 0x18, 0x178, 0x310, 0x3B0


def processor_signature(family: int, model: int, stepping: int) -> int:
    """What CPUID 1 tells in EAX of a processor, which QEMU puts into RDX."""
    low, high = (15, family - 15) if family > 15 else (family, 0)
    return high << 20 | (model >> 4) << 16 | low << 8 | (model & 15) << 4 | stepping


#: QEMU's models of processors, the ones that SEV-SNP runs on.
PROCESSORS = {
    "EPYC-v4": processor_signature(23, 1, 2),
    "EPYC-Rome": processor_signature(23, 49, 0),
    "EPYC-Milan": processor_signature(25, 1, 1),
    "EPYC-Genoa": processor_signature(25, 17, 0),
}


@dataclass(frozen=True, slots=True)
class Boot:
    """What QEMU loads beside the firmware (``kernel-hashes=on``), and whose hashes are measured."""

    kernel: bytes
    initrd: bytes = b""
    command_line: str = ""

    def table(self) -> bytes:
        """The hashes, as the firmware reads them (176 bytes)."""
        parts = (
            (_COMMAND_LINE, self.command_line.encode() + b"\0"),
            (_INITRD, self.initrd),
            (_KERNEL, self.kernel),
        )
        entries = b"".join(
            guid + struct.pack("<H", 50) + hashlib.sha256(data).digest() for guid, data in parts
        )
        return (_HASH_TABLE + struct.pack("<H", _ENTRY_SIZE + len(entries)) + entries).ljust(176, b"\0")


_ENTRY_SIZE = 18


def _extended(digest: bytes, kind: int, address: int, contents: bytes = _NOTHING) -> bytes:
    """With one more page of this type: the firmware's chain of page infos."""
    return hashlib.sha384(struct.pack("<48s48sHBBIQ", digest, contents, 0x70, kind, 0, 0, address)).digest()


def firmware_digest(firmware: Firmware) -> bytes:
    """The chain (48 bytes) after the firmware's own pages: what hosts publish of theirs."""
    digest = _NOTHING
    for offset in range(0, len(firmware.data), PAGE):
        contents = hashlib.sha384(firmware.data[offset : offset + PAGE]).digest()
        digest = _extended(digest, _NORMAL, firmware.address + offset, contents)
    return digest


def launch_digest(
    firmware: Firmware,
    processors: int,
    signature: int,
    boot: Boot | None = None,
    *,
    after_firmware: bytes | None = None,
    features: int = 1,
) -> bytes:
    """The launch digest (48 bytes): what a policy names as ``snp:…``.

    Args:
        signature: as :func:`processor_signature` tells it of the model that QEMU is told.
        boot: None: the firmware boots from a disk, and **nothing behind it is measured**.
        after_firmware: :func:`firmware_digest` of the host's firmware, where it tells no more of it.
        features: SEV_FEATURES; 1: SEV-SNP, and nothing else.

    Raises :class:`FirmwareError` where the firmware has no room for hashes, or no place at which a second
    processor begins.
    """
    if processors < 1:
        raise ValueError("a guest has a processor")
    digest = firmware_digest(firmware) if after_firmware is None else after_firmware
    if boot is not None and not any(each.kind is SectionKind.KERNEL_HASHES for each in firmware.sections):
        raise FirmwareError("the firmware measures no kernel: it has no section for its hashes")
    of_kind: dict[SectionKind, Callable[[bytes, int], bytes]] = {
        SectionKind.MEMORY: lambda digest, address: _extended(digest, _ZERO, address),
        SectionKind.SECRETS: lambda digest, address: _extended(digest, _SECRETS, address),
        SectionKind.CPUID: lambda digest, address: _extended(digest, _CPUID, address),
        SectionKind.KERNEL_HASHES: lambda digest, address: _with_hashes(digest, address, firmware, boot),
    }
    for section in firmware.sections:
        for address in range(section.address, section.address + section.size, PAGE):
            digest = of_kind[section.kind](digest, address)
    for number in range(processors):
        start = firmware.reset if number else _FIRST_START
        if start is None:
            raise FirmwareError("the firmware names no place where a second processor begins")
        page = hashlib.sha384(_save_area(start, signature, features)).digest()
        digest = _extended(digest, _VMSA, _VMSA_ADDRESS, page)
    return digest


def _with_hashes(digest: bytes, address: int, firmware: Firmware, boot: Boot | None) -> bytes:
    if boot is None:
        return _extended(digest, _ZERO, address)
    place = -1 if firmware.hashes is None else firmware.hashes - address
    table = boot.table()
    if not 0 <= place <= PAGE - len(table):
        raise FirmwareError("the firmware's table of hashes is not in its section")
    page = (bytes(place) + table).ljust(PAGE, b"\0")
    return _extended(digest, _NORMAL, address, hashlib.sha384(page).digest())


def _save_area(start: int, signature: int, features: int) -> bytes:
    """The registers (4,096 bytes) with which a processor begins at ``start``."""
    page = bytearray(PAGE)
    for offset, (selector, attributes, limit) in _SEGMENTS.items():
        struct.pack_into("<HHI", page, offset, selector, attributes, limit)
    numbers = _REGISTERS | {
        _CODE_BASE: start & 0xFFFF0000,
        _RIP: start & 0xFFFF,
        _RDX: signature,
        _FEATURES: features,
    }
    for offset, value in numbers.items():
        struct.pack_into("<Q", page, offset, value)
    return bytes(page)
