"""Intel's collateral beside a quote: which of it is about this platform, signed, and when it is valid."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from syft_ext.attestation.certificates import MAX_CHAIN, RevocationLists, Window, was_issued
from syft_ext.attestation.companions import Companions, SignedDocument
from syft_ext.attestation.evidence import Objection, Reason, refused
from syft_ext.attestation.tdx.platform import Platform
from syft_ext.attestation.tdx.statements import QeIdentity, TcbInfo, read_qe_identity, read_tcb_info
from syft_ext.errors import EvidenceRefused

__all__ = ["Collateral", "Signers", "is_signed", "read_collateral"]

_SIGNER = "Intel SGX TCB Signing"

T = TypeVar("T", TcbInfo, QeIdentity)


class Signers(msgspec.Struct, frozen=True, kw_only=True):
    """The certificates that the quote's own signature rests on."""

    leaf: x509.Certificate
    authority: x509.Certificate
    root: x509.Certificate


class Collateral(msgspec.Struct, frozen=True, kw_only=True):
    """What is stated about a platform, and what speaks against it.

    ``info`` and ``identity`` are there unless an objection says why not.
    """

    info: TcbInfo | None
    identity: QeIdentity | None
    objections: tuple[Objection, ...]
    complete: bool


def is_signed(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> bool:
    """ECDSA over P-256 with SHA-256; the signature is R‖S, 32 bytes each, big-endian."""
    if len(signature) != 64:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def read_collateral(
    beside: Companions,
    certificates: Sequence[x509.Certificate],
    lists: RevocationLists,
    signers: Signers,
    platform: Platform,
    window: Window,
    at: datetime,
) -> Collateral:
    """Take what is about the platform. Nothing of a document is read before its signature holds."""
    found = list[Objection]()
    signed = _Signed(certificates, signers.root)
    infos = signed.statements(beside.signed, "tcbInfo", read_tcb_info, found)
    own = [(info, signer) for info, signer in infos if _is_about(info, platform)]
    if infos and not own:
        found.append(Objection(Reason.COLLATERAL, "the TCB info is about other platforms"))
    identities = signed.statements(beside.signed, "enclaveIdentity", read_qe_identity, found)
    stated_info, stated_identity = _current(own, at), _current(identities, at)
    serials = {"the platform's authority": signers.authority.serial_number}
    for name, statement in (("TCB info", stated_info), ("QE identity", stated_identity)):
        if statement is None:
            found.append(Objection(Reason.COLLATERAL_MISSING, f"Intel's {name} for this platform is missing"))
            continue
        document, signer = statement
        window.add(f"Intel's {name}", document.issue_date, document.next_update)
        window.add_certificate(f"certificate {_SIGNER}", signer)
        serials[f"the signer of the {name}"] = signer.serial_number
    leaf = {"the platform's certificate": signers.leaf.serial_number}
    for name, issuer, listed in (
        ("the platform's authority", signers.authority, leaf),
        ("Intel's root", signers.root, serials),
    ):
        revoked = lists.check(issuer, name, listed, window, at)
        if revoked is None:
            found.append(Objection(Reason.COLLATERAL_MISSING, f"the revocation list of {name} is missing"))
        else:
            found += revoked
    return Collateral(
        info=stated_info and stated_info[0],
        identity=stated_identity and stated_identity[0],
        objections=tuple(found),
        complete=all(one.reason is not Reason.COLLATERAL_MISSING for one in found),
    )


def _is_about(info: TcbInfo, platform: Platform) -> bool:
    return info.fmspc.lower() == platform.fmspc.hex() and info.pce_id.lower() == platform.pce.hex()


def _current(found: list[tuple[T, x509.Certificate]], at: datetime) -> tuple[T, x509.Certificate] | None:
    """Of several about the same: one that is valid at ``at``, and of these the one with the newest data."""
    return max(
        found,
        key=lambda one: (
            one[0].issue_date <= at <= one[0].next_update,
            one[0].tcb_evaluation_data_number,
            one[0].issue_date,
        ),
        default=None,
    )


class _Signed:
    """Who may sign statements: certificates with the signer's name, straight under the root."""

    def __init__(self, certificates: Sequence[x509.Certificate], root: x509.Certificate) -> None:
        named = [one for one in certificates if _common_name(one) == _SIGNER]
        self._signers = [one for one in named if was_issued(one, root)]
        # The same key is certified again every few years: the newest first.
        self._signers.sort(key=lambda one: one.not_valid_before_utc, reverse=True)
        if len(self._signers) > MAX_CHAIN:
            raise refused(Reason.TOO_LARGE, "there are too many certificates of Intel's signer")

    def statements(
        self,
        documents: Sequence[SignedDocument],
        name: str,
        read: Callable[[bytes], T | None],
        found: list[Objection],
    ) -> list[tuple[T, x509.Certificate]]:
        """What the documents with this name state, and who signed each; to ``found``, which nobody signed, and
        which cannot be read."""
        good = list[tuple[T, x509.Certificate]]()
        for document in (one for one in documents if one.name == name):
            holds = self._holds(document)
            if holds is None:
                found.append(Objection(Reason.COLLATERAL, f"Intel did not sign this {name}"))
                continue
            try:
                statement = read(holds[0])
            except EvidenceRefused as error:
                found.append(Objection(Reason.COLLATERAL, error.detail))
                continue
            if statement is not None:
                good.append((statement, holds[1]))
        return good

    def _holds(self, document: SignedDocument) -> tuple[bytes, x509.Certificate] | None:
        for body in (document.body, _compact(document.body)):
            for signer in self._signers:
                key = signer.public_key()
                if isinstance(key, ec.EllipticCurvePublicKey) and is_signed(key, document.signature, body):
                    return body, signer
        return None


def _compact(body: bytes) -> bytes:
    """The document as Intel sends it, if a tool has laid it out for reading: the signature tells."""
    try:
        return json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return body


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else ""
