"""The receipt of a checkpoint of a confidential training, verified here."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from html import escape

from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.privacy import privacy_statement
from syft_ext.confidential.receipts import Receipt, ReceiptBundle, check_receipt
from syft_ext.confidential.sessions import SessionStatement
from syft_ext.errors import InvalidStatement
from syft_ext.readable import readable

__all__ = ["CheckpointReceipt"]

_CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"
_WARNING = ' style="color:#b00020"'


class CheckpointReceipt:
    """What was done for a checkpoint, and who vouches for it. Making one verifies it: that the scope's owner
    signed the policy, the Domain the manifest, and that every key host of the policy vouched for the session.

    Whether these hosts and this owner are whom you mean, their keys say: give yours to :meth:`by`. That the
    checkpoint was made of this output is the Domain's word: whatever it makes of outputs, it has nothing else of
    the updates.

    Args:
        receipt, manifest, policy: encoded, as the Domain handed them out.
        domain: the Domain's key, hex, as it was pinned. process, checkpoint: what it has to be of.

    Attributes:
        receipt, policy, manifest: opened.
        sessions: what each host said.

    Raises :class:`~syft_ext.errors.BadSignature` or :class:`~syft_ext.errors.InvalidStatement`.
    """

    def __init__(
        self, receipt: bytes, manifest: bytes, policy: bytes, domain: str, process: str, checkpoint: int
    ) -> None:
        signed_policy: Signed[ConfidentialPolicy] = Signed.decode(policy)
        self.policy = signed_policy.open(ConfidentialPolicy, signed_policy.signer)
        if self.policy.owner != signed_policy.signer:
            raise InvalidStatement("the policy is signed by somebody else than its owner")
        signed_manifest: Signed[Manifest] = Signed.decode(manifest)
        self.manifest = signed_manifest.open(Manifest, key_of(domain))
        if (self.manifest.context.domain, self.manifest.context.process) != (key_of(domain), process):
            raise InvalidStatement("the manifest is of another Domain or training")
        bundle = ReceiptBundle.decode(receipt)
        self.receipt: Receipt = check_receipt(bundle, self.policy, self.manifest)
        self.sessions = tuple(SessionStatement.decode(each.body) for each in bundle.sessions)
        self.checkpoint = checkpoint

    def by(self, hosts: Collection[str], owners: Collection[str] = ()) -> CheckpointReceipt:
        """The same receipt, if all of its hosts, and its owner, are among these keys (hex).

        Raises :class:`~syft_ext.errors.InvalidStatement`. ``owners`` left out: anybody.
        """
        pinned = {key_of(key) for key in hosts}
        strange = [host.name for host in self.policy.hosts if host.key not in pinned]
        if strange:
            raise InvalidStatement(f"hosts that are none of yours: {', '.join(map(readable, strange))}")
        if owners and self.policy.owner not in {key_of(key) for key in owners}:
            raise InvalidStatement("the policy's owner is none of yours")
        return self

    @property
    def simulated(self) -> bool:
        """Whoever runs the Domain could see everything: here, or in another session for the same manifest, which
        had the same keys."""
        return self.receipt.simulated or self.policy.evidence.allow_simulator

    @property
    def privacy(self) -> str:
        """What may be said of the participants' privacy."""
        return privacy_statement(self.policy, simulated=self.simulated)

    def _rows(self) -> list[tuple[str, str]]:
        receipt = self.receipt
        rows = [
            (
                "round",
                f"{receipt.sequence} of {receipt.process}; that the checkpoint is of it, the Domain says",
            ),
            ("manifest", receipt.manifest.hex()),
            ("policy", receipt.policy.hex()),
            ("scope", f"{self.policy.budget.scope} of {self.policy.owner.hex()}"),
            (
                "participants",
                f"{receipt.participants} ({receipt.bad_seals} of them sealed badly, and counted as zero)",
            ),
            ("program", ", ".join(receipt.workloads)),
            ("ρ of this round", f"{receipt.rho / 1e9:g}"),
            ("privacy", self.privacy),
        ]
        for host, session in zip(self.policy.hosts, self.sessions, strict=True):
            when = f"{datetime.fromtimestamp(session.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
            rows.append((f"key host {host.name}", f"appraised the worker at {when}; key {host.key.hex()}"))
        if self.simulated:
            rows.insert(0, ("SIMULATED", "whoever runs the Domain could see everything"))
        return [(name, readable(said)) for name, said in rows]

    def __repr__(self) -> str:
        lines = [f"  {name}: {said}" for name, said in self._rows()]
        return "\n".join([f"receipt of checkpoint {self.checkpoint}, verified here", *lines])

    def _repr_html_(self) -> str:
        named = f'<th style="{_CELL};white-space:nowrap">'
        rows = "".join(
            f"<tr{_WARNING if name == 'SIMULATED' else ''}>{named}{escape(name)}</th>"
            f'<td style="{_CELL}">{escape(said)}</td></tr>'
            for name, said in self._rows()
        )
        title = f"Receipt of checkpoint {self.checkpoint}, verified here"
        return f"<div><strong>{title}</strong><table>{rows}</table></div>"
