"""Evidence of our own making, under roots and keys of our own: documents of Nitro, tokens, simulated evidence.

Everything can be wrong on purpose, one thing at a time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from syft_ext.attestation import appraise, cbor
from syft_ext.attestation.binding import Binding
from syft_ext.attestation.certificates import fingerprint
from syft_ext.attestation.confidential_space.appraisal import pki_kind
from syft_ext.attestation.cose import signed_bytes
from syft_ext.attestation.evidence import Companion, Evidence
from syft_ext.attestation.jws import key_set
from syft_ext.attestation.nitro.appraisal import nitro_kind
from syft_ext.attestation.simulator.evidence import make_simulated
from syft_ext.attestation.texts import base64url_encoded
from syft_ext.identity import Identity

__all__ = [
    "AT",
    "BINDING",
    "Chain",
    "azure_claims",
    "key_set_of",
    "made_nitro",
    "made_simulated",
    "made_token",
    "our_roots",
    "rsa_key",
    "space_claims",
    "thumbprint_of",
]

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
"""When all of it is good."""

BINDING = Binding(
    session_key=b"k" * 32,
    policy=b"p" * 32,
    runtime=b"r" * 32,
    domain="domain",
    process="process",
    challenge=b"c" * 32,
)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """A key of this name, made once: making one takes a while."""
    return rsa.generate_private_key(65537, 2048)


class Chain:
    """A root, an authority below it, and a leaf; ``elliptic`` as AWS', else as Google's.

    Args:
        until: how the leaf's life ends, before or after :data:`AT`.
        authority: whether the certificate in the middle says that it may issue.
        issuer: whose key signs the leaf, if not the authority's.
    """

    def __init__(
        self,
        elliptic: bool = True,
        *,
        until: datetime = AT + timedelta(hours=2),
        authority: bool = True,
        leaf_authority: bool = False,
        path_length: int | None = 0,
        critical: bool = False,
        issuer: Key | None = None,
    ) -> None:
        new: Any = (lambda _: ec.generate_private_key(ec.SECP384R1())) if elliptic else rsa_key
        root, middle, self.key = new("root"), new("middle"), new("leaf")
        self._digest = hashes.SHA384() if elliptic else hashes.SHA256()
        start, end = AT - timedelta(hours=1), AT + timedelta(days=1)
        self.root = self._issue("root", root, "root", root, start, end, ca=True, length=None)
        self.middle = self._issue(
            "middle",
            middle,
            "root",
            root,
            start,
            end,
            ca=authority,
            length=path_length if authority else None,
        )
        self.leaf = self._issue(
            "leaf", self.key, "middle", issuer or middle, start, until, ca=leaf_authority, critical=critical
        )

    def _issue(
        self,
        subject: str,
        key: Key,
        issuer: str,
        signer: Key,
        start: datetime,
        end: datetime,
        *,
        ca: bool,
        length: int | None = None,
        critical: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca, length), critical=True)
            .add_extension(_usage(ca), critical=True)
        )
        if critical:
            unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
            builder = builder.add_extension(unknown, critical=True)
        return builder.sign(signer, self._digest)

    @property
    def certificates(self) -> list[bytes]:
        """In DER, root first."""
        return [one.public_bytes(Encoding.DER) for one in (self.root, self.middle, self.leaf)]


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


@contextmanager
def our_roots(*chains: Chain) -> Iterator[None]:
    """Within it, the roots of these chains are pinned for Nitro and Confidential Space, and no others."""
    roots = {fingerprint(chain.root) for chain in chains}
    with pytest.MonkeyPatch.context() as patch:
        for kind in (nitro_kind(roots), pki_kind(roots)):
            patch.setitem(appraise._KINDS, kind.name, kind)
        yield


def made_nitro(
    chain: Chain,
    *,
    headers: dict[int | str, cbor.Value] | None = None,
    unprotected: dict[int | str, cbor.Value] | None = None,
    tagged: bool = False,
    **fields: cbor.Value,
) -> Evidence:
    """A document of :data:`BINDING`'s session, with other ``fields``; ``...`` leaves one out."""
    root, middle, leaf = chain.certificates
    payload: dict[str, Any] = {
        "module_id": "i-1-enc1",
        "digest": "SHA384",
        "timestamp": int(AT.timestamp() * 1000),
        "pcrs": {index: bytes([index + 1]) * 48 if index < 5 else bytes(48) for index in range(16)},
        "certificate": leaf,
        "cabundle": [root, middle],
        "public_key": BINDING.session_key,
        "user_data": BINDING.digest,
        "nonce": BINDING.challenge,
        **fields,
    }
    encoded = cbor.encode({name: value for name, value in payload.items() if value is not ...})
    protected = cbor.encode({1: -35} if headers is None else headers)
    assert isinstance(chain.key, ec.EllipticCurvePrivateKey)
    r, s = utils.decode_dss_signature(
        chain.key.sign(signed_bytes(protected, encoded), ec.ECDSA(hashes.SHA384()))
    )
    signature = r.to_bytes(48, "big") + s.to_bytes(48, "big")
    content = cbor.encode([protected, unprotected or {}, encoded, signature])
    return Evidence("nitro", (b"\xd2" if tagged else b"") + content)


