"""MRTD of a TDX guest: held against the specification's records written out a second time, and what changes it."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from uuid import UUID

import pytest

from apps.images.__main__ import main
from apps.images.ovmf import FirmwareError
from apps.images.tdx_launch import Order, build_measurement, read_td_sections

SIZE, PAGE = 6 * 4096, 4096
BASE = (1 << 32) - SIZE
#: As OVMF's IntelTdx build lists them: offset, length in the file, address, size in memory, kind, attributes.
Section = tuple[int, int, int, int, int, int]
CODE: Section = (PAGE, 5 * PAGE, BASE + PAGE, 5 * PAGE, 0, 1)
CONFIGURATION: Section = (0, PAGE, BASE, PAGE, 1, 0)
STACK: Section = (0, 0, 0x810000, 2 * PAGE, 3, 0)
HOB: Section = (0, 0, 0x809000, PAGE, 2, 0)
MEMORY: Section = (0, 0, 0x100000, 0x700000, 4, 2)
SECTIONS = (CODE, CONFIGURATION, STACK, HOB, MEMORY)


def firmware_file(sections: tuple[Section, ...] = SECTIONS, *, version: int = 1, place: int = 0x400) -> bytes:
    """A file that ends as OVMF does."""
    metadata = b"TDVF" + struct.pack("<III", 16 + 32 * len(sections), version, len(sections))
    metadata += b"".join(struct.pack("<IIQQII", *each) for each in sections)
    table = struct.pack("<IH", place, 22) + UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le
    table += struct.pack("<H", len(table) + 18) + UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
    data = bytearray(i * 7 % 251 for i in range(SIZE))
    data[-0x400 : -0x400 + len(metadata)] = metadata
    data[-32 - len(table) : -32] = table
    return bytes(data)


def measured(*sections: Section, order: Order = Order.PAGE_BY_PAGE) -> str:
    return build_measurement(read_td_sections(firmware_file(sections or SECTIONS)), order).hex()


def second(data: bytes, sections: tuple[Section, ...], *, whole_sections: bool = False) -> str:
    """The specification read again: one stream of 128-byte blocks, each put together byte by byte."""
    stream = bytearray()

    def block(text: str, address: int) -> None:
        record = bytearray(128)
        for place, letter in enumerate(text):
            record[place] = ord(letter)
        for place in range(8):
            record[16 + place] = (address >> (8 * place)) & 255
        stream.extend(record)

    for offset, length, address, size, _, attributes in sections:
        if attributes & 2:
            continue
        memory = data[offset : offset + length] + b"\0" * (size - length)
        pages = [address + place for place in range(0, size, 4096)]
        steps = [*[("add", page) for page in pages], *[("extend", page) for page in pages]]
        if not whole_sections:
            steps.sort(key=lambda step: (step[1], step[0]))
        for what, page in steps:
            if what == "add":
                block("MEM.PAGE.ADD", page)
            elif attributes & 1:
                for chunk in range(page, page + 4096, 256):
                    block("MR.EXTEND", chunk)
                    stream.extend(memory[chunk - address : chunk - address + 256])
    assert len(stream) % 128 == 0
    return hashlib.new("sha384", stream).hexdigest()


@pytest.mark.parametrize(
    "sections",
    [SECTIONS, (CODE,), (STACK, CODE, HOB), ((PAGE, 3 * PAGE + 100, BASE, 5 * PAGE, 0, 1), STACK)],
    ids=["all", "code alone", "another order", "a last page that is not whole"],
)
def test_as_a_second_reading_of_the_specification(sections: tuple[Section, ...]) -> None:
    data = firmware_file(sections)
    assert measured(*sections) == second(data, sections)
    found = measured(*sections, order=Order.SECTION_BY_SECTION)
    assert found == second(data, sections, whole_sections=True) != measured(*sections)


def test_what_changes_it_and_what_does_not() -> None:
    whole = measured()
    assert len(bytes.fromhex(whole)) == 48
    changed = bytearray(firmware_file())
    changed[PAGE] ^= 1  # code
    assert build_measurement(read_td_sections(bytes(changed))).hex() != whole
    changed = bytearray(firmware_file())
    changed[0] ^= 1  # the configuration, which no section measures, but RTMR0
    assert build_measurement(read_td_sections(bytes(changed))).hex() == whole
    moved = (*STACK[:2], STACK[2] + PAGE, *STACK[3:])
    assert measured(CODE, CONFIGURATION, moved, HOB, MEMORY) != whole
    # Sections that the guest gets later are none of it; but the list of them lies in the measured code.
    assert {each.later for each in read_td_sections(firmware_file())} == {False, True}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        firmware_file()[:-1],
        bytes(SIZE),
        firmware_file(version=2),
        firmware_file(place=0x500),
        firmware_file(place=4),
        firmware_file(()),
        firmware_file(((*CODE[:5], 0),)),
        firmware_file((CODE, (0, 0, 0, PAGE, 8, 0))),
        firmware_file((CODE, (0, 0, 0, PAGE, 3, 4))),
        firmware_file((CODE, (0, 0, 1, PAGE, 3, 0))),
        firmware_file((CODE, (0, 0, 0, 0, 3, 0))),
        firmware_file((CODE, (0, 2 * PAGE, 0, PAGE, 3, 0))),
        firmware_file((CODE, (SIZE, PAGE, 0, PAGE, 3, 0))),
        firmware_file((CODE, (0, 0, 0, PAGE, 4, 3))),
        firmware_file((CODE, (0, PAGE, 0, PAGE, 4, 2))),
        firmware_file((CODE, (0, 0, (1 << 64) - PAGE, 2 * PAGE, 3, 0))),
        firmware_file((CODE, (0, 0, 0, 1 << 40, 3, 0))),
    ],
)
def test_what_is_no_such_firmware_is_refused(data: bytes) -> None:
    with pytest.raises(FirmwareError):
        read_td_sections(data)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "OVMF.fd").write_bytes(firmware_file())
    main(["tdx", str(tmp_path / "OVMF.fd")])
    main(["tdx", str(tmp_path / "OVMF.fd"), "section-by-section"])
    found = capsys.readouterr().out.split()
    assert found[::2] == ["mrtd", "mrtd"]
    assert found[1] == second(firmware_file(), SECTIONS) != found[3]
