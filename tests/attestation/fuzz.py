"""Millions of changes to evidence: none is taken for something else, and nothing comes out but refusals.

    python -m tests.attestation.fuzz --mutations 1000000 --seed 1 [--json]

Recorded evidence, where it is, and evidence of our own making is changed, or what lies beside it is, and verified
at a time at which it was good. Then it is refused; or what was changed means nothing, so that all that it states
is as it was: bytes behind a quote, the tag before a document, text between certificates. Else it is a finding.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from random import Random
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from syft_ext.attestation import certificates
from syft_ext.attestation.appraise import kinds, objections, recognise, verify
from syft_ext.attestation.evidence import Companion, Evidence, Verified
from syft_ext.errors import EvidenceRefused
from syft_ext.identity import Identity
from tests.attestation.made import (
    AT,
    Chain,
    azure_claims,
    made_nitro,
    made_simulated,
    made_token,
    our_roots,
    space_claims,
)
from tests.attestation.mutations import mutated
from tests.attestation.recorded import EVIDENCE, evidence, moment

__all__ = ["Outcome", "Piece", "fuzz", "pieces", "remembered"]

_UNSIGNED = frozenset({"valid_from", "valid_to", "trailing_bytes", "revocation_checked"})
"""Claims that follow from what lies beside evidence, or behind it, too: a policy says what must be there."""

_LISTS = ("milan", "genoa", "turin")


class Piece(msgspec.Struct, frozen=True):
    """Evidence whose signature holds at a time, and what it then states."""

    name: str
    evidence: Evidence
    at: datetime
    verified: Verified


class Outcome(msgspec.Struct):
    """What came of the mutations.

    Attributes:
        refused: by reason.
        objected: its signature held, and something speaks against it whatever a policy says, by reason.
        same: accepted, by kind: what was changed means nothing.
        findings: what must not be, for people.
        slowest: seconds of the longest verification.
    """

    mutations: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)
    objected: Counter[str] = msgspec.field(default_factory=Counter)
    same: Counter[str] = msgspec.field(default_factory=Counter)
    findings: list[str] = msgspec.field(default_factory=list)
    slowest: float = 0.0


@contextmanager
def pieces() -> Iterator[list[Piece]]:
    """The evidence that is changed; within it, our own roots are pinned besides the makers'."""
    elliptic, ordinary = Chain(), Chain(elliptic=False)
    with our_roots(elliptic, ordinary):
        made = [
            ("made nitro", made_nitro(elliptic)),
            ("made pki", made_token("confidential-space-pki", space_claims(), chain=ordinary)),
            ("made oidc", made_token("confidential-space-oidc", space_claims())),
            ("made maa", made_token("azure-maa", azure_claims())),
            ("made simulator", made_simulated(Identity.generate())),
        ]
        found = [Piece(name, one, AT, verify(one, AT)) for name, one in made]
        yield found + list(_recorded())


def _recorded() -> Iterator[Piece]:
    if not EVIDENCE.is_dir():
        return
    for product in _LISTS:  # with a revocation list, in its time
        name = f"snp/ms-{product}-report.bin"
        beside = [f"snp/ms-{product}-vcek.pem", *(f"snp/amd-{product}-{one}.der" for one in ("ask", "ark"))]
        piece = evidence("sev-snp", name, *beside, f"snp/amd-{product}.crl.der")
        yield Piece(f"{name} and list", piece, AT, verify(piece, AT))
    for name, said in json.loads((EVIDENCE / "expected.json").read_text()).items():
        if said["kind"] not in kinds() or "refuse" in said:
            continue
        beside = said.get("files") or ([said["collateral"]] if said.get("collateral") else [])
        start = moment((said.get("valid_from") or said["pck_valid"][0]).rstrip("Z"))
        at = start + timedelta(seconds=30)
        piece = evidence(said["kind"], name, *beside)
        try:
            yield Piece(name, piece, at, verify(piece, at))
        except EvidenceRefused:
            continue  # whose signature nobody can check here


