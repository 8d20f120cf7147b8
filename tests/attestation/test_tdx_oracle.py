"""Quotes of TDX, also as another verifier sees them: dcap-qvl, which is written by others in another language."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.attestation.appraise import objections, verify
from syft_ext.attestation.evidence import Evidence, Reason
from syft_ext.attestation.tdx.policy import STATUSES
from syft_ext.errors import EvidenceRefused
from tests.attestation.makers.intel import AT, Intel, Quote, level, module_level, trusting
from tests.attestation.recorded import companion, entries, evidence, expected, moment

oracle: Any = pytest.importorskip("dcap_qvl", reason="dcap-qvl is an oracle of the test extra")

NAMES = [name for name in entries("tdx") if "/" not in name or expected(name)["collateral"]]


def theirs(quote: bytes, collateral: dict[str, Any], at: datetime, root: bytes | None = None) -> str | None:
    """The status that the other verifier finds; ``None``: it refuses."""
    whole = oracle.QuoteCollateralV3.from_json(json.dumps(collateral))
    seconds = int(at.timestamp())
    try:
        if root is None:
            found = oracle.verify(quote, whole, seconds)
        else:
            found = oracle.verify_with_root_ca(quote, whole, root, seconds)
    except ValueError:
        return None
    return str(found.status)


def ours(quote: Evidence, at: datetime) -> str | None:
    """The status that we find; ``None``: we refuse, for more than the status."""
    try:
        verified = verify(quote, at)
    except EvidenceRefused:
        return None
    found = {one.reason for one in objections(verified, None, at)}
    if found - {Reason.TCB_STATUS}:
        return None
    status: str | None = verified.claims["tcb_status"]
    return status


@pytest.mark.parametrize("name", NAMES)
def test_recorded_quotes(name: str) -> None:
    said = expected(name)
    quote, collateral = evidence("tdx", name, said["collateral"]), companion(said["collateral"])
    start, end = moment(said["valid_from"][:-1]), moment(said["valid_to"][:-1])
    # Before the window theirs is more lenient: it does not look at when lists begin.
    for at in (start + timedelta(seconds=2), end - timedelta(seconds=2), end + timedelta(seconds=2)):
        assert ours(quote, at) == theirs(quote.content, json.loads(collateral.content), at), at


_svns = st.integers(0, 4)


def _listed(levels: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """As Intel lists them, the highest first: of others it is not said which one counts."""
    return sorted(levels, key=lambda level: -level[1])


_levels = st.lists(st.tuples(st.sampled_from(STATUSES), _svns), min_size=1, max_size=4).map(_listed)
# Of modules and enclaves Intel states no other; theirs refuses some of the rest, and passes over others.
_of_parts = st.lists(
    st.tuples(st.sampled_from(["UpToDate", "OutOfDate", "Revoked"]), _svns), min_size=1, max_size=3
).map(_listed)


@settings(max_examples=40, deadline=None)
@given(_levels, _of_parts, _of_parts, _svns, st.tuples(_svns, st.integers(0, 1), _svns), _svns)
def test_levels_of_our_own_making(
    levels: list[tuple[str, int]],
    modules: list[tuple[str, int]],
    enclaves: list[tuple[str, int]],
    svn: int,
    td: tuple[int, int, int],
    qe_svn: int,
) -> None:
    house = Intel(
        svn=svn,
        levels=tuple(level(status, least) for status, least in levels),
        modules=tuple(module_level(status, least) for status, least in modules),
        enclaves=tuple(module_level(status, least) for status, least in enclaves),
    )
    quote = Quote(house=house, svn=bytes([td[0], td[1], *[td[2]] * 14]), qe_svn=qe_svn).signed()
    collateral = house.collateral()
    chain = collateral["tcb_info_issuer_chain"]
    platforms = house.authority_certificate.public_bytes(Encoding.PEM).decode()
    collateral |= {
        "qe_identity_issuer_chain": chain,
        "pck_crl_issuer_chain": platforms + chain[chain.rindex("-----BEGIN") :],
    }
    with pytest.MonkeyPatch.context() as patch:
        trusting(patch, house)
        found = ours(house.evidence(quote), AT)
    root = house.root_certificate.public_bytes(Encoding.DER)
    assert found == theirs(quote, collateral, AT, root)
