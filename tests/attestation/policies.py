"""Policies to change one thing of."""

from __future__ import annotations

from syft_ext.attestation.azure.maa_policy import MaaReferences
from syft_ext.attestation.azure.policy import PcrValue, VtpmReferences
from syft_ext.attestation.confidential_space.policy import SpaceImage, SpaceReferences, SpaceVariable
from syft_ext.attestation.nitro.policy import NitroImage, NitroReferences
from syft_ext.attestation.pins import PinnedKey
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.snp.policy import SnpMinimum, SnpReferences
from syft_ext.attestation.tdx.policy import TdxReferences, TdxWorkload

__all__ = ["full_policy"]


def full_policy() -> AttestationPolicy:
    """Something in every field."""
    minimum = SnpMinimum(product="Milan", boot_loader=4, tee=0, snp=24, microcode=219, since="2026-02-01")
    snp = SnpReferences(measurements=(b"m" * 48,), minima=(minimum,), host_data=(b"h" * 32,))
    workload = TdxWorkload(b"t" * 48, b"", b"1" * 48, b"2" * 48, b"")
    key = PinnedKey(thumbprint=b"k" * 32, not_before=100, not_after=200)
    image = SpaceImage(
        digest="sha256:" + "0" * 64,
        arguments=("serve",),
        environment=(SpaceVariable("HOSTNAME"), SpaceVariable("MODE", "measured")),
        overridden=("MODE",),
    )
    return AttestationPolicy(
        production=True,
        snp=snp,
        tdx=TdxReferences(workloads=(workload,)),
        azure_vtpm=VtpmReferences(paravisor=snp, pcrs=(PcrValue(4, (b"4" * 32,)),)),
        nitro=NitroReferences(
            images=(NitroImage(pcr0=b"0" * 48, pcr1=b"1" * 48, pcr2=b"2" * 48),), signers=(b"8" * 48,)
        ),
        confidential_space=SpaceReferences(
            images=(image,), audience="grid:domain", keys=(key,), projects=("project",)
        ),
        azure_maa=MaaReferences(
            issuer="https://tenant.weu.attest.azure.net",
            keys=(key,),
            policy_hashes=("hash",),
            measurements=(b"f" * 48,),
            types=("tdxvm",),
        ),
    )
