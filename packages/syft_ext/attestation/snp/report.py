"""The attestation report of SEV-SNP (AMD 56860, 7.3): 1,184 bytes, of versions 2 to 5."""

from __future__ import annotations

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from syft_ext.attestation.evidence import Objection, Reason, refused

__all__ = ["REPORT_SIZE", "SnpReport", "looks_like_report", "read_report"]

REPORT_SIZE = 1184

_SIGNED = 0x2A0
_HALF = 72
_VERSIONS = range(2, 6)
_KEYS = {0: "VCEK", 1: "VLEK"}

_SMT, _ALWAYS, _MIGRATION, _DEBUG, _CXL = 16, 17, 18, 19, 21
_KNOWN_POLICY = (1 << 26) - 1
_MADE_BY_HOST = 0xFFFFFFFF


class SnpReport(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a report. TCBs are still packed: how follows from the product, which the certificate says.

    ``processor`` is family, model and stepping, from version 3 on.
    """

    signed: bytes
    r: int
    s: int
    version: int
    guest_svn: int
    policy: int
    vmpl: int
    current_tcb: bytes
    reported_tcb: bytes
    committed_tcb: bytes
    launch_tcb: bytes
    platform_info: int
    signing_key: str
    author_key: bool
    chip_masked: bool
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id_ma: bytes
    processor: tuple[int, int, int] | None
    chip_id: bytes
    launch_mitigations: int
    current_mitigations: int

    @property
    def debug(self) -> bool:
        """Whether the host may read and write the guest's memory."""
        return bool(self.policy >> _DEBUG & 1)

    @property
    def migrates(self) -> bool:
        """Whether an agent may move the guest to another machine."""
        return bool(self.policy >> _MIGRATION & 1)

    @property
    def smt(self) -> bool:
        """Whether the guest lets others run on its core."""
        return bool(self.policy >> _SMT & 1)

    @property
    def cxl(self) -> bool:
        """Whether the guest's memory may be on devices."""
        return bool(self.policy >> _CXL & 1)

    @property
    def abi(self) -> tuple[int, int]:
        """The least version of the firmware's interface that the guest asks for."""
        return self.policy >> 8 & 0xFF, self.policy & 0xFF

    def is_signed_by(self, key: ec.EllipticCurvePublicKey) -> bool:
        """ECDSA over P-384 with SHA-384, over all but the signature."""
        try:
            key.verify(encode_dss_signature(self.r, self.s), self.signed, ec.ECDSA(hashes.SHA384()))
        except (InvalidSignature, ValueError):
            return False
        return True

    def objections(self) -> list[Objection]:
        """What no policy makes good."""
        found = list[Objection]()
        if self.debug:
            found.append(Objection(Reason.DEBUG, "the guest's policy allows its host to debug it"))
        if self.migrates:
            found.append(Objection(Reason.INTEGRITY, "the guest's policy allows a migration agent"))
        if self.report_id_ma.strip(b"\xff"):
            found.append(Objection(Reason.INTEGRITY, "the guest has a migration agent"))
        if self.policy & ~_KNOWN_POLICY or not self.policy >> _ALWAYS & 1:
            found.append(Objection(Reason.INTEGRITY, "the guest's policy has bits that are not known"))
        if self.vmpl > 3:
            what = "the host made it" if self.vmpl == _MADE_BY_HOST else f"no privilege level is {self.vmpl}"
            found.append(Objection(Reason.INTEGRITY, f"the report is not the guest's: {what}"))
        return found


def looks_like_report(content: bytes) -> bool:
    """Size, version, and the zeros behind the signature, which no other evidence has there."""
    return (
        len(content) == REPORT_SIZE
        and int.from_bytes(content[:4], "little") in _VERSIONS
        and int.from_bytes(content[0x34:0x38], "little") == 1
        and not any(content[_SIGNED + 2 * _HALF :])
    )


def read_report(content: bytes) -> SnpReport:
    """Read a report; nothing of it holds before :meth:`SnpReport.is_signed_by`.

    Raises :class:`~syft_ext.errors.EvidenceRefused`.
    """
    if len(content) != REPORT_SIZE:
        raise refused(Reason.MALFORMED, f"a report has {REPORT_SIZE} bytes, this has {len(content)}")
    version = _u32(content, 0)
    if version not in _VERSIONS:
        raise refused(Reason.UNSUPPORTED, f"reports of version {version} are not known here")
    if _u32(content, 0x34) != 1:
        raise refused(Reason.UNSUPPORTED, "reports are signed with ECDSA over P-384")
    if any(content[_SIGNED + 2 * _HALF :]):
        raise refused(Reason.MALFORMED, "there is something behind the report's signature")
    keys = _u32(content, 0x48)
    signing_key = _KEYS.get(keys >> 2 & 7)
    if signing_key is None:
        raise refused(Reason.UNSUPPORTED, "the report is signed by neither a VCEK nor a VLEK")
    r, s = content[_SIGNED : _SIGNED + _HALF], content[_SIGNED + _HALF : _SIGNED + 2 * _HALF]
    return SnpReport(
        signed=content[:_SIGNED],
        r=int.from_bytes(r, "little"),
        s=int.from_bytes(s, "little"),
        version=version,
        guest_svn=_u32(content, 4),
        policy=_u64(content, 8),
        vmpl=_u32(content, 0x30),
        current_tcb=content[0x38:0x40],
        reported_tcb=content[0x180:0x188],
        committed_tcb=content[0x1E0:0x1E8],
        launch_tcb=content[0x1F0:0x1F8],
        platform_info=_u64(content, 0x40),
        signing_key=signing_key,
        author_key=bool(keys & 1),
        chip_masked=bool(keys & 2),
        report_data=content[0x50:0x90],
        measurement=content[0x90:0xC0],
        host_data=content[0xC0:0xE0],
        id_key_digest=content[0xE0:0x110],
        author_key_digest=content[0x110:0x140],
        report_id_ma=content[0x160:0x180],
        processor=(content[0x188], content[0x189], content[0x18A]) if version >= 3 else None,
        chip_id=content[0x1A0:0x1E0],
        launch_mitigations=_u64(content, 0x1F8) if version >= 5 else 0,
        current_mitigations=_u64(content, 0x200) if version >= 5 else 0,
    )


def _u32(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "little")


def _u64(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 8], "little")
