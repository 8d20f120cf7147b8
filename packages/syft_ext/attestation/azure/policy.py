"""Reference values for Azure's guests with a virtual TPM."""

from __future__ import annotations

import msgspec

from syft_ext.attestation.references import InvalidPolicy, check_sizes_of, check_some
from syft_ext.attestation.snp.policy import SnpReferences

__all__ = ["PcrValue", "VtpmReferences"]


class PcrValue(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A register of the virtual TPM (SHA-256 bank) and the values that it may have, 32 bytes each."""

    index: int
    values: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.index <= 23:
            raise InvalidPolicy("a TPM has registers 0 to 23")
        check_some("values of a register", self.values)
        check_sizes_of("values of a register", self.values, 32)


class VtpmReferences(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """What quotes of Azure's virtual TPM are accepted.

    Attributes:
        paravisor: of the report of the hardware, whose measurement is Microsoft's paravisor alone.
        pcrs: registers that name what the guest booted; each must be in the quote.
    """

    paravisor: SnpReferences
    pcrs: tuple[PcrValue, ...]

    def __post_init__(self) -> None:
        check_some("pcrs", tuple(pcr.index for pcr in self.pcrs))
