"""A house like Intel's: root, platforms' authority, platforms, statements about them, lists, and quotes."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from syft_ext.attestation.certificates import fingerprint
from syft_ext.attestation.evidence import Companion, Evidence
from syft_ext.attestation.tdx import verify

__all__ = ["AT", "Intel", "Quote", "level", "module_level", "trusting"]

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""When the tests appraise."""

_DAY = timedelta(days=1)
_SGX = "1.2.840.113741.1.13.1"
_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
SIGNER = b"q" * 32


@cache
def _key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _raw(name: str) -> bytes:
    return _key(name).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def _sign(name: str, data: bytes) -> bytes:
    r, s = decode_dss_signature(_key(name).sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _element(tag: int, value: bytes) -> bytes:
    size = len(value)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + value


def _oid(dotted: str) -> bytes:
    arcs = [int(arc) for arc in dotted.split(".")]
    encoded = bytes([40 * arcs[0] + arcs[1]])
    for arc in arcs[2:]:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        encoded += bytes(reversed(groups))
    return _element(6, encoded)


def _number(value: int) -> bytes:
    return _element(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _pair(name: str, value: bytes) -> bytes:
    return _element(0x30, _oid(name) + value)


def level(status: str = "UpToDate", svn: int = 1, **more: Any) -> dict[str, Any]:
    """A level of platforms that reach ``svn`` in all of their parts."""
    parts = [{"svn": svn}] * 16
    tcb = {"sgxtcbcomponents": parts, "pcesvn": svn, "tdxtcbcomponents": parts}
    return {"tcb": tcb, "tcbDate": "2026-03-01T00:00:00Z", "tcbStatus": status, **more}


def module_level(status: str = "UpToDate", svn: int = 1, **more: Any) -> dict[str, Any]:
    """A level of modules and quoting enclaves."""
    return {"tcb": {"isvsvn": svn}, "tcbDate": "2026-03-01T00:00:00Z", "tcbStatus": status, **more}


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@cache
def _issue(
    common: str,
    by: str,
    key: str,
    issuer_key: str,
    serial: int,
    *,
    authority: bool = False,
    until: datetime = AT + 300 * _DAY,
    extension: bytes = b"",
) -> x509.Certificate:
    """Once for the same: signatures are drawn, and roots are pinned by their digest."""
    usage = x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common))
        .issuer_name(_name(by))
        .public_key(_key(key).public_key())
        .serial_number(serial)
        .not_valid_before(AT - 300 * _DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(usage, critical=True)
    )
    if extension:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(_SGX), extension)
        builder = builder.add_extension(unknown, critical=False)
    return builder.sign(_key(issuer_key), hashes.SHA256())


@dataclass(frozen=True)
class Intel:
    """Who issues, and what is different from how it must be. ``levels``, ``modules`` and ``enclaves`` are what is
    stated about platforms, TDX modules and quoting enclaves."""

    root: str = "intel root"
    authority: bool = True
    fmspc: str = "00a1b2c3d4e5"
    svn: int = 3
    levels: tuple[dict[str, Any], ...] = (level(),)
    modules: tuple[dict[str, Any], ...] = (module_level(),)
    enclaves: tuple[dict[str, Any], ...] = (module_level(),)
    info: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    revoked: tuple[int, ...] = ()
    leaf_until: datetime = AT + 300 * _DAY
    info_until: datetime = AT + 20 * _DAY
    list_until: datetime = AT + 25 * _DAY
    statements_by: str = "signer"

    @property
    def root_certificate(self) -> x509.Certificate:
        """Of the root."""
        name = "Intel SGX Root CA"
        return _issue(name, name, self.root, self.root, 1, authority=True)

    @property
    def authority_certificate(self) -> x509.Certificate:
        """Of the platforms' authority."""
        key, name = self.root + " platforms", "Intel SGX PCK Platform CA"
        return _issue(name, "Intel SGX Root CA", key, self.root, 2, authority=self.authority)

    @property
    def platform_certificate(self) -> x509.Certificate:
        """Of a platform."""
        levels = b"".join(_pair(f"{_SGX}.2.{index}", _number(self.svn)) for index in range(1, 18))
        levels += _pair(f"{_SGX}.2.18", _element(4, bytes([self.svn] * 16)))
        stated = _pair(f"{_SGX}.1", _element(4, bytes(16))) + _pair(f"{_SGX}.2", _element(0x30, levels))
        stated += _pair(f"{_SGX}.3", _element(4, bytes(2)))
        stated += _pair(f"{_SGX}.4", _element(4, bytes.fromhex(self.fmspc)))
        stated += _pair(f"{_SGX}.5", _element(10, b"\0"))
        return _issue(
            "Intel SGX PCK Certificate",
            "Intel SGX PCK Platform CA",
            "platform",
            self.root + " platforms",
            3,
            extension=_element(0x30, stated),
            until=self.leaf_until,
        )

    @property
    def signer_certificate(self) -> x509.Certificate:
        """Of who signs statements."""
        return _issue("Intel SGX TCB Signing", "Intel SGX Root CA", "signer", self.root, 4)

    @property
    def chain(self) -> bytes:
        """A platform's chain, as quotes hold it."""
        parts = (self.platform_certificate, self.authority_certificate, self.root_certificate)
        return b"".join(one.public_bytes(Encoding.PEM) for one in parts) + b"\0"

    def _list(self, issuer: str, key: str) -> str:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_name(issuer))
            .last_update(AT - 2 * _DAY)
            .next_update(self.list_until)
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(_key(key).public_key()), False)
        )
        for serial in self.revoked:
            one = (
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(AT - 2 * _DAY).build()
            )
            builder = builder.add_revoked_certificate(one)
        return builder.sign(_key(key), hashes.SHA256()).public_bytes(Encoding.DER).hex()

    def collateral(self) -> dict[str, str]:
        """What lies beside a quote, as verifiers keep it."""
        module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "ff" * 8}
        times = {
            "issueDate": _utc(AT - _DAY),
            "nextUpdate": _utc(self.info_until),
            "tcbEvaluationDataNumber": 20,
        }
        info = {
            "id": "TDX",
            "version": 3,
            **times,
            "fmspc": self.fmspc.upper(),
            "pceId": "0000",
            "tcbType": 0,
            "tdxModule": module,
            "tdxModuleIdentities": [{"id": "TDX_01", **module, "tcbLevels": self.modules}],
            "tcbLevels": self.levels,
            **self.info,
        }
        identity = {
            "id": "TD_QE",
            "version": 2,
            **times,
            "miscselect": "00000000",
            "miscselectMask": "ffffffff",
            "attributes": "11" + "00" * 15,
            "attributesMask": "fb" + "ff" * 15,
            "mrsigner": SIGNER.hex().upper(),
            "isvprodid": 2,
            "tcbLevels": self.enclaves,
            **self.identity,
        }
        signer = self.signer_certificate.public_bytes(Encoding.PEM) + self.root_certificate.public_bytes(
            Encoding.PEM
        )
        bodies = {"tcb_info": info, "qe_identity": identity}
        texts = {name: json.dumps(body, separators=(",", ":")) for name, body in bodies.items()}
        signatures = {
            f"{name}_signature": _sign(self.statements_by, text.encode()).hex()
            for name, text in texts.items()
        }
        return {
            **texts,
            **signatures,
            "tcb_info_issuer_chain": signer.decode(),
            "root_ca_crl": self._list("Intel SGX Root CA", self.root),
            "pck_crl": self._list("Intel SGX PCK Platform CA", self.root + " platforms"),
        }

    def evidence(self, quote: bytes | None = None, **without: None) -> Evidence:
        """A quote with collateral beside it, ``without`` some of it."""
        collateral = {name: value for name, value in self.collateral().items() if name not in without}
        beside = (Companion("collateral", json.dumps(collateral).encode()),)
        return Evidence("tdx", quote or Quote(house=self).signed(), beside)


