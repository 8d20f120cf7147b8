"""Reference values for tokens of Microsoft Azure Attestation."""

from __future__ import annotations

import msgspec

from syft_ext.attestation.pins import PinnedKey, check_pins
from syft_ext.attestation.references import InvalidPolicy, check_sizes_of, check_some

__all__ = ["MAA_TYPES", "MaaReferences"]

MAA_TYPES = ("azurevm", "sevsnpvm", "tdxvm")
"""``x-ms-attestation-type``: a guest by its virtual TPM, or by its hardware's report."""


class MaaReferences(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """What tokens of Microsoft's verifier are accepted.

    Attributes:
        issuer: the URL of the tenant, exactly.
        keys: of that tenant; the URL that a token names is never asked.
        policy_hashes: of the tenant's own policy, as tokens state it: what Microsoft was told to accept.
        measurements: of the guest's firmware, 48 bytes each: MRTD of TDX, the launch digest of SEV-SNP.
        types: of :data:`MAA_TYPES`.
        host_data: of SEV-SNP, 32 bytes each; none: it must be zero.
    """

    issuer: str
    keys: tuple[PinnedKey, ...]
    policy_hashes: tuple[str, ...]
    measurements: tuple[bytes, ...]
    types: tuple[str, ...]
    host_data: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not self.issuer.startswith("https://"):
            raise InvalidPolicy("issuer: the URL of a tenant")
        check_pins(self.keys)
        check_some("policy_hashes", self.policy_hashes)
        check_some("measurements", self.measurements)
        check_sizes_of("measurements", self.measurements, 48)
        check_sizes_of("host_data", self.host_data, 32)
        check_some("types", self.types)
        if not set(self.types) <= set(MAA_TYPES):
            raise InvalidPolicy(f"types: of {', '.join(MAA_TYPES)}")