def fuzz(found: Sequence[Piece], mutations: int, chance: Random) -> Outcome:
    """That many changes, each to a piece of ``found``."""
    outcome = Outcome(mutations)
    contents = [piece.evidence.content for piece in found]
    beside = [one.content for piece in found for one in piece.evidence.beside]
    for _ in range(mutations):
        piece = chance.choice(found)
        changed, content_changed = _changed(chance, piece.evidence, contents, beside)
        started = time.perf_counter()
        try:
            if content_changed and any(
                changed.content.startswith(one) for one in contents if one != piece.evidence.content
            ):
                outcome.same["another whole piece, spliced in"] += 1
                continue
            _judge(outcome, piece, changed, content_changed)
        except Exception as error:
            outcome.findings.append(f"{piece.name}: {error!r} {_shown(piece, changed)}")
        outcome.slowest = max(outcome.slowest, time.perf_counter() - started)
        if len(outcome.findings) >= 20:
            break
    return outcome


def _changed(
    chance: Random, original: Evidence, contents: Sequence[bytes], beside: Sequence[bytes]
) -> tuple[Evidence, bool]:
    """It, with its content changed, or (one time in four) one thing beside it changed or gone."""
    if not original.beside or chance.random() < 0.75:
        content = mutated(chance, original.content, contents)
        return msgspec.structs.replace(original, content=content), True
    place = chance.randrange(len(original.beside))
    one = original.beside[place]
    other = [] if chance.random() < 0.02 else [Companion(one.name, mutated(chance, one.content, beside))]
    changed = (*original.beside[:place], *other, *original.beside[place + 1 :])
    return msgspec.structs.replace(original, beside=changed), False


def _judge(outcome: Outcome, piece: Piece, changed: Evidence, content_changed: bool) -> None:
    if changed == piece.evidence:
        outcome.same["unchanged"] += 1
        return
    if content_changed:
        with suppress(EvidenceRefused):
            recognise(changed.content)
    try:
        verified = verify(changed, piece.at)
        against = next(iter(objections(verified, None, piece.at)), None)
    except EvidenceRefused as error:
        outcome.refused[str(error.extra["reason"])] += 1
        return
    differs = _stated(verified) != _stated(piece.verified)
    if differs and (content_changed or against is None):
        outcome.findings.append(f"{piece.name}: taken for something else {_shown(piece, changed)}")
    elif against is not None:
        outcome.objected[str(against.reason)] += 1
    else:
        outcome.same[piece.evidence.kind if content_changed else f"beside {piece.evidence.kind}"] += 1


def _stated(verified: Verified) -> tuple[Any, ...]:
    claims = {name: value for name, value in verified.claims.items() if name not in _UNSIGNED}
    return verified.kind, verified.workload, verified.platform, verified.debug, verified.binding, claims


def _shown(piece: Piece, changed: Evidence) -> str:
    """Which part differs, where first, and what stands there now."""
    olds = [piece.evidence.content, *(one.content for one in piece.evidence.beside)]
    news = [changed.content, *(one.content for one in changed.beside)]
    for number, (old, new) in enumerate(zip(olds, news, strict=False)):
        if old != new:
            places = (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other)
            place = next(places, min(len(old), len(new)))
            around = new[max(0, place - 8) : place + 24].hex()
            return f"[part {number} at {place} of {len(old)}, now {len(new)}: {around}]"
    return "[something is gone]"


@contextmanager
def remembered() -> Iterator[None]:
    """Who issued whom is asked once for each pair of certificates: chains change seldom, and are slow to check."""
    known: dict[tuple[bytes, bytes], bool] = {}
    real = certificates.was_issued

    def was_issued(certificate: Any, issuer: Any) -> bool:
        pair = (
            certificate.public_bytes(Encoding.DER),
            issuer.public_bytes(Encoding.DER),
        )
        if pair not in known:
            if len(known) > 10_000:
                known.clear()
            known[pair] = real(certificate, issuer)
        return known[pair]

    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("syft_ext.attestation.") and getattr(module, "was_issued", None) is real:
                patch.setattr(module, "was_issued", was_issued)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the outcome as one line")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    started = time.perf_counter()
    with pieces() as found, remembered():
        outcome = fuzz(found, asked.mutations, Random(asked.seed))
    took = time.perf_counter() - started
    if asked.json:
        print(json.dumps(msgspec.to_builtins(outcome) | {"seconds": round(took, 1), "pieces": len(found)}))
    else:
        print(
            f"{asked.mutations:,} changes to {len(found)} pieces in {took:.0f} s, slowest {outcome.slowest:.3f} s"
        )
        for what in ("refused", "objected", "same"):
            print(f"  {what}: {dict(getattr(outcome, what).most_common())}")
        for finding in outcome.findings:
            print(f"  FINDING {finding}")
    return bool(outcome.findings)


if __name__ == "__main__":
    sys.exit(main())
