"""Confidential policies and certificates as files and lines, for the commands that show and make them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from syft_ext.confidential.canonical import Signed
    from syft_ext.confidential.policy import ConfidentialPolicy
    from syft_ext.identity import Identity

__all__ = ["differences", "document_of", "policy_at", "read_document", "read_key", "warnings_of"]


def read_key(file: Path) -> Identity:
    """The key in a file that `grid authority create` made."""
    from syft_ext.identity import Identity

    if not file.is_file():
        raise click.ClickException(f"{file}: there is no key; `grid authority create {file}` makes one")
    try:
        return Identity.load_or_create(file)
    except ValueError as error:
        raise click.ClickException(f"{file}: this is no key") from error


def read_document(file: Path) -> dict[str, Any]:
    """A policy as its author writes it, in TOML."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise click.ClickException(f"{file}: {error}") from error


def policy_at(place: str, url: str) -> tuple[Signed[ConfidentialPolicy] | None, ConfidentialPolicy]:
    """The policy in a file (TOML, or signed and encoded), or with a digest (64 digits), as the Domain has it; the
    first item is None for what nobody has signed. Whatever says it, its digest is computed here."""
    from apps.cli.client import open_client
    from syft_ext.confidential.canonical import Signed
    from syft_ext.confidential.documents import policy_from_document
    from syft_ext.confidential.policy import ConfidentialPolicy

    file = Path(place)
    if file.suffix == ".toml":
        values = read_document(file)
        owner = str(values.pop("owner", "00" * 32))
        values.pop("production", None)  # follows from the terms for evidence
        return None, policy_from_document(values, bytes.fromhex(owner))
    if file.is_file():
        data = file.read_bytes()
    else:
        with open_client(url, "domain") as client:
            data = client.confidential.policy(place).policy  # type: ignore[attr-defined]
    signed: Signed[ConfidentialPolicy] = Signed.decode(data)
    policy = signed.open(ConfidentialPolicy, ConfidentialPolicy.decode(signed.body).owner)
    if not file.is_file() and policy.digest().hex() != place:
        raise click.ClickException("the Domain answers with another policy than the one of this digest")
    return signed, policy


def document_of(policy: ConfidentialPolicy) -> dict[str, Any]:
    """The policy for people, with its digest, and what a round costs."""
    from syft_ext.confidential.documents import policy_to_document
    from syft_ext.confidential.policy import NANO

    rho = policy.mechanism.rho / NANO
    return {"digest": policy.digest().hex(), **policy_to_document(policy), "rho_of_a_round": rho}


def warnings_of(policy: ConfidentialPolicy) -> Iterator[str]:
    """What a reader must not miss."""
    if not policy.production:
        yield "INSECURE: it takes simulated evidence. Whoever runs the Domain can see every update."
    if not policy.mechanism.noise_multiplier:
        yield "NO NOISE: what is released is the exact sum of clipped updates; nothing is differentially private."
    if policy.cohort.least < 4:
        yield f"SMALL COHORT: a release may be of {policy.cohort.least} participants."


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """A line for each value that is another one."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from differences(before.get(name), after.get(name), f"{where}.{name}" if where else name)
    elif before != after:
        yield f"{where}: {before!r} → {after!r}"
