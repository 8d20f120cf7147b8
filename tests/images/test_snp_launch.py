"""The launch digest of a SEV-SNP guest: published values, and what changes them."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest

from apps.images.__main__ import main
from apps.images.ovmf import FirmwareError, read_firmware
from apps.images.snp_launch import PROCESSORS, Boot, firmware_digest, launch_digest, processor_signature

# OVMF's AmdSev build, as EDK2's ResetVector lays it out: address, size, kind.
SECTIONS = (
    (0x800000, 0x9000, 1),
    (0x80A000, 0x3000, 1),
    (0x80D000, 0x1000, 2),
    (0x80E000, 0x1000, 3),
    (0x80F000, 0x1000, 16),
    (0x810000, 0x10000, 1),
)
RESET, HASHES = 0x80B004, 0x80FC00
CONSOLE = "console=ttyS0 loglevel=7"
#: Of two firmware files, as virtee/sev-snp-measure publishes it in its tests.
FIRST = "edcf6d1c57ce868a167c990f58c8667c698269ef9e0803246419eea914186343054d557e1f17acd93b032c106bc70d25"
SECOND = "cab7e085874b3acfdbe2d96dcaa3125111f00c35c6fc9708464c2ae74bfdb048a198cb9a9ccae0b3e5e1a33f5f249819"


def firmware_file(
    sections: tuple[tuple[int, int, int], ...] = SECTIONS,
    *,
    reset: int = RESET,
    hashes: int = HASHES,
    version: int = 1,
    size: int = 8192,
    fill: bytes = b"\x90",
) -> bytes:
    """A file that ends as OVMF does."""
    metadata = b"ASEV" + struct.pack("<III", 16 + 12 * len(sections), version, len(sections))
    metadata += b"".join(struct.pack("<III", *each) for each in sections)
    table = b""
    for guid, value in (
        ("7255371f-3a3b-4b04-927b-1da6efa8d454", hashes),
        ("00f771de-1a7e-4fcb-890e-68c77e2fb44e", reset),
        ("dc886566-984a-4798-a75e-5585a7bf67cc", 0x200),
    ):
        table += struct.pack("<IH", value, 22) + UUID(guid).bytes_le
    table += struct.pack("<H", len(table) + 18) + UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
    data = bytearray(fill * size)
    data[-0x200 : -0x200 + len(metadata)] = metadata
    data[-32 - len(table) : -32] = table
    return bytes(data)


@pytest.mark.parametrize(
    ("firmware", "processors", "boot", "published"),
    [
        (FIRST, 1, None,
         "e5e6be5a8fa6256f0245666bb237e2d028b7928148ce78d51b8a64dc9506c377709a5b5d7ab75554593bced304fcff93"),
        (FIRST, 1, CONSOLE,
         "f07864303ad8243132029e8110b92805c78d1135a15da75f67abb9a711d78740347f24ee76f603e650ec4adf3611cc1e"),
        (FIRST, 4, "",
         "1c784beb8c49aa604b7fd57fbc73b36ec53a3f5fb48a2b895ad6cc2ea15d18ee7cc15e3e57c792766b45f944c3e81cfe"),
        (SECOND, 1, "",
         "db06fb267824b1ccb56edbe2a9c2ce88841bca5090dc6dac91d9cd30f3c2c0bf42daccb30d55d6625bfbf0dae5c50c6d"),
    ],
    ids=["no kernel", "kernel", "four processors", "another firmware"],
)  # fmt: skip
def test_published_digests(firmware: str, processors: int, boot: str | None, published: str) -> None:
    found = launch_digest(
        read_firmware(firmware_file()),
        processors,
        PROCESSORS["EPYC-v4"],
        None if boot is None else Boot(b"", b"", boot),
        after_firmware=bytes.fromhex(firmware),
    )
    assert found.hex() == published


def test_all_that_is_started_changes_the_digest() -> None:
    firmware, signature = read_firmware(firmware_file()), PROCESSORS["EPYC-Milan"]
    boot = Boot(b"kernel", b"initrd", "quiet")
    found = {
        launch_digest(firmware, 2, signature, boot),
        launch_digest(firmware, 2, signature),
        launch_digest(firmware, 3, signature, boot),
        launch_digest(firmware, 2, signature + 1, boot),
        launch_digest(firmware, 2, signature, boot, features=0x21),
        launch_digest(firmware, 2, signature, Boot(b"kernel", b"initrd", "quiet ")),
        launch_digest(firmware, 2, signature, Boot(b"kernel", b"initr", "quiet")),
        launch_digest(firmware, 2, signature, Boot(b"kernel!", b"initrd", "quiet")),
        launch_digest(read_firmware(firmware_file(fill=b"\x91")), 2, signature, boot),
        launch_digest(read_firmware(firmware_file(reset=RESET + 4)), 2, signature, boot),
        launch_digest(read_firmware(firmware_file(SECTIONS[::-1])), 2, signature, boot),
    }
    assert len(found) == 11
    after = firmware_digest(firmware)
    assert launch_digest(firmware, 2, signature, boot, after_firmware=after) in found


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "whole pages"),
        (bytes(4095), "whole pages"),
        (bytes(4096), "does not end as OVMF"),
        (firmware_file(version=2), "another version"),
        (firmware_file(((0x800000, 0x1000, 9),)), "kind 9"),
        (firmware_file(((0x800001, 0x1000, 1),)), "whole pages"),
        (firmware_file(((0x800000, 0x2000, 2),)), "only memory"),
        (firmware_file()[:-34] + b"\xff\xff" + firmware_file()[-32:], "does not end|cut"),
    ],
)
def test_what_is_no_firmware_is_said(data: bytes, why: str) -> None:
    with pytest.raises(FirmwareError, match=why):
        read_firmware(data)


def test_what_a_firmware_does_not_measure_has_no_digest() -> None:
    without = read_firmware(firmware_file(SECTIONS[:4]))
    with pytest.raises(FirmwareError, match="no kernel"):
        launch_digest(without, 1, 0, Boot(b"kernel"))
    with pytest.raises(FirmwareError, match="not in its section"):
        launch_digest(read_firmware(firmware_file(hashes=0x80FFF0)), 1, 0, Boot(b"kernel"))
    with pytest.raises(FirmwareError, match="second processor"):
        launch_digest(read_firmware(firmware_file(reset=0)), 2, 0)


def test_signatures_of_processors() -> None:
    assert hex(PROCESSORS["EPYC-v4"]) == "0x800f12"
    assert hex(PROCESSORS["EPYC-Milan"]) == "0xa00f11"
    assert hex(processor_signature(6, 0x8F, 8)) == "0x806f8"


def test_the_command_tells_the_digest(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    paths = {}
    for name, data in {"ovmf.fd": firmware_file(), "kernel": b"kernel", "initrd": b"initrd"}.items():
        paths[name] = str(tmp_path / name)
        (tmp_path / name).write_bytes(data)
    words = ["snp", paths["ovmf.fd"], "2", "EPYC-Milan"]
    main([*words, paths["kernel"], paths["initrd"], "quiet"])
    expected = launch_digest(
        read_firmware(firmware_file()), 2, PROCESSORS["EPYC-Milan"], Boot(b"kernel", b"initrd", "quiet")
    )
    assert capsys.readouterr().out == f"snp:{expected.hex()}\n"
    with pytest.raises(SystemExit):
        main(["snp", paths["ovmf.fd"], "2", "EPYC-Milan"])
    with pytest.raises(SystemExit, match="EPYC"):
        main(["snp", paths["ovmf.fd"], "2", "Pentium", paths["kernel"], paths["initrd"], ""])
