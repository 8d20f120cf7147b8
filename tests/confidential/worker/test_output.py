"""What comes out: one sealed output of one manifest, the same numbers on every attempt."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3

from grid.confidential_worker import uploads
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.manifest import Declaration, ManifestEntry
from syft_ext.confidential.sealing import Sealing, head_of, read_head
from syft_ext.confidential.uploads import SealedShares, UploadStatement
from tests.confidential.worker.site import Outcome, Site, SiteOperator, update_of
from tests.confidential.world import changed


def site_of(*updates: bytes, **fields: Any) -> Site:
    return Site(updates or [update_of(n, scale=10.0**-n) for n in range(4)], **fields)


def ran(site: Site) -> tuple[SiteOperator, Outcome]:
    operator = SiteOperator(site)
    return operator, operator.run()


def test_the_output_is_the_sum_of_the_clipped_updates() -> None:
    site = site_of(noise=0)
    operator, outcome = ran(site)
    opened = operator.opened(outcome)
    assert (opened.numbers == site.expected()).all() and opened.numbers.any()
    assert opened.receipt.participants == 4 and opened.receipt.bad_seals == 0 and opened.receipt.simulated


def test_with_noise_all_attempts_have_the_same_numbers_and_different_seals() -> None:
    site = site_of()
    operator, outcome = ran(site)
    numbers = operator.opened(outcome).numbers
    again, other = ran(site)
    assert (again.opened(other).numbers == numbers).all()
    assert other.output != outcome.output and len(other.output) == len(outcome.output)
    noise = (numbers - site.expected()).astype(np.float64)
    sigma = float(site.policy.mechanism.sigma)
    assert 0.85 * sigma < noise.std() < 1.15 * sigma and abs(noise.mean()) < 5 * sigma / math.sqrt(site.size)


def test_other_machines_and_sizes_of_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads of several chunks, kept or read again."""

    class Large(Site):
        size = 600_001

    site = Large([update_of(n, Large.size) for n in range(2)])
    operator, outcome = ran(site)
    numbers = operator.opened(outcome).numbers
    monkeypatch.setattr(uploads, "KEEP", 0)
    again, other = ran(site)
    assert (again.opened(other).numbers == numbers).all()
    assert len(again.reads) == len(operator.reads) + 2 * 2 * 3, (
        "two more sweeps over three chunks of two uploads"
    )


@pytest.mark.parametrize("suite", ["mlkem768-x25519"])
def test_with_the_hybrid_suite(suite: Any) -> None:
    site = site_of(noise=0, suite=suite)
    operator, outcome = ran(site)
    assert (operator.opened(outcome).numbers == site.expected()).all()


@pytest.mark.parametrize(
    "content",
    [
        np.full(Site.size, math.nan, "<f4").tobytes(),
        np.array([0.5] * (Site.size - 1) + [math.inf], "<f4").tobytes(),
        b"short",
        bytes(4 * Site.size + 1),
        bytes(4 * Site.size),
    ],
    ids=["nan", "inf", "short", "long", "zeros"],
)
def test_bad_content_counts_as_zeros_and_the_receipt_does_not_tell(content: bytes) -> None:
    site = site_of(update_of(0), content, update_of(1), noise=0)
    operator, outcome = ran(site)
    opened = operator.opened(outcome)
    assert (opened.numbers == site.expected(1)).all()
    others = {"manifest": b"", "output": b"", "evidence": b"", "sessions": (), "grants": ()}
    told = msgspec.structs.replace(opened.receipt, **others)
    plain = site_of(update_of(0), update_of(7), update_of(1), noise=0)
    usual, good = ran(plain)
    same = msgspec.structs.replace(
        usual.opened(good).receipt, **others, domain=told.domain, policy=told.policy
    )
    assert told == same


def test_an_update_of_a_million_norms_moves_the_sum_by_one() -> None:
    huge = np.full(Site.size, 3e38, "<f4").tobytes()
    operator, outcome = ran(site_of(update_of(0), huge, noise=0))
    site = operator.site
    moved = operator.opened(outcome).numbers - site.expected(1)
    assert sum(int(each) ** 2 for each in moved) <= site.policy.mechanism.clip**2


# -- participants who seal what does not open


