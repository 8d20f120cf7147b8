"""The suites are RFC 9180's, and what is sealed for one purpose opens for no other."""

from __future__ import annotations

import json
import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from syft_ext.confidential.hpke import SUITES, SuiteName, hkdf, open_sealed, public_key, seal, supported
from syft_ext.errors import InvalidStatement, SealBroken
from tests.shared_material import shared


def test_the_default_suite_is_that_of_the_rfc() -> None:
    """Published key pairs: what was sealed by others opens with the library that all of this rests on."""
    vectors = json.loads(shared("confidential", "vectors", "rfc9180-derived-empty-aad.json").read_text())
    opened = 0
    for vector in vectors["vectors"]:
        if vector["aead_id"] != 2:
            continue
        suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
        private = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["skRm"]))
        assert private.public_key().public_bytes_raw().hex() == vector["pkRm"]
        sealed, info = bytes.fromhex(vector["enc_ct"]), bytes.fromhex(vector["info"])
        assert suite.decrypt(sealed, private, info=info).hex() == vector["pt"]
        opened += 1
    assert opened


def test_what_seal_makes_is_of_the_rfcs_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    secret, info = secrets.token_bytes(32), b"for this"
    sealed = seal("x25519", public_key("x25519", secret), info, b"a share")
    private = X25519PrivateKey.from_private_bytes(hkdf(secret, b"", b"grid hpke x25519 v1"))
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    assert suite.decrypt(sealed, private, info=info) == b"a share"
    assert len(sealed) == 32 + len(b"a share") + 16


@pytest.mark.parametrize("suite", [each for each in SUITES if supported(each)])
def test_it_opens_for_its_key_and_purpose_only(suite: SuiteName) -> None:
    secret = secrets.token_bytes(32)
    sealed = seal(suite, public_key(suite, secret), b"info", b"share")
    assert open_sealed(suite, secret, b"info", sealed) == b"share"
    for other in (secrets.token_bytes(32), secret[::-1]):
        with pytest.raises(SealBroken):
            open_sealed(suite, other, b"info", sealed)
    for info in (b"", b"infO", b"info "):
        with pytest.raises(SealBroken):
            open_sealed(suite, secret, info, sealed)
    for damaged in (b"", sealed[:-1], sealed[1:], sealed + b"\0", bytes(len(sealed))):
        with pytest.raises(SealBroken):
            open_sealed(suite, secret, b"info", damaged)
    for name in SUITES:
        if name != suite and supported(name):
            with pytest.raises(SealBroken):
                open_sealed(name, secret, b"info", sealed)


def test_a_point_of_small_order_is_no_key() -> None:
    for public in (bytes(32), b"\1" + bytes(31)):
        with pytest.raises(InvalidStatement):
            seal("x25519", public, b"info", b"share")
