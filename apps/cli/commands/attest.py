"""``grid attest``: whether evidence of an attested process holds, and what it says. No node is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apps.cli.output import FAILED, say, say_json

if TYPE_CHECKING:
    from syft_ext.attestation.evidence import Evidence, Objection, Verified
    from syft_ext.attestation.policy import AttestationPolicy

__all__ = ["COMMANDS", "attest"]

COMMANDS = {
    "attest": "Whether evidence of an attested process holds.",
}

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class _Moment(click.ParamType[datetime]):
    """A time as ISO 8601 has it; without a zone it is in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; one is 2026-03-31T12:00:00Z", param, ctx)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@click.group(
    help="""Whether evidence of an attested process holds, and what it says.

\b
Examples:
  grid attest verify report.bin --with vcek.der --with ask.der --with ark.der
  grid attest verify quote.bin --with collateral.json --at 2026-03-31T12:00:00Z
  grid attest verify quote.bin --with collateral.json --policy policy.json --json
"""
)
def attest() -> None:
    pass


@attest.command(
    help="""Appraise the evidence in FILE; exit code 1 if it is refused.

Which kind of evidence it is follows from its bytes. Without a policy it is accepted if its chain, its signature
and the time are right, and nothing speaks against it whatever a policy says: debug, revoked, no or an outdated
level, missing collateral. A policy adds reference values: docs/attestation.md. To which session evidence is bound,
only the parties of that session can tell: it is shown, and not checked.
"""
)
@click.argument("file", type=_FILE)
@click.option(
    "--with",
    "beside",
    type=_FILE,
    multiple=True,
    help="What lies beside it, in any form: certificates, revocation lists, collateral, key sets.",
)
@click.option("--at", type=_Moment(), help="Appraise as of this time (ISO 8601, UTC). [default: now]")
@click.option("--policy", "policy_file", type=_FILE, help="What to accept: JSON, or a policy's own encoding.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON in the last line.")
@click.pass_context
def verify(
    ctx: click.Context,
    file: Path,
    beside: tuple[Path, ...],
    at: datetime | None,
    policy_file: Path | None,
    as_json: bool,
) -> None:
    from syft_ext.attestation.appraise import objections, recognise
    from syft_ext.attestation.appraise import verify as verify_evidence
    from syft_ext.attestation.evidence import Companion, Evidence, Objection, Reason
    from syft_ext.errors import EvidenceRefused

    at = at or datetime.now(UTC)
    policy = None if policy_file is None else _read_policy(policy_file)
    companions = tuple(Companion(path.name, _read(path)) for path in beside)
    evidence, verified, found = None, None, list[Objection]()
    try:
        content = _read(file)
        if (unwrapped := _unwrapped(content)) is not None:
            content = unwrapped
        evidence = Evidence(recognise(content), content, companions)
        verified = verify_evidence(evidence, at)
        found += objections(verified, policy, at)
    except EvidenceRefused as error:
        found.append(Objection(Reason(error.extra["reason"]), error.detail))
    _show(evidence, verified, policy, at, found)
    if as_json:
        say_json(_document(evidence, verified, found), one_line=True)
    if found:
        say(f"refused: {', '.join(dict.fromkeys(str(each.reason) for each in found))}", err=True)
    ctx.exit(FAILED if found else 0)


def _read(path: Path) -> bytes:
    """The content, or as much of it as tells that it is too much."""
    from syft_ext.attestation.evidence import MAX_COMPANION_SIZE

    with path.open("rb") as file:
        return file.read(MAX_COMPANION_SIZE + 1)


def _unwrapped(content: bytes) -> bytes | None:
    """What a file holds in hexadecimal or base64, as many tools print evidence; ``None``: it does not. No evidence
    consists of such characters alone."""
    import base64
    import binascii

    text = b"".join(content.split()).removeprefix(b"0x")
    for decode in (bytes.fromhex, lambda said: base64.b64decode(said, validate=True)):
        try:
            return decode(text.decode("ascii")) or None
        except (binascii.Error, ValueError):
            continue
    return None


def _read_policy(path: Path) -> AttestationPolicy:
    from syft_ext.attestation.policy import decode_policy, policy_from_json

    content = _read(path)
    return policy_from_json(content) if content.lstrip()[:1] == b"{" else decode_policy(content)


def _document(evidence: Evidence | None, verified: Verified | None, found: list[Objection]) -> dict[str, Any]:
    return {
        "kind": evidence.kind if evidence else None,
        "signature": verified is not None,
        "debug": verified.debug if verified else None,  # of what did not hold, nothing is known
        "accepted": not found,
        "reasons": list(dict.fromkeys(str(objection.reason) for objection in found)),
        "claims": verified.claims if verified else {},
    }


def _show(
    evidence: Evidence | None,
    verified: Verified | None,
    policy: AttestationPolicy | None,
    at: datetime,
    found: list[Objection],
) -> None:
    _line("kind", evidence.kind if evidence else "not known")
    _line("at", f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")
    _line("signature", "holds, up to a pinned root" if verified else "does not hold")
    if verified is not None:
        if verified.simulated:
            _line("INSECURE", "software attestation: whoever runs it sees everything")
        _line(
            "valid", f"{verified.not_before:%Y-%m-%d %H:%M:%S} to {verified.not_after:%Y-%m-%d %H:%M:%S} UTC"
        )
        for workload in verified.workload:
            _line("workload", workload)
        for name, value in verified.platform.items():
            _line(f"platform {name}", _text(value))
        for name, value in verified.claims.items():
            if name not in verified.platform:
                _line(f"claim {name}", _text(value))
        _line("debug", "yes" if verified.debug else "no")
        _line("binding", f"{verified.binding.hex() or 'none'} (not checked: there is no session)")
    _line(
        "policy", "none" if policy is None else f"{'production' if policy.production else 'not production'}"
    )
    for objection in found:
        _line("refused", f"{objection.detail} [{objection.reason}]")
    _line("result", "refused" if found else "accepted")


def _line(name: str, text: str) -> None:
    say(f"{name + ':':<12} {text}")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
