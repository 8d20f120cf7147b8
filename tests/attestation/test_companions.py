"""What lies beside evidence: nothing is passed over, and no content costs more than it is long."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.attestation.companions import Companions
from syft_ext.attestation.evidence import MAX_COMPANION_SIZE, Companion, Reason
from syft_ext.errors import EvidenceRefused
from tests.attestation.makers.amd import House
from tests.attestation.makers.intel import Intel


def found(*contents: bytes) -> Companions:
    """What is in these contents."""
    return Companions(Companion(str(index), content) for index, content in enumerate(contents))


def test_the_same_certificate_in_many_forms_is_one() -> None:

    der = House().ark
    text = base64.b64encode(der)
    pem = b"-----BEGIN CERTIFICATE-----\n" + text + b"\n-----END CERTIFICATE-----\n"
    forms = [
        der,
        der + der,
        der.hex().encode(),
        text,
        text.rstrip(b"=") + b"\n",
        text.replace(b"+", b"-").replace(b"/", b"_"),
        pem,
        b"words before\n" + pem + b"\n" + pem,
        msgspec.json.encode({"certificate": pem.decode()}),
        msgspec.json.encode([pem.decode(), {"again": der.hex()}]),
        msgspec.json.encode(msgspec.json.encode({"inside": pem.decode()}).decode()),
        msgspec.json.encode({"bytes": list(der)}),
        pem.replace(b" ", b"%20").replace(b"\n", b"%0A").replace(b"+", b"%2B"),
    ]
    for form in forms:
        one = found(form)
        assert (one.certificates, one.revocations, one.opaque) == ([der], [], []), form[:60]
    together = found(*forms)
    assert together.certificates == [der]


def test_lists_are_told_from_certificates() -> None:
    listed = House().revocations(5)
    assert found(listed).revocations == [listed] and found(listed).certificates == []
    both = found(Intel().collateral()["root_ca_crl"].encode())
    assert len(both.revocations) == 1 and both.certificates == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"words",
        b"\x30",
        b"\x30\x00",
        b"{}",
        b"[]",
        b"{",
        b'{"keys": []}',
        b'"words"',
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        House().ark[:-1],
        House().ark + b"\0",
        bytes(64),
    ],
)
def test_what_is_nothing_known_is_kept_as_that(content: bytes) -> None:
    one = found(content)
    assert not one.certificates and not one.revocations and not one.signed
    known = content.startswith(b"-----BEGIN PUBLIC")
    assert len(one.opaque) == (0 if known else 1)


@pytest.mark.parametrize(
    "content",
    [
        b"-----BEGIN CERTIFICATE-----\nAAAA",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----",
        b'{"a":' * 20 + b'"' + b"x" * 100 + b'"' + b"}" * 20,
        b'{"tcb_info": "{}", "tcb_info_signature": "no"}',
        msgspec.json.encode({"tcb_info": "{}", "tcb_info_signature": 5}),
    ],
)
def test_what_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        found(content)


def test_there_are_bounds_on_how_much_is_taken() -> None:
    document = {"tcb_info": '{"a": 1}', "tcb_info_signature": "00" * 64}
    with pytest.raises(EvidenceRefused) as caught:
        found(*[msgspec.json.encode(document)] * 17)
    assert caught.value.extra["reason"] == Reason.TOO_LARGE


@pytest.mark.parametrize(
    "pattern",
    [
        b"M ",
        b"M" + b" ",
        b"-----BEGIN CERTIFICATE-----",
        b"-----BEGIN X-----\n",
        b"[",
        b'{"a":',
        b"30",
        b"%2",
        b'\\"',
    ],
)
def test_no_content_takes_for_ever(pattern: bytes) -> None:
    # What is quadratic in its length takes hours with so much, and the suite's limit ends it.
    content = (pattern * (MAX_COMPANION_SIZE // len(pattern)))[: MAX_COMPANION_SIZE - 1] + b"!"
    try:
        one = found(content)
    except EvidenceRefused as error:
        assert error.extra["reason"] in set(Reason)
    else:
        assert one.opaque


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.text() | st.binary().map(bytes.hex) | st.integers(-9, 9) | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )
)
def test_any_document_is_taken_or_refused(said: Any) -> None:
    content = msgspec.json.encode(said)
    try:
        one = found(content)
    except EvidenceRefused:
        return
    assert one.opaque or one.certificates or one.revocations or one.signed
