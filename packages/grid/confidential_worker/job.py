"""A job's statements, checked: who signed them, and that they are about one round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grid.confidential_worker.operator import giving_up
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.frames import RoundJob
from syft_ext.confidential.manifest import CheckedEntry, Manifest, check_context, check_manifest
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import ReportLayout, RoundKey, open_round_keys
from syft_ext.errors import InvalidStatement

__all__ = ["OpenedJob", "open_job"]


@dataclass(frozen=True, slots=True)
class OpenedJob:
    """One round, as its statements say.

    Attributes:
        digest: M, the manifest's.
        keys: of the hosts, in the policy's order; ``signed_keys`` are the same as they came.
    """

    policy: ConfidentialPolicy
    manifest: Manifest
    digest: bytes
    keys: Sequence[RoundKey]
    signed_keys: tuple[Signed[RoundKey], ...]
    layout: ReportLayout

    def entries(self, at: int) -> list[CheckedEntry]:
        """The uploads, once every signature and certificate among them holds at this time (seconds).

        Raises :class:`~grid.confidential_worker.operator.GivingUp`.
        """
        with giving_up("manifest_refused"):
            return check_manifest(self.manifest, self.policy, at)


def open_job(job: RoundJob) -> OpenedJob:
    """All that can be said of a job without a clock.

    Raises :class:`~grid.confidential_worker.operator.GivingUp`.
    """
    with giving_up("policy_refused"):
        signed_policy: Signed[ConfidentialPolicy] = Signed.decode(job.policy)
        policy = signed_policy.open(ConfidentialPolicy, signed_policy.signer)
        if policy.owner != signed_policy.signer:
            raise InvalidStatement("a policy that its scope's owner did not sign")
    with giving_up("manifest_refused"):
        signed_manifest: Signed[Manifest] = Signed.decode(job.manifest)
        manifest = signed_manifest.open(Manifest, signed_manifest.signer)
        if manifest.context.domain != signed_manifest.signer:
            raise InvalidStatement("a manifest that its Domain did not sign")
        check_context(manifest.context, policy)
    with giving_up("round_keys_refused"):
        signed_keys: tuple[Signed[RoundKey], ...] = tuple(Signed.decode(each) for each in job.round_keys)
        keys = open_round_keys(signed_keys, tuple(host.key for host in policy.hosts), manifest.context)
        if tuple(key.digest() for key in keys) != manifest.keys:
            raise InvalidStatement("other keys than the manifest names")
    with giving_up("layout_refused"):
        layout = ReportLayout.decode(job.layout)
        if layout.digest() != manifest.context.layout:
            raise InvalidStatement("another layout than the round's")
    return OpenedJob(policy, manifest, manifest.digest(), keys, signed_keys, layout)
