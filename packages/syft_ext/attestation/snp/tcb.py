"""Security versions of AMD's firmware, which reports pack into eight bytes and certificates state one by one."""

from __future__ import annotations

import msgspec

__all__ = ["Tcb", "unpack"]


class Tcb(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Versions of the boot loader, the secure processor's OS, the SNP firmware and the microcode; of Turin,
    also of its controller (FMC). Names as AMD's services have them."""

    fmc: int | None = None
    bl: int
    tee: int
    snp: int
    ucode: int

    def reaches(self, least: Tcb) -> bool:
        """Whether each component is at least that of ``least``."""
        return (
            (self.fmc or 0) >= (least.fmc or 0)
            and self.bl >= least.bl
            and self.tee >= least.tee
            and self.snp >= least.snp
            and self.ucode >= least.ucode
        )

    def stated(self) -> dict[str, int]:
        """As claims state it."""
        found = {"fmc": self.fmc, "bl": self.bl, "tee": self.tee, "snp": self.snp, "ucode": self.ucode}
        return {name: value for name, value in found.items() if value is not None}


def unpack(packed: bytes, product: str) -> Tcb:
    """The versions in eight bytes of a report: Turin has another order (AMD 56860, table 3)."""
    if product == "Turin":
        return Tcb(fmc=packed[0], bl=packed[1], tee=packed[2], snp=packed[3], ucode=packed[7])
    return Tcb(bl=packed[0], tee=packed[1], snp=packed[6], ucode=packed[7])
