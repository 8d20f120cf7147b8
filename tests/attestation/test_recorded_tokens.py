"""Recorded documents and tokens of Nitro, Confidential Space and Azure's verifier: what they yield."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from syft_ext.attestation.appraise import recognise, verify
from syft_ext.attestation.evidence import Companion, Evidence, Reason
from syft_ext.attestation.texts import base64url, base64url_encoded
from syft_ext.errors import EvidenceRefused
from tests.attestation.recorded import companion, entries, evidence, expected, moment

SECOND = timedelta(seconds=1)
NITRO = ("nitro",)
TOKENS = ("confidential-space-pki", "confidential-space-oidc", "azure-maa")
BAD = "nitro/blocky-selfsigned-REFUSE.cose"


def over(*kinds: str) -> pytest.MarkDecorator:
    """Over the recorded evidence of these kinds that was good when it was made."""
    return pytest.mark.parametrize("path", [name for name in entries(*kinds) if name != BAD])


def recorded(path: str) -> Evidence:
    """It, with what was recorded beside it, recognised by its bytes."""
    said = expected(path)
    found = evidence(said["kind"], path, *said["files"])
    assert recognise(found.content) == found.kind
    return found


def window_of(path: str) -> tuple[datetime, datetime]:
    """The first and the last moment at which it is valid."""
    said = expected(path)
    return moment(said["valid_from"]), moment(said["valid_to"])


@over(*NITRO, *TOKENS)
def test_it_yields_what_was_recorded(path: str) -> None:
    said = expected(path)
    start, end = window_of(path)
    verified = verify(recorded(path), start + SECOND)
    assert verified.not_before == start
    assert verified.not_after == end
    for name, value in said.items():
        if name in {"nonce", "user_data"} and path.startswith("nitro") and value is not None:
            assert verified.claims[name].startswith(value)  # the beginning was noted
        elif name == "public_key" and value is not None:
            key = bytes.fromhex(verified.claims[name])
            assert value == f"{hashlib.sha256(key).hexdigest()[:16]} {len(key)}B"
        elif name not in {"kind", "files", "note", "must_refuse"}:
            assert verified.claims[name] == value, name
    debug = said.get("debug", said.get("dbgstat") == "enabled")
    assert verified.debug is debug
    assert [one.reason for one in verified.objections] == ([Reason.DEBUG] if debug else [])


@over(*NITRO, *TOKENS)
def test_it_is_refused_a_second_before_and_after(path: str) -> None:
    start, end = window_of(path)
    for at, reason in ((start - SECOND, Reason.NOT_YET_VALID), (end + SECOND, Reason.EXPIRED)):
        assert reason in {one.reason for one in verify(recorded(path), at).objections}


@over(*NITRO, *TOKENS)
def test_without_what_is_beside_it_a_token_of_a_key_set_is_refused(path: str) -> None:
    found = msgspec.structs.replace(recorded(path), beside=())
    start, _ = window_of(path)
    if found.kind in ("nitro", "confidential-space-pki"):  # the chain is within, its root is pinned
        verify(found, start)
    else:
        _refused(found, path, Reason.ENDORSEMENT_MISSING)


@over(*NITRO, *TOKENS)
def test_other_roots_and_key_sets_beside_it_are_refused(path: str) -> None:
    found = recorded(path)
    others = {
        "nitro": "confidential-space/confidential_space_root.pem",
        "confidential-space-pki": "nitro/AWS_NitroEnclaves_Root-G1.pem",
        "confidential-space-oidc": "azure-maa/sharedweu-jwks.json",
        "azure-maa": "confidential-space/flare-jwks.json",
    }
    other = companion(others[found.kind])
    _refused(msgspec.structs.replace(found, beside=(other,)), path, Reason.ROOT, Reason.ENDORSEMENT_MISSING)


@over(*TOKENS)
def test_a_token_that_was_changed_is_refused(path: str) -> None:
    """Any claim or header, and the algorithms that would need no key of the issuer."""
    found = recorded(path)
    header, payload, signature = found.content.split(b".")
    claims = json.loads(base64url(payload))
    for name in claims:
        changed = base64url_encoded(json.dumps(claims | {name: "other"}).encode())
        _refused(_with(found, header, changed, signature), path)
    for algorithm in ("none", "HS256", "RS512", "PS256", "EdDSA", ""):
        said = json.loads(base64url(header)) | {"alg": algorithm}
        other = base64url_encoded(json.dumps(said).encode())
        _refused(_with(found, other, payload, signature), path, Reason.UNSUPPORTED)
        _refused(_with(found, other, payload, b""), path, Reason.UNSUPPORTED)


@over(*TOKENS)
def test_a_token_has_one_spelling(path: str) -> None:
    found = recorded(path)
    token = found.content
    last = token[-1:]
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = bytes([alphabet[alphabet.index(last) ^ 1]])  # a bit of the last character that carries nothing
    for spelled in (
        token + b"=",
        token + b"\n",
        b" " + token,
        token + b".",
        token[:-1] + spare,
        token + b"A",
    ):
        _refused(msgspec.structs.replace(found, content=spelled), path, Reason.MALFORMED, Reason.SIGNATURE)


@over(*NITRO, *TOKENS)
def test_no_part_of_it_is_enough(path: str) -> None:
    found = recorded(path)
    for end in range(0, len(found.content), max(1, len(found.content) // 499)):
        _refused(msgspec.structs.replace(found, content=found.content[:end]), path)


@over(*NITRO)
def test_a_document_that_was_changed_is_refused(path: str) -> None:
    found = recorded(path)
    for place in (20, 300, len(found.content) // 2, len(found.content) - 1):
        for bit in range(8):
            changed = bytearray(found.content)
            changed[place] ^= 1 << bit
            _refused(msgspec.structs.replace(found, content=bytes(changed)), path)


def test_the_documented_bad_document_is_refused() -> None:
    expected(BAD)
    with pytest.raises(EvidenceRefused):
        verify(evidence("nitro", BAD), moment("2024-04-17T18:52:00Z"))


def test_a_runtime_document_that_was_changed_is_refused() -> None:
    path = "azure-maa/atlas-tdxvm-token.jwt"
    keys, runtime = recorded(path).beside
    for place in range(0, len(runtime.content), 7):
        changed = bytearray(runtime.content)
        changed[place] ^= 1
        beside = (keys, Companion("runtime", bytes(changed)))
        _refused(
            msgspec.structs.replace(recorded(path), beside=beside), path, Reason.SIGNATURE, Reason.MALFORMED
        )


def _with(found: Evidence, *parts: bytes) -> Evidence:
    return msgspec.structs.replace(found, content=b".".join(parts))


def _refused(found: Evidence, path: str, *reasons: Reason) -> None:
    start, _ = window_of(path)
    with pytest.raises(EvidenceRefused) as caught:
        verify(found, start + SECOND)
    said: Any = caught.value.extra["reason"]
    assert not reasons or said in reasons
