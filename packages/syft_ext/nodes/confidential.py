"""Confidential trainings at a Domain (``domain.confidential``): policies, rounds, receipts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.messages.confidential import (
    ConfidentialPolicies,
    ConfidentialPolicyView,
    ConfidentialReceipt,
    ConfidentialRounds,
    GetConfidentialPolicy,
    GetReceipt,
    ListConfidentialPolicies,
    ListConfidentialRounds,
    PublishPolicy,
    Resync,
    Resynced,
)
from syft_ext.nodes.transparency import TransparencyLog

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["Confidential"]


class Confidential:
    """What a Domain says of confidential trainings. It is the party that is not trusted: statements count by who
    signed them."""

    def __init__(self, client: Caller) -> None:
        self.client = client

    @property
    def log(self) -> TransparencyLog:
        """The Domain's transparency log."""
        return TransparencyLog(self.client)

    def publish(
        self, policy: Signed[ConfidentialPolicy], successions: Sequence[bytes] = ()
    ) -> ConfidentialPolicyView:
        """Keep a policy, signed by its scope's owner, and hand it to its key hosts; what each says of it.

        ``successions``: how hosts of it follow others that participants may have pinned, encoded.
        """
        message = PublishPolicy(policy=policy.encode(), successions=list(successions))
        view: ConfidentialPolicyView = self.client.call(message)
        return view

    def policy(self, digest: str, *, ask: bool = False) -> ConfidentialPolicyView:
        """A policy by its digest. ``ask``: what its key hosts say of it now, too."""
        view: ConfidentialPolicyView = self.client.call(GetConfidentialPolicy(digest=digest, ask=ask))
        return view

    def policies(self) -> list[ConfidentialPolicyView]:
        """All that were published here, the newest first."""
        found: ConfidentialPolicies = self.client.call(ListConfidentialPolicies())
        return found.policies

    def rounds(self, process_id: str) -> ConfidentialRounds:
        """The rounds of a training that you may read."""
        found: ConfidentialRounds = self.client.call(ListConfidentialRounds(process_id=process_id))
        return found

    def resync(self) -> Resynced:
        """After the Domain's database was restored: have its key hosts asked what happened since."""
        found: Resynced = self.client.call(Resync())
        return found

    def receipt(self, process_id: str, checkpoint: int) -> ConfidentialReceipt:
        """What goes with a checkpoint of a confidential training."""
        found: ConfidentialReceipt = self.client.call(
            GetReceipt(process_id=process_id, checkpoint=checkpoint)
        )
        return found
