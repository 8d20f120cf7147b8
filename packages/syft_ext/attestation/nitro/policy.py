"""Reference values for AWS Nitro Enclaves."""

from __future__ import annotations

import msgspec

from syft_ext.attestation.references import InvalidPolicy, check_sizes_of, check_some

__all__ = ["NitroImage", "NitroReferences"]


class NitroImage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """An enclave image as the hypervisor measures it, 48 bytes each, SHA-384.

    Attributes:
        pcr0: the whole image file.
        pcr1: its kernel and boot file system.
        pcr2: the application.
    """

    pcr0: bytes
    pcr1: bytes
    pcr2: bytes

    def __post_init__(self) -> None:
        registers = (self.pcr0, self.pcr1, self.pcr2)
        check_sizes_of("registers of an image", registers, 48)
        if bytes(48) in registers:
            raise InvalidPolicy("registers 0 to 2 that are zero are those of an enclave in debug mode")


class NitroReferences(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """What Nitro enclaves are accepted.

    Attributes:
        images: all three registers of each; the signer alone (PCR8) would say who wrote a program, not which.
        signers: PCR8, the certificate that signed the image, 48 bytes each; none: signed by anybody or nobody.
        roles: PCR3, the role of the instance that started it; none: any.
        instances: PCR4, that instance; none: any.
    """

    images: tuple[NitroImage, ...]
    signers: tuple[bytes, ...] = ()
    roles: tuple[bytes, ...] = ()
    instances: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        check_some("images", self.images)
        for name, values in (("signers", self.signers), ("roles", self.roles), ("instances", self.instances)):
            check_sizes_of(name, values, 48)
            if bytes(48) in values:
                raise InvalidPolicy(f"{name}: a register that is zero was not measured")