def misdeclared(site: Site, i: int, blob: bytes, declaration: Declaration) -> Declaration:
    """The participant's signed word on other bytes."""
    upload = UploadStatement.decode(declaration.entry.upload.body)
    head, shares, _ = read_head(blob)
    said = changed(upload, blob=blake3(blob).digest(), length=len(blob), shares=shares.digest())
    entry = ManifestEntry(Signed.make(said, site.participants[i]), declaration.entry.certificate)
    return Declaration(head, shares, entry)


def resealed(site: Site, i: int, how: str) -> None:
    """Participant ``i`` uploads something that verifies and does not open."""
    blob, declaration = site.sealed(i, update_of(9))
    header, shares, start = read_head(blob)
    if how == "wrong shares":
        sealed = (shares.sealed[1], shares.sealed[0], shares.sealed[2])
        blob = head_of(header, SealedShares(sealed)) + blob[start:]
    elif how == "one rubbish share":
        rubbish = (shares.sealed[0], b"\0" * len(shares.sealed[1]), shares.sealed[2])
        blob = head_of(header, SealedShares(rubbish)) + blob[start:]
    elif how == "two contents":
        other, _ = site.sealed(i, update_of(9))
        mixed = (shares.sealed[0], read_head(other)[1].sealed[1], shares.sealed[2])
        blob = head_of(header, SealedShares(mixed)) + blob[start:]
    elif how == "damaged chunk":
        blob = blob[:-1] + bytes([blob[-1] ^ 1])
    elif how == "cut off":
        blob = blob[:-5]
    site.add(blob, misdeclared(site, i, blob, declaration))


@pytest.mark.parametrize(
    "how", ["wrong shares", "one rubbish share", "two contents", "damaged chunk", "cut off"]
)
def test_what_does_not_open_counts_as_zeros_and_is_counted(how: str) -> None:
    site = site_of(update_of(0), update_of(1), update_of(2), noise=0)
    site.declarations.pop()
    resealed(site, 2, how)
    operator, outcome = ran(site)
    opened = operator.opened(outcome)
    assert (opened.numbers == site.expected(2)).all() and opened.receipt.bad_seals == 1
    assert opened.receipt.participants == 3


@pytest.mark.parametrize("blob", [b"", b"x", b"GRIDSEA1" + b"\xff" * 100, bytes(70_000)])
def test_a_blob_with_another_head_than_was_declared_does_not_open(blob: bytes) -> None:
    """Its Domain should not have taken it; the worker ends no job for it."""
    site = site_of(update_of(0), update_of(1), update_of(2), noise=0)
    declaration = site.declarations.pop()
    upload = UploadStatement.decode(declaration.entry.upload.body)
    said = changed(upload, blob=blake3(blob).digest(), length=len(blob))
    entry = ManifestEntry(Signed.make(said, site.participants[2]), declaration.entry.certificate)
    site.add(blob, Declaration(declaration.header, declaration.shares, entry))
    operator, outcome = ran(site)
    opened = operator.opened(outcome)
    assert (opened.numbers == site.expected(2)).all() and opened.receipt.bad_seals == 1


def test_an_upload_of_another_place_does_not_open_here() -> None:
    """Sealed for another assignment: its participant signs it over to this one."""
    site = site_of(update_of(0), update_of(1), update_of(2), noise=0)
    site.declarations.pop()
    elsewhere = dataclasses.replace(site.place(2), assignment="f" * 32)
    other = Sealing(elsewhere, [update_of(9)], 4 * Site.size, site.participants[2])
    blob = b"".join(other.pieces())
    declared = other.declaration()
    header = changed(declared.header, assignment=f"{2:032x}")
    _, shares, start = read_head(blob)
    moved = head_of(header, shares) + blob[start:]
    upload = changed(
        UploadStatement.decode(declared.entry.upload.body),
        assignment=f"{2:032x}",
        header=header.digest(),
        blob=blake3(moved).digest(),
        length=len(moved),
    )
    entry = ManifestEntry(Signed.make(upload, site.participants[2]), declared.entry.certificate)
    site.add(moved, Declaration(header, shares, entry))
    operator, outcome = ran(site)
    assert operator.opened(outcome).receipt.bad_seals == 1
