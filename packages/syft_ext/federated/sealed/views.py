"""What people see of a confidential training: who verified what, when, by which pins."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

from syft_ext.confidential.offer import Finding, VerifiedOffer
from syft_ext.confidential.policy import NANO, ConfidentialPolicy
from syft_ext.display.table import Table
from syft_ext.readable import readable

__all__ = ["ConfidentialOffer", "said_of_policy"]

SIMULATED = "SIMULATED: whoever runs the Domain can see everything"


class ConfidentialOffer:
    """An offer that passed every check; shown as a table in a notebook.

    Attributes:
        verified: all of it.
    """

    def __init__(self, verified: VerifiedOffer) -> None:
        self.verified = verified

    @property
    def policy(self) -> ConfidentialPolicy:
        """The terms."""
        return self.verified.policy

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was checked, in order."""
        return self.verified.findings

    @property
    def protects(self) -> bool:
        """Whether this protects anybody: a production policy, whose hosts take no simulated evidence."""
        return self.policy.production

    def _head(self) -> list[str]:
        verified, policy = self.verified, self.policy
        when = f"{datetime.fromtimestamp(verified.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
        context = verified.place.context
        lines = [
            f"confidential round {context.sequence} of {context.process}, verified here at {when}",
            f"policy {policy.digest().hex()}",
            *said_of_policy(policy),
        ]
        if verified.appraisal is None:
            lines.append("no evidence of a worker was there to look at: the hosts alone decide")
        elif not verified.fresh:
            lines.append("the hosts appraised a worker earlier; they will again before they give a key")
        return lines if self.protects else [SIMULATED, *lines]

    def text(self) -> str:
        """All of it, as lines."""
        checks = (
            f"  {finding.check}: {finding.said} (by {finding.pin}{', advisory' if finding.advisory else ''})"
            for finding in self.findings
        )
        return "\n".join(readable(line) for line in (*self._head(), *checks))

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        lines = [escape(readable(line)) for line in self._head()]
        if not self.protects:
            lines[0] = f'<strong style="color:#b00020">{lines[0]}</strong>'
        rows = [
            (each.check, each.said, each.pin, "advisory" if each.advisory else "decides")
            for each in self.findings
        ]
        table = Table("", ["check", "what holds", "held against", "and that"], rows)
        return f"<div>{'<br>'.join(lines)}</div>{table._repr_html_()}"


def said_of_policy(policy: ConfidentialPolicy) -> list[str]:
    """What a policy means, in lines."""
    mechanism, budget, cohort = policy.mechanism, policy.budget, policy.cohort
    lines = [
        f"key hosts, all of them needed: {', '.join(host.name for host in policy.hosts)}",
        f"{cohort.least} to {cohort.most} participants in a round, each in at most {cohort.participations} rounds"
        f" of scope {budget.scope!r}",
    ]
    if mechanism.noise_multiplier:
        clip = mechanism.clip / 2**mechanism.grid_bits
        lines.append(
            f"clipped to {clip:g}, noise of {mechanism.noise_multiplier / NANO:g} times that; ρ = "
            f"{mechanism.rho / NANO:g} a round, {budget.rho / NANO:g} in all"
        )
    else:
        lines.append("no noise: a checkpoint may tell of single participants")
    return lines
