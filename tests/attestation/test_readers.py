"""CBOR, COSE, JSON and JWS are read strictly: one spelling, one meaning, and nothing but refusals otherwise."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.attestation import cbor
from syft_ext.attestation.cose import ES256, ES384, read_sign1
from syft_ext.attestation.jws import key_set, read_jws
from syft_ext.attestation.texts import base64url, json_object, moment
from syft_ext.errors import EvidenceRefused
from tests.shared_material import shared

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-(2**64), 2**64 - 1) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_cbor_gives_back_what_was_written(value: Any) -> None:
    try:
        assert cbor.decode(cbor.encode(value)) == value
    except EvidenceRefused as error:
        assert "deep" in str(error)


@given(st.binary(max_size=60) | VALUES.map(cbor.encode))
def test_cbor_has_one_encoding(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except EvidenceRefused:
        return
    assert cbor.encode(value) == data


@pytest.mark.parametrize(
    "document",
    [
        "",  # nothing
        "1800",  # 0 in two bytes
        "190001",
        "1a00000001",
        "1b0000000000000001",
        "5800",
        "9800",
        "1c",  # reserved
        "5f40ff",  # indefinite lengths
        "7f60ff",
        "9fff",
        "bfff",
        "f90000",  # floats
        "fb0000000000000000",
        "f7",  # undefined
        "f820",  # another simple value
        "c100",  # a tag
        "d28440a04040",  # COSE's own tag is not CBOR's to take off
        "a2000000 00".replace(" ", ""),  # a name twice
        "a2616100616100",
        "a1f500",  # other types of names
        "a14000",
        "61ff",  # text that is not UTF-8
        "63eda080",
        "0000",  # two items
        "9bffffffffffffffff",  # a length that nothing can hold
        "bbffffffffffffffff",
        "5bffffffffffffffff",
        "81" * 17 + "00",  # deep
        "81" * 5000,
    ],
)
def test_cbor_that_is_not_taken(document: str) -> None:
    with pytest.raises(EvidenceRefused):
        cbor.decode(bytes.fromhex(document))


def test_numbers_of_more_than_64_bits_are_not_written() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        cbor.encode(2**64)


SIGN1 = (
    "ecdsa-examples-ecdsa-sig-01",
    "ecdsa-examples-ecdsa-sig-02",
    "CWT-A_3",
    "sign1-tests-sign-pass-02",
    "sign1-tests-sign-pass-03",
)
FAILING = ("01", "02", "03", "04", "06", "07")


def _vector(name: str) -> tuple[dict[str, Any], bytes, ec.EllipticCurvePublicKey]:
    path: Path = shared("confidential", "vectors", f"cose-{name}.json")
    said = json.loads(path.read_text())
    key = said["input"]["sign0"]["key"]
    curve = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[key["crv"]]
    x, y = (
        int(key[f"{axis}_hex"], 16) if f"{axis}_hex" in key else int.from_bytes(base64url(key[axis]), "big")
        for axis in "xy"
    )
    public = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    return said["input"], bytes.fromhex(said["output"]["cbor"]), public


@pytest.mark.parametrize("name", SIGN1)
def test_published_signatures_of_cose_verify(name: str) -> None:
    said, document, key = _vector(name)
    signed = read_sign1(document)
    external = bytes.fromhex(said["sign0"].get("external", ""))
    algorithm = {"ES256": ES256, "ES384": ES384}[said["sign0"]["alg"]]
    signed.verify(key, algorithm, external)
    assert (
        signed.payload == said.get("plaintext", "").encode() or signed.payload.hex() == said["plaintext_hex"]
    )
    for other in ({ES256, ES384} - {algorithm}).pop(), -257:
        with pytest.raises(EvidenceRefused):
            signed.verify(key, other, external)
    with pytest.raises(EvidenceRefused):
        signed.verify(key, algorithm, external + b"x")


@pytest.mark.parametrize("number", FAILING)
def test_published_bad_signatures_of_cose_do_not(number: str) -> None:
    _, document, key = _vector(f"sign1-tests-sign-fail-{number}")
    with pytest.raises(EvidenceRefused):
        read_sign1(document).verify(key, ES256)


def test_an_algorithm_that_nobody_signed_is_not_followed() -> None:
    """Good for others: the protected header is empty, the algorithm stands in the unprotected one."""
    _, document, key = _vector("sign1-tests-sign-pass-01")
    with pytest.raises(EvidenceRefused):
        read_sign1(document).verify(key, ES256)


@pytest.mark.parametrize(
    "document",
    [
        "80",
        "8340a040",
        "8440a0f640",
        "8440804040",
        "8443a10126a101264040",
        "844180a04040",
        "8400a04040",
        "a0",
    ],
)
def test_what_is_no_sign1(document: str) -> None:
    with pytest.raises(EvidenceRefused):
        read_sign1(bytes.fromhex(document))


def test_published_tokens() -> None:
    said = json.loads(shared("confidential", "vectors", "eat-jws-rfc-examples.json").read_text())
    eddsa = said["rfc8037_appendixA4_Ed25519"]
    token = read_jws(eddsa["compactJws"].encode())
    token.verify_eddsa(base64url(eddsa["jwk"]["x"]))
    assert token.payload == b"Example of Ed25519 signing"
    with pytest.raises(EvidenceRefused):
        token.verify_eddsa(b"\1" * 32)
    for name in (
        "rfc7515_appendixA3_ES256",
        "rfc7519_section6_1_unsecuredJwt",
        "rfc9711_appendixA23_hs256Jwt",
    ):
        other = read_jws(said[name]["compactJws"].encode())
        with pytest.raises(EvidenceRefused):
            other.verify_eddsa(base64url(eddsa["jwk"]["x"]))


@given(st.binary(max_size=50))
def test_base64url_has_one_spelling(data: bytes) -> None:
    text = base64.urlsafe_b64encode(data).rstrip(b"=")
    assert base64url(text) == data
    for other in (text + b"=", text + b"\n", b" " + text, text + b"!"):
        with pytest.raises(EvidenceRefused):
            base64url(other)


@pytest.mark.parametrize("text", ["A", "AB", "AAB", "A+", "A/", "é", "\ud800", "AA\0A"])
def test_base64url_that_is_not_taken(text: str) -> None:
    with pytest.raises(EvidenceRefused):
        base64url(text)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"1",
        b"{} {}",
        b'{"a": 1, "a": 1}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": 1.0}',
        b'{"a": 1e3}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1' + b"0" * 18 + b"}",
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a": ' + b"[" * 16 + b"]" * 16 + b"}",
        b'{"a": ' * 60_000,
        b"[" * 60_000,
        b'{"a": "\n"}',
    ],
    ids=lambda document: document[:20],
)
def test_json_that_is_not_taken(document: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        json_object(document)


def test_brackets_in_text_are_text() -> None:
    assert json_object(b'{"a": "' + b"[" * 1000 + b'\\"{"}') == {"a": "[" * 1000 + '"{'}


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_readers_refuse_and_nothing_else(data: bytes) -> None:
    for reader in (cbor.decode, read_sign1, json_object, base64url, read_jws, key_set):
        with contextlib.suppress(EvidenceRefused):
            reader(data)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"keys": {}},
        {"keys": [1]},
        {"keys": [{}]},
        {"keys": [{"kid": "a"}, {"kid": "a"}]},
        {"keys": [{"kid": str(number)} for number in range(65)]},
        {"keys": [{"kid": "a", "kty": "RSA"}]},
        {"keys": [{"kid": "a", "kty": "RSA", "e": "AQAB", "n": "A" * 3000}]},
    ],
)
def test_what_is_no_key_set(keys: dict[str, Any]) -> None:
    with pytest.raises(EvidenceRefused):
        key_set(json.dumps(keys).encode())


@pytest.mark.parametrize("seconds", [-1, 2**40])
def test_times_outside_the_calendar_are_refused(seconds: int) -> None:
    with pytest.raises(EvidenceRefused):
        moment(seconds)
