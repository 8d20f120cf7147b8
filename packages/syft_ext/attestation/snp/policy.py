"""Reference values for AMD SEV-SNP."""

from __future__ import annotations

import msgspec

from syft_ext.attestation.references import InvalidPolicy, check_bits, check_sizes_of, check_some

__all__ = ["PRODUCTS", "SnpMinimum", "SnpReferences"]

PRODUCTS = ("Milan", "Genoa", "Turin")


class SnpMinimum(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """The least TCB of a product: AMD revokes by it. Reported, committed and launch TCB must reach each
    component.

    ``since`` (a date) and ``reason`` (a bulletin of AMD) say to people where the numbers come from. ``fmc`` is
    of Turin only.
    """

    product: str
    boot_loader: int
    tee: int
    snp: int
    microcode: int
    fmc: int = 0
    since: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if self.product not in PRODUCTS:
            raise InvalidPolicy(f"products are {', '.join(PRODUCTS)}, not {self.product[:40]!r}")
        for value in (self.boot_loader, self.tee, self.snp, self.microcode, self.fmc):
            if not 0 <= value <= 255:
                raise InvalidPolicy(f"components of a TCB are 0 to 255, not {value}")


class SnpReferences(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """What SEV-SNP reports are accepted.

    Attributes:
        measurements: launch digests, 48 bytes each. Of a guest with direct boot: else only its firmware is
            measured.
        minima: one for each product that is accepted; others are refused.
        host_data: what the host set at launch, 32 bytes each; none: it must be zero.
        id_key_digests, author_key_digests: who signed the launch, 48 bytes each; none: anybody or nobody.
        signing_keys: "VCEK", "VLEK".
        clouds: of VLEK certificates (cspID): they do not say which chip it is, but whose.
        chips: chip ids, 64 bytes each; none: any chip.
        vmpls: privilege levels at which the report may be asked for.
        min_version: of the report: 3 is the first to name the processor.
        allow_smt, allow_cxl: bits 16 and 21 of the guest's policy.
        guest_policy_required: bits of the guest's policy that must be set (20: single socket, 22: AES-256-XTS…).
        platform_required: bits of PLATFORM_INFO that must be set (5: alias check complete…).
        mitigations_required: bits of both mitigation vectors, of reports of version 5.
        allow_provisional: whether the firmware may be newer than what the owner committed to.
        revocation_required: whether AMD's list must be beside the report.
    """

    measurements: tuple[bytes, ...]
    minima: tuple[SnpMinimum, ...]
    host_data: tuple[bytes, ...] = ()
    id_key_digests: tuple[bytes, ...] = ()
    author_key_digests: tuple[bytes, ...] = ()
    signing_keys: tuple[str, ...] = ("VCEK",)
    clouds: tuple[str, ...] = ()
    chips: tuple[bytes, ...] = ()
    vmpls: tuple[int, ...] = (0,)
    min_version: int = 3
    min_guest_svn: int = 0
    min_abi: tuple[int, int] = (0, 0)
    allow_smt: bool = False
    allow_cxl: bool = False
    guest_policy_required: int = 0
    platform_required: int = 0
    mitigations_required: int = 0
    allow_provisional: bool = False
    revocation_required: bool = True

    def __post_init__(self) -> None:
        check_some("measurements", self.measurements)
        check_sizes_of("measurements", self.measurements, 48)
        check_some("minima", tuple(minimum.product for minimum in self.minima))
        check_sizes_of("host_data", self.host_data, 32)
        check_sizes_of("id_key_digests", self.id_key_digests, 48)
        check_sizes_of("author_key_digests", self.author_key_digests, 48)
        check_sizes_of("chips", self.chips, 64)
        check_some("signing_keys", self.signing_keys)
        if not set(self.signing_keys) <= {"VCEK", "VLEK"}:
            raise InvalidPolicy('signing_keys are "VCEK" and "VLEK"')
        if "VLEK" in self.signing_keys and not self.clouds:
            raise InvalidPolicy("a VLEK says whose chip it is: clouds must name some")
        check_some("vmpls", self.vmpls)
        if not all(0 <= level <= 3 for level in self.vmpls):
            raise InvalidPolicy("vmpls are 0 to 3")
        check_bits("guest_policy_required", self.guest_policy_required)
        check_bits("platform_required", self.platform_required)
        check_bits("mitigations_required", self.mitigations_required)
