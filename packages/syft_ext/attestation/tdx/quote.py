"""Quotes of Intel's DCAP: a body that the TDX module made, signed by the quoting enclave's key, and the
platform's certificates (Intel TDX DCAP Quoting Library API, appendix A)."""

from __future__ import annotations

import re

import msgspec

from syft_ext.attestation.evidence import Reason, refused

__all__ = ["Body", "QeReport", "TdxQuote", "looks_like_quote", "read_quote"]

_HEADER = 48
_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_TDX, _SGX = 0x81, 0
_TD_1_0, _TD_1_5 = 584, 648
_BODIES = {2: _TD_1_0, 3: _TD_1_5}
_P256 = 2
_WITH_QE_REPORT, _PEM_CHAIN = 6, 5
_MAX_TRAILING = 4096
_BLOCK = rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----"
_CHAIN = re.compile(rb"(?:" + _BLOCK + rb"[\r\n]*){1,8}\0?")
_BLOCKS = re.compile(_BLOCK)


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What the TDX module states of a TD. ``svn2`` and ``service_td`` are of TDX 1.5."""

    svn: bytes
    seam: bytes
    seam_signer: bytes
    seam_attributes: bytes
    attributes: int
    features: int
    mrtd: bytes
    config_id: bytes
    owner: bytes
    owner_config: bytes
    registers: tuple[bytes, bytes, bytes, bytes]
    report_data: bytes
    svn2: bytes | None
    service_td: bytes | None


class QeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the processor states of the quoting enclave."""

    raw: bytes
    miscselect: bytes
    attributes: bytes
    signer: bytes
    product: int
    svn: int
    report_data: bytes


class TdxQuote(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a quote; nothing of it holds before its three signatures do.

    Attributes:
        body_type: of version 5; ``None`` before.
        signed: what ``signature`` (R‖S) is over.
        key: the quoting enclave's public key (x‖y on P-256).
        qe: the enclave's report, signed by the platform's key (``qe_signature``, R‖S).
        authentication: what the enclave's report commits to beside its key.
        chain: the platform's certificates as blocks of PEM, the leaf first.
        trailing: bytes behind all that: they are ignored.
    """

    version: int
    body_type: int | None
    body: Body
    signed: bytes
    signature: bytes
    key: bytes
    qe: QeReport
    qe_signature: bytes
    authentication: bytes
    chain: tuple[bytes, ...]
    trailing: int


def looks_like_quote(content: bytes) -> str | None:
    """ "tdx" or "sgx" if it has the header of such a quote."""
    if len(content) < _HEADER + 384 or content[12:28] != _VENDOR:
        return None
    version, tee = _u16(content, 0), _u32(content, 4)
    if version == 5:
        if (tee, _u16(content, _HEADER)) == (_SGX, 1):
            return "sgx"
        return "tdx" if tee == _TDX and _u16(content, _HEADER) in _BODIES else None
    if tee == _TDX:
        return "tdx" if version == 4 else None
    return "sgx" if tee == _SGX and version in (3, 4) else None


def read_quote(content: bytes) -> TdxQuote:
    """Read a quote of version 4 or 5. Its lengths are not signed, so they must nest exactly.

    Raises :class:`~syft_ext.errors.EvidenceRefused`.
    """
    parts = _Parts(content)
    header = parts.take(_HEADER)
    version, tee = _u16(header, 0), _u32(header, 4)
    if version not in (4, 5) or tee != _TDX:
        raise refused(Reason.UNSUPPORTED, f"quotes of version {version} for {tee:#x} are not known here")
    if _u16(header, 2) != _P256:
        raise refused(Reason.UNSUPPORTED, "quotes are signed with ECDSA over P-256")
    if header[12:28] != _VENDOR:
        raise refused(Reason.UNSUPPORTED, "the quote is of another maker's quoting enclave")
    body_type, size = None, _TD_1_0
    if version == 5:
        body_type, size = parts.u16(), parts.u32()
        if _BODIES.get(body_type) != size:
            raise refused(Reason.UNSUPPORTED, f"bodies of type {body_type} are not known here")
    body = _body(parts.take(size))
    signed = content[: parts.at]
    signatures = _Parts(parts.take(parts.u32()))
    signature, key = signatures.take(64), signatures.take(64)
    if signatures.u16() != _WITH_QE_REPORT:
        raise refused(Reason.UNSUPPORTED, "the quote does not hold the quoting enclave's report")
    certified = _Parts(signatures.take(signatures.u32()))
    signatures.end()
    qe, qe_signature = _qe_report(certified.take(384)), certified.take(64)
    authentication = certified.take(certified.u16())
    if certified.u16() != _PEM_CHAIN:
        raise refused(Reason.UNSUPPORTED, "the quote does not hold the platform's certificates")
    chain = certified.take(certified.u32())
    certified.end()
    if _CHAIN.fullmatch(chain) is None:
        raise refused(Reason.MALFORMED, "the platform's certificates cannot be read")
    trailing = len(content) - parts.at
    if trailing > _MAX_TRAILING:
        raise refused(Reason.TOO_LARGE, f"behind a quote are at most {_MAX_TRAILING} bytes")
    return TdxQuote(
        version=version,
        body_type=body_type,
        body=body,
        signed=signed,
        signature=signature,
        key=key,
        qe=qe,
        qe_signature=qe_signature,
        authentication=authentication,
        chain=tuple(_BLOCKS.findall(chain)),
        trailing=trailing,
    )


class _Parts:
    """Bytes, taken from the front."""

    def __init__(self, content: bytes) -> None:
        self._content, self.at = content, 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self._content):
            raise refused(Reason.MALFORMED, "the quote ends within a part")
        self.at += size
        return self._content[self.at - size : self.at]

    def u16(self) -> int:
        return _u16(self.take(2), 0)

    def u32(self) -> int:
        return _u32(self.take(4), 0)

    def end(self) -> None:
        if self.at != len(self._content):
            raise refused(Reason.MALFORMED, "the quote's lengths do not nest")


def _u16(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 2], "little")


def _u32(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "little")


def _u64(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 8], "little")


def _body(raw: bytes) -> Body:
    return Body(
        svn=raw[:16],
        seam=raw[16:64],
        seam_signer=raw[64:112],
        seam_attributes=raw[112:120],
        attributes=_u64(raw, 120),
        features=_u64(raw, 128),
        mrtd=raw[136:184],
        config_id=raw[184:232],
        owner=raw[232:280],
        owner_config=raw[280:328],
        registers=(raw[328:376], raw[376:424], raw[424:472], raw[472:520]),
        report_data=raw[520:584],
        svn2=raw[584:600] or None,
        service_td=raw[600:648] or None,
    )


def _qe_report(raw: bytes) -> QeReport:
    return QeReport(
        raw=raw,
        miscselect=raw[16:20],
        attributes=raw[48:64],
        signer=raw[128:160],
        product=_u16(raw, 256),
        svn=_u16(raw, 258),
        report_data=raw[320:384],
    )
