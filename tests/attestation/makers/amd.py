"""A house like AMD's: root, intermediates, chips and clouds, lists of what was revoked, and reports."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from syft_ext.attestation.certificates import fingerprint
from syft_ext.attestation.evidence import Companion, Evidence
from syft_ext.attestation.snp import verify

__all__ = ["AT", "House", "Report", "trusting"]

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
"""When the tests appraise."""

_PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
_AMD = "1.3.6.1.4.1.3704.1"
_CHIP = bytes(range(64))


@cache
def _rsa(name: str) -> rsa.RSAPrivateKey:
    """One key for each name: making them takes longer than all the rest."""
    return rsa.generate_private_key(65537, 2048)


@cache
def _p384(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _element(tag: int, value: bytes) -> bytes:
    size = len(value)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + value


@dataclass(frozen=True)
class House:
    """Who issues: a product, the keys' names, and what is different from how it must be."""

    product: str = "Milan"
    root: str = "root"
    serial: int = 65537
    authority: bool = True
    not_before: datetime = AT - timedelta(days=100)
    not_after: datetime = AT + timedelta(days=100)

    def issue(
        self, common: str, issuer: str, key: rsa.RSAPrivateKey, by: rsa.RSAPrivateKey, serial: int
    ) -> bytes:
        """An authority's certificate."""
        usage = x509.KeyUsage(False, False, False, False, False, self.authority, True, False, False)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(common))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
            .add_extension(x509.BasicConstraints(self.authority, None), critical=True)
            .add_extension(usage, critical=True)
            .sign(by, hashes.SHA384(), rsa_padding=_PSS)
        )
        return certificate.public_bytes(Encoding.DER)

    @property
    def ark(self) -> bytes:
        """The root's certificate."""
        name = f"ARK-{self.product}"
        return _issued(self, name, name, self.root, self.root, 65536)

    def ask(self, middle: str = "SEV-") -> bytes:
        """The intermediate certificate, of chips or of clouds."""
        return _issued(
            self, middle + self.product, f"ARK-{self.product}", self.root + middle, self.root, self.serial
        )

    def leaf(
        self,
        *,
        name: str = "SEV-VCEK",
        chip: bytes = _CHIP,
        tcb: tuple[int, ...] = (4, 0, 24, 219),
        stated_product: str | None = None,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        key: str = "chip",
    ) -> bytes:
        """The certificate of a chip's or cloud's key. Its serial number is zero, so it is put together by hand."""
        middle = "SEV-VLEK-" if name == "SEV-VLEK" else "SEV-"
        by = _rsa(self.root + middle)
        names = (
            (".3.1", ".3.2", ".3.3", ".3.8") if len(tcb) == 4 else (".3.9", ".3.1", ".3.2", ".3.3", ".3.8")
        )
        stated = (stated_product or f"{self.product}-B0").encode()
        values = {".2": _element(0x16, stated)}
        values |= {
            part: _element(2, (b"\0" if value > 127 else b"") + bytes([value]))
            for part, value in zip(names, tcb, strict=True)
        }
        values |= {".4": chip} if name == "SEV-VCEK" else {".5": _element(0x16, b"a cloud")}
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(middle + self.product))
            .public_key(_p384(key).public_key())
            .serial_number(1)
            .not_valid_before(not_before or self.not_before)
            .not_valid_after(not_after or self.not_after)
        )
        for part, value in values.items():
            builder = builder.add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier(_AMD + part), value), critical=False
            )
        certificate = builder.sign(by, hashes.SHA384(), rsa_padding=_PSS)
        plain = certificate.tbs_certificate_bytes
        signed = plain.replace(b"\xa0\x03\x02\x01\x02\x02\x01\x01", b"\xa0\x03\x02\x01\x02\x02\x01\x00", 1)
        assert signed != plain
        whole = certificate.public_bytes(Encoding.DER)
        algorithm = whole[4 + len(plain) : len(whole) - (4 + 1 + 256)]
        signature = by.sign(signed, _PSS, hashes.SHA384())
        return _element(0x30, signed + algorithm + _element(3, b"\0" + signature))

    def revocations(
        self, *serials: int, by: str | None = None, start: datetime = AT - timedelta(days=1)
    ) -> bytes:
        """The root's list."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_name(f"ARK-{self.product}"))
            .last_update(start)
            .next_update(start + timedelta(days=40))
        )
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(start).build()
            builder = builder.add_revoked_certificate(revoked)
        made = builder.sign(_rsa(by or self.root), hashes.SHA384(), rsa_padding=_PSS)
        return made.public_bytes(Encoding.DER)

    def evidence(
        self, report: bytes, leaf: bytes | None = None, *more: bytes, middle: str = "SEV-"
    ) -> Evidence:
        """A report with its chain beside it, and ``more``."""
        beside = (leaf or self.leaf(), self.ask(middle), self.ark, *more)
        return Evidence("sev-snp", report, tuple(Companion(str(at), one) for at, one in enumerate(beside)))


@cache
def _issued(house: House, common: str, issuer: str, key: str, by: str, serial: int) -> bytes:
    return house.issue(common, issuer, _rsa(key), _rsa(by), serial)


@dataclass(frozen=True)
class Report:
    """The fields of a report, as they must be."""

    version: int = 3
    guest_svn: int = 2
    policy: int = 0x20000
    vmpl: int = 0
    algorithm: int = 1
    current: bytes = bytes([4, 0, 0, 0, 0, 0, 24, 219])
    reported: bytes = bytes([4, 0, 0, 0, 0, 0, 24, 219])
    committed: bytes = bytes([4, 0, 0, 0, 0, 0, 24, 219])
    launch: bytes = bytes([4, 0, 0, 0, 0, 0, 24, 219])
    platform_info: int = 0x25
    keys: int = 0
    report_data: bytes = bytes(64)
    measurement: bytes = b"m" * 48
    host_data: bytes = bytes(32)
    id_key: bytes = bytes(48)
    author_key: bytes = bytes(48)
    migration_agent: bytes = b"\xff" * 32
    processor: tuple[int, int, int] = (25, 1, 1)
    chip: bytes = _CHIP
    mitigations: tuple[int, int] = (0, 0)
    key: str = field(default="chip", compare=False)

    def signed(self) -> bytes:
        """The report, 1,184 bytes."""
        body = bytearray(0x2A0)
        struct.pack_into("<IIQ", body, 0, self.version, self.guest_svn, self.policy)
        struct.pack_into("<II", body, 0x30, self.vmpl, self.algorithm)
        body[0x38:0x40] = self.current
        struct.pack_into("<QI", body, 0x40, self.platform_info, self.keys)
        body[0x50:0x90] = self.report_data
        body[0x90:0xC0] = self.measurement
        body[0xC0:0xE0] = self.host_data
        body[0xE0:0x110] = self.id_key
        body[0x110:0x140] = self.author_key
        body[0x160:0x180] = self.migration_agent
        body[0x180:0x188] = self.reported
        body[0x188:0x18B] = bytes(self.processor)
        body[0x1A0:0x1E0] = self.chip
        body[0x1E0:0x1E8] = self.committed
        body[0x1F0:0x1F8] = self.launch
        struct.pack_into("<QQ", body, 0x1F8, *self.mitigations)
        r, s = decode_dss_signature(_p384(self.key).sign(bytes(body), ec.ECDSA(hashes.SHA384())))
        return bytes(body) + r.to_bytes(72, "little") + s.to_bytes(72, "little") + bytes(512 - 144)


def trusting(monkeypatch: pytest.MonkeyPatch, *houses: House) -> None:
    """Pin these houses' roots, and no others."""
    roots = {fingerprint(x509.load_der_x509_certificate(house.ark)): house.product for house in houses}
    monkeypatch.setattr(verify, "ROOTS", roots)
