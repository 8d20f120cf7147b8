"""``python -m apps.images lock | build OUT | snp … | tdx …``: the worker's image, and what is measured of it.

    python -m apps.images build OUT [--store FOLDER]    OUT/rootfs.tar, OUT/image.tar, OUT/digests.json
    python -m apps.images lock                          the packages of today, with their digests
    python -m apps.images snp OVMF PROCESSORS MODEL KERNEL INITRD "COMMAND LINE"
                                                        the launch digest under AMD SEV-SNP (MODEL: as QEMU has
                                                        it, EPYC-Milan)
    python -m apps.images tdx OVMF [section-by-section]     MRTD under Intel TDX; the last word for hosts that add
                                                        a section's pages before they measure them

The same checkout and lock give the same bytes on every machine: whoever doubts a digest builds it again.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

from apps.images.confidential_worker import DEBIAN, LOCK, WHEELS, image, root_file_system
from apps.images.ovmf import read_firmware
from apps.images.parts import Lock, latest, read_lock, write_lock
from apps.images.snp_launch import PROCESSORS, Boot, launch_digest
from apps.images.tdx_launch import Order, build_measurement, read_td_sections
from syft_ext.source_roots import SOURCE_ROOT

CHECKOUT = SOURCE_ROOT.parent
_EPOCH = 1_767_225_600  # 2026-01-01T00:00:00Z


def build(out: Path, store: Path) -> dict[str, str]:
    """Write the image; what its parts are called by those who measure them."""
    locked = read_lock(LOCK)
    out.mkdir(parents=True, exist_ok=True)
    layer = root_file_system(locked, store, CHECKOUT)
    made = image(layer, locked)
    (out / "rootfs.tar").write_bytes(layer)
    (out / "image.tar").write_bytes(made.archive(locked.epoch))
    found = {"rootfs": "sha256:" + hashlib.sha256(layer).hexdigest(), "image": made.digest}
    (out / "digests.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def lock(path: Path, store: Path) -> None:
    """Write a lock: Debian's packages of today, and wheels in the versions of image.lock."""
    versions = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (CHECKOUT / "image.lock").read_text(), re.MULTILINE))
    parts = latest(DEBIAN, [(name, versions[name]) for name in WHEELS], store)
    write_lock(path, Lock(_EPOCH, tuple(parts)))


def snp(firmware: str, processors: str, model: str, kernel: str, initrd: str, command_line: str) -> str:
    """The workload that a SEV-SNP guest of these files is, as policies name it."""
    if model not in PROCESSORS:
        sys.exit(f"MODEL is one of {', '.join(PROCESSORS)}")
    if not processors.isdecimal() or not int(processors):
        sys.exit("PROCESSORS is their number")
    boot = Boot(Path(kernel).read_bytes(), Path(initrd).read_bytes(), command_line)
    digest = launch_digest(
        read_firmware(Path(firmware).read_bytes()), int(processors), PROCESSORS[model], boot
    )
    return f"snp:{digest.hex()}"


def tdx(firmware: str, order: Order) -> str:
    """MRTD of a TDX guest with this firmware, as policies name it."""
    return build_measurement(read_td_sections(Path(firmware).read_bytes()), order).hex()


def main(arguments: list[str]) -> None:
    """The command."""
    store = Path.home() / ".cache" / "grid-images"
    if "--store" in arguments[:-1]:
        place = arguments.index("--store")
        store = Path(arguments[place + 1])
        del arguments[place : place + 2]
    match arguments:
        case ["lock"]:
            lock(LOCK, store)
        case ["build", out]:
            for name, digest in build(Path(out), store).items():
                sys.stdout.write(f"{name} {digest}\n")
        case ["snp", firmware, processors, model, kernel, initrd, command_line]:
            sys.stdout.write(snp(firmware, processors, model, kernel, initrd, command_line) + "\n")
        case ["tdx", firmware]:
            sys.stdout.write(f"mrtd {tdx(firmware, Order.PAGE_BY_PAGE)}\n")
        case ["tdx", firmware, "section-by-section"]:
            sys.stdout.write(f"mrtd {tdx(firmware, Order.SECTION_BY_SECTION)}\n")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