def space_claims() -> dict[str, Any]:
    """Claims of a production image on TDX, of :data:`BINDING`'s session."""
    now = int(AT.timestamp())
    return {
        "aud": "grid:domain",
        "iss": "https://confidentialcomputing.googleapis.com",
        "iat": now,
        "nbf": now,
        "exp": now + 3600,
        "eat_nonce": base64url_encoded(BINDING.digest).decode(),
        "secboot": True,
        "oemid": 11129,
        "hwmodel": "GCP_INTEL_TDX",
        "swname": "CONFIDENTIAL_SPACE",
        "swversion": ["250800"],
        "dbgstat": "disabled-since-boot",
        "submods": {
            "confidential_space": {
                "support_attributes": ["LATEST", "STABLE", "USABLE"],
                "monitoring_enabled": {"memory": False},
            },
            "container": {
                "image_reference": "registry/worker",
                "image_digest": "sha256:" + "ab" * 32,
                "restart_policy": "Never",
                "env": {"HOSTNAME": "host-1", "MODE": "measured"},
                "env_override": {"MODE": "measured"},
                "args": ["serve"],
            },
            "gce": {"project_id": "project"},
        },
        "tdx": {"gcp_attester_tcb_status": "UpToDate", "gcp_attester_tcb_date": "2026-03-13T00:00:00Z"},
        "google_service_accounts": ["worker@project"],
    }


def azure_claims() -> dict[str, Any]:
    """Claims of a TDX guest of Azure, of :data:`BINDING`'s session."""
    now = int(AT.timestamp())
    return {
        "iss": "https://tenant.weu.attest.azure.net",
        "iat": now,
        "nbf": now,
        "exp": now + 8 * 3600,
        "x-ms-attestation-type": "tdxvm",
        "x-ms-compliance-status": "azure-compliant-cvm",
        "x-ms-policy-hash": "hash",
        "attester_tcb_status": "UpToDate",
        "dbgstat": "disabled",
        "tdx_mrtd": "ab" * 48,
        "tdx_report_data": "00" * 64,
        "tdx_td_attributes_debug": False,
        "tdx_td_attributes_migratable": False,
        "x-ms-runtime": {"user-data": BINDING.digest.hex(), "vm-configuration": {"secure-boot": True}},
    }


def made_token(
    kind: str,
    claims: dict[str, Any],
    *,
    chain: Chain | None = None,
    key: rsa.RSAPrivateKey | None = None,
    key_set: Companion | None = None,
    **header: Any,
) -> Evidence:
    """A token under ``chain``, or by ``key`` with its set (or another) beside it; ``header`` has other fields."""
    if chain is not None:
        named: dict[str, Any] = {
            "x5c": [base64.b64encode(one).decode() for one in reversed(chain.certificates)]
        }
        assert isinstance(chain.key, rsa.RSAPrivateKey)
        signer = chain.key
        beside: tuple[Companion, ...] = ()
    else:
        signer, named = key or rsa_key("issuer"), {"kid": "issuer"}
        beside = (key_set or key_set_of(rsa_key("issuer")),)
    parts = ({"alg": "RS256", "typ": "JWT"} | named | header, claims)
    data = b".".join(base64url_encoded(json.dumps(part).encode()) for part in parts)
    signature = base64url_encoded(signer.sign(data, padding.PKCS1v15(), hashes.SHA256()))
    return Evidence(kind, data + b"." + signature, beside)


def key_set_of(key: rsa.RSAPrivateKey, kid: str = "issuer", **fields: Any) -> Companion:
    """A JWK set with one key."""
    numbers = key.public_key().public_numbers()
    entry = {
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": kid,
        "n": base64url_encoded(numbers.n.to_bytes(key.key_size // 8, "big")).decode(),
        "e": "AQAB",
    }
    return Companion("keys", json.dumps({"keys": [entry | fields]}).encode())


def thumbprint_of(key: rsa.RSAPrivateKey) -> bytes:
    """What a policy pins it by."""
    return key_set(key_set_of(key).content)["issuer"].thumbprint


def made_simulated(identity: Identity, **fields: Any) -> Evidence:
    """Simulated evidence of :data:`BINDING`'s session."""
    values: dict[str, Any] = {"workload": b"w" * 32, "binding": BINDING.digest, "at": AT, "host": "here"}
    return make_simulated(bytes.fromhex(identity.verify_key), identity.sign, **values | fields)
