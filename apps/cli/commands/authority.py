"""``grid authority``: keys that vouch for participants and own scopes, kept by people and on no node."""

from __future__ import annotations

import time
from pathlib import Path

import click

from apps.cli.output import format_option, print_record

__all__ = ["COMMANDS", "authority"]

COMMANDS = {
    "authority": "Keys that vouch for participants of confidential trainings.",
}


@click.group(
    help="""Keys of people, not of nodes: authorities vouch for participants, owners of scopes sign policies.

\b
Examples:
  grid authority create consortium.key
  grid authority certify --key consortium.key --subject "North Clinic" --participant 77aa… --out north.certificate
"""
)
def authority() -> None:
    pass


@authority.command(
    help="Make a key in FILE, which only you can read, and say the key to pin. A key that is there stays."
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@format_option
def create(file: Path, form: str) -> None:
    from syft_ext.identity import Identity

    print_record({"key": Identity.load_or_create(file).verify_key, "file": str(file)}, form)


@authority.command(
    help="""Certify that PARTICIPANT is the key of SUBJECT.

Participations are counted by subject, whatever keys it has: give one institution one name, always.
"""
)
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The authority's key.",
)
@click.option("--subject", required=True, help="The institution or person.")
@click.option("--participant", required=True, help="Their verify key, 64 hex digits (`grid me`).")
@click.option("--days", default=365.0, show_default=True, type=click.FloatRange(min=0.01), help="How long.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where to write it."
)
@format_option
def certify(key: Path, subject: str, participant: str, days: float, out: Path, form: str) -> None:
    from apps.cli.confidential import read_key
    from syft_ext.confidential.canonical import Signed, key_of
    from syft_ext.confidential.certificates import ParticipantCertificate, person_of

    issuer, now = read_key(key), int(time.time())
    certificate = ParticipantCertificate(
        authority=key_of(issuer),
        subject=subject,
        participant=key_of(participant),
        not_before=now - 300,  # clocks are not quite the same
        not_after=now + int(days * 86_400),
    )
    signed = Signed.make(certificate, issuer)
    out.write_bytes(signed.encode())
    print_record(
        {
            "certificate": certificate.digest().hex(),
            "subject": subject,
            "person": person_of(certificate).hex(),
            "file": str(out),
        },
        form,
    )