@dataclass(frozen=True)
class Quote:
    """The fields of a quote, as they must be. ``qe_key`` is whose key it holds, ``committed`` whose the quoting
    enclave commits to."""

    house: Intel = field(default_factory=Intel)
    version: int = 4
    key_type: int = 2
    vendor: bytes = _VENDOR
    svn: bytes = bytes([3, 1, 3]) + bytes([3]) * 13
    seam_signer: bytes = bytes(48)
    seam_attributes: bytes = bytes(8)
    attributes: int = 1 << 28
    features: int = 0x3
    mrtd: bytes = b"t" * 48
    config_id: bytes = bytes(48)
    owner: bytes = bytes(48)
    owner_config: bytes = bytes(48)
    registers: tuple[bytes, ...] = (b"0" * 48, b"1" * 48, b"2" * 48, b"3" * 48)
    report_data: bytes = bytes(64)
    service_td: bytes = bytes(48)
    qe_signer: bytes = SIGNER
    qe_attributes: bytes = b"\x15" + bytes(15)
    qe_product: int = 2
    qe_svn: int = 3
    qe_key: str = "enclave"
    committed: str = "enclave"
    platform_key: str = "platform"
    signing_key: str = "enclave"
    authentication: bytes = b"a" * 32
    surplus: bytes = b""

    def signed(self) -> bytes:
        """The quote."""
        head = struct.pack("<HHIHH", self.version, self.key_type, 0x81, 0, 0) + self.vendor + bytes(20)
        body = self.svn + b"s" * 48 + self.seam_signer + self.seam_attributes
        body += struct.pack("<QQ", self.attributes, self.features)
        body += self.mrtd + self.config_id + self.owner + self.owner_config + b"".join(self.registers)
        body += self.report_data
        if self.version == 5:
            body += bytes(16) + self.service_td
            head += struct.pack("<HI", 3, len(body))
        key = _raw(self.qe_key)
        qe = bytearray(384)
        qe[48:64], qe[128:160] = self.qe_attributes, self.qe_signer
        struct.pack_into("<HH", qe, 256, self.qe_product, self.qe_svn)
        qe[320:352] = hashlib.sha256(_raw(self.committed) + self.authentication).digest()
        chain = self.house.chain
        certified = bytes(qe) + _sign(self.platform_key, bytes(qe))
        certified += struct.pack("<H", len(self.authentication)) + self.authentication
        certified += struct.pack("<HI", 5, len(chain)) + chain
        data = _sign(self.signing_key, head + body) + key + struct.pack("<HI", 6, len(certified)) + certified
        return head + body + struct.pack("<I", len(data) + len(self.surplus)) + data + self.surplus


def trusting(monkeypatch: pytest.MonkeyPatch, *houses: Intel) -> None:
    """Pin these houses' roots, and no others."""
    monkeypatch.setattr(verify, "ROOTS", tuple(fingerprint(house.root_certificate) for house in houses))
