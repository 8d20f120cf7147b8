"""Reference values for Intel TDX."""

from __future__ import annotations

import msgspec

from syft_ext.attestation.references import InvalidPolicy, check_bits, check_sizes_of, check_some

__all__ = ["NEVER_ACCEPTED", "SEPT_VE_DISABLE", "STATUSES", "TdxReferences", "TdxWorkload"]

STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "Revoked",
)
"""Intel's words for a level, the best first."""

NEVER_ACCEPTED = frozenset({"OutOfDate", "OutOfDateConfigurationNeeded", "Revoked"})
"""Statuses that no policy can accept."""

SEPT_VE_DISABLE = 1 << 28
"""Bit of the TD's attributes: its pages cannot be made to fault by the host."""


class TdxWorkload(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What names a TD's code: its virtual firmware (``mrtd``) and the four registers that the boot extended.

    48 bytes each; ``b""`` takes any value, and is allowed for registers 0 (settings of the firmware, which
    differ by size of machine) and 3 (extended at run time): without the kernel (1) and its command line (2)
    only the firmware would be attested.
    """

    mrtd: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes

    def __post_init__(self) -> None:
        check_sizes_of("mrtd, rtmr1 and rtmr2", (self.mrtd, self.rtmr1, self.rtmr2), 48)
        check_sizes_of("rtmr0 and rtmr3", (value for value in (self.rtmr0, self.rtmr3) if value), 48)


class TdxReferences(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """What TDX quotes are accepted.

    Attributes:
        workloads: what may run.
        statuses: accepted levels; never "OutOfDate", "OutOfDateConfigurationNeeded" or "Revoked".
        advisories: ids of Intel's advisories that are known and accepted. With another status than "UpToDate",
            each that the level lists must be here.
        min_evaluation_number: the least ``tcbEvaluationDataNumber`` of the collateral.
        max_level_age: seconds from the date of the platform's level to the time of appraisal; ``None``: any.
        attributes_required, attributes_allowed: of the TD's attributes; others must be zero (30: protection
            keys,
            63: performance monitoring). The bits for debugging (0 to 7) never are allowed.
        features_allowed: mask of XFAM.
        modules: digests of TDX modules (MRSEAM), 48 bytes each; none: any that Intel signed.
        config_ids, owners, owner_configs: set by the host at launch, 48 bytes each; none: they must be zero.
        service_tds: digests of service TDs, 48 bytes each; none: there must not be one.
    """

    workloads: tuple[TdxWorkload, ...]
    statuses: tuple[str, ...] = ("UpToDate",)
    advisories: tuple[str, ...] = ()
    min_evaluation_number: int = 0
    max_level_age: int | None = None
    attributes_required: int = SEPT_VE_DISABLE
    attributes_allowed: int = SEPT_VE_DISABLE
    features_allowed: int = 0x6DBE7
    modules: tuple[bytes, ...] = ()
    config_ids: tuple[bytes, ...] = ()
    owners: tuple[bytes, ...] = ()
    owner_configs: tuple[bytes, ...] = ()
    service_tds: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        check_some("workloads", self.workloads)
        check_some("statuses", self.statuses)
        for status in self.statuses:
            if status not in STATUSES or status in NEVER_ACCEPTED:
                raise InvalidPolicy(f"the status {status[:40]!r} cannot be accepted")
        check_bits("attributes", self.attributes_required, self.attributes_allowed)
        if self.attributes_allowed & 0xFF:
            raise InvalidPolicy("bits 0 to 7 of the attributes are for debugging: they cannot be allowed")
        if self.attributes_required & ~self.attributes_allowed:
            raise InvalidPolicy("attributes that are required must be allowed")
        check_bits("features_allowed", self.features_allowed)
        for name in ("modules", "config_ids", "owners", "owner_configs", "service_tds"):
            check_sizes_of(name, getattr(self, name), 48)
