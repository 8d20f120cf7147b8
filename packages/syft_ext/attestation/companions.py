"""What lies beside evidence, sorted by what it is: certificates, revocation lists, signed documents, key sets.

Liberal in form, because everybody keeps these things differently: DER, PEM (several blocks, in any order), the
same in hexadecimal or base64, percent-encoded as in Intel's headers, or any of it as values in a JSON document
(the answers of Intel's and Azure's services, the collateral files of verifiers). Strict in that nothing is
passed over: bytes that are none of these must be what the evidence itself commits to
(:attr:`Companions.opaque`), and a block that cannot be read is refused. What is found here proves nothing: each
kind of evidence takes what it can verify.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from syft_ext.attestation.der import INTEGER, SEQUENCE, Reader, whole_size
from syft_ext.attestation.evidence import Companion, Objection, Reason, refused
from syft_ext.errors import EvidenceRefused
from syft_ext.readable import readable

__all__ = ["Companions", "SignedDocument"]

_DIGESTS = ("sha256", "sha384", "sha512")
_MAX_DEPTH = 8
_MAX_FOUND = 64
_MAX_SIGNED = 16
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{3,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\s]+={0,2}")

_BODIES = {"tcbInfo": "tcbInfo", "enclaveIdentity": "enclaveIdentity"}
_STATED = {
    "tcb_info": "tcbInfo",
    "tcbInfo": "tcbInfo",
    "qe_identity": "enclaveIdentity",
    "qeIdentity": "enclaveIdentity",
    "enclaveIdentity": "enclaveIdentity",
    "enclave_identity": "enclaveIdentity",
}


class SignedDocument(msgspec.Struct, frozen=True):
    """A document of Intel's: the exact bytes that were signed, and the signature over them (R‖S).

    ``name`` is "tcbInfo" or "enclaveIdentity".
    """

    name: str
    body: bytes
    signature: bytes


class Companions:
    """What was found, in the order in which it was found.

    Attributes:
        certificates: each in DER, once.
        revocations: revocation lists, each in DER, once.
        signed: Intel's documents.
        documents: JSON objects that were given as such, decoded: key sets among them.
        opaque: what none of the first three was found in.
    """

    def __init__(self, beside: Iterable[Companion]) -> None:
        self.certificates: list[bytes] = []
        self.revocations: list[bytes] = []
        self.signed: list[SignedDocument] = []
        self.documents: list[dict[str, Any]] = []
        self.opaque: list[Companion] = []
        for companion in beside:
            if not self._take(companion.content, 0):
                self.opaque.append(companion)

    def uncommitted(self, report_data: bytes) -> Iterator[Objection]:
        """What is :attr:`opaque` and not what all 64 bytes of report data are, or the digest of and zeros."""
        for companion in self.opaque:
            content = companion.content
            stated = [content, *(hashlib.new(name, content).digest() for name in _DIGESTS)]
            if not any(hmac.compare_digest(one.ljust(64, b"\0"), report_data) for one in stated if one):
                what = readable(companion.name)[:80]
                yield Objection(Reason.BINDING, f"the evidence does not commit to {what!r} beside it")

    def _take(self, content: bytes, depth: int) -> bool:
        """Whether anything was found in these bytes."""
        if depth > _MAX_DEPTH:
            raise refused(Reason.TOO_LARGE, "what is beside the evidence is nested too deeply")
        text = content.strip(b" \t\r\n\0\xef\xbb\xbf")
        if content[:1] == b"\x30":
            return self._take_der(content)
        if b"-----BEGIN " in text:
            return self._take_pem(text, depth)
        if text[:1] in (b"{", b"["):
            return self._take_json(text, depth)
        if b"%2" in text and b"-----BEGIN" in text:
            return self._take_pem(unquote_to_bytes(text), depth)
        return self._take_encoded(text)

    def _take_encoded(self, text: bytes) -> bool:
        """DER in hexadecimal, or in base64 of either alphabet."""
        if text[:2] == b"30" and _HEX.fullmatch(text):
            return self._take_der(bytes.fromhex(text.decode()))
        if text[:1] == b"M" and len(text) > 64 and _BASE64.fullmatch(text):
            try:
                plain = b"".join(text.split()).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
                return self._take_der(base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True))
            except binascii.Error:
                return False
        return False

    def _take_pem(self, text: bytes, depth: int) -> bool:
        if b"-----BEGIN%20" in text:
            text = unquote_to_bytes(text)
        if text[:1] in (b"{", b"[", b'"'):
            return self._take_json(text, depth)
        blocks = _PEM.findall(text)
        if len(blocks) != text.count(b"-----BEGIN "):
            raise refused(Reason.MALFORMED, "a block of PEM beside the evidence cannot be read")
        for label, body in blocks:
            if label not in (b"CERTIFICATE", b"X509 CRL"):
                continue  # a key, say: nothing here is verified with bare keys
            try:
                der = base64.b64decode(b"".join(body.split()), validate=True)
            except binascii.Error:
                raise refused(Reason.MALFORMED, "a block of PEM beside the evidence cannot be read") from None
            if not self._take_der(der):
                raise refused(Reason.MALFORMED, "a block of PEM beside the evidence holds something else")
        return bool(blocks)

    def _take_der(self, data: bytes) -> bool:
        """Certificates and lists, one after the other, and nothing behind them."""
        found: list[tuple[list[bytes], bytes]] = []
        while data:
            try:
                size = whole_size(data)
                place = self._place(data[:size])
            except EvidenceRefused:
                return False
            if place is None:
                return False
            found.append((place, data[:size]))
            data = data[size:]
        for place, der in found:
            if der not in place:
                place.append(der)
        if len(self.certificates) + len(self.revocations) > _MAX_FOUND:
            raise refused(Reason.TOO_LARGE, "there are too many certificates beside the evidence")
        return bool(found)

    def _place(self, der: bytes) -> list[bytes] | None:
        """Where it belongs: a certificate begins with [0] and its version, or a serial number and then an
        algorithm, names and validity; a list with a version or an algorithm, and has a time in the fourth
        place."""
        outer = Reader(Reader(der).take(SEQUENCE))
        signed = Reader(outer.take(SEQUENCE))
        outer.take(SEQUENCE)
        first, _ = signed.any()
        if first == 0xA0:
            return self.certificates
        if first not in (INTEGER, SEQUENCE):
            return None
        tags = [signed.any()[0] for _ in range(3 if first == INTEGER else 2) if signed.more]
        return self.revocations if tags[-1:] and tags[-1] in (0x17, 0x18) else None

    def _take_json(self, text: bytes, depth: int) -> bool:
        try:
            if text[:1] == b"[":
                items = msgspec.json.decode(text, type=list[msgspec.Raw])
                if len(items) > _MAX_FOUND:
                    return self._take_numbers(text)
                inside = [self._take_value(bytes(item), depth + 1) for item in items]
                return any(inside)
            if text[:1] == b'"':
                return self._take_value(text, depth + 1)
            said = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            if depth == 0:
                self.documents.append(msgspec.json.decode(text))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False
        values = {name: bytes(value) for name, value in said.items()}
        signed = [self._take_signed(name, values) for name in values]
        nested = [self._take_value(value, depth + 1) for value in values.values()]
        return any(signed) or any(nested)

    def _take_numbers(self, text: bytes) -> bool:
        """DER as a list of its bytes."""
        try:
            data = bytes(msgspec.json.decode(text, type=list[int]))
        except ValueError:  # of msgspec too
            return False
        return data[:1] == b"\x30" and self._take_der(data)

    def _take_value(self, raw: bytes, depth: int) -> bool:
        """A value in a document: text is looked at like a file of its own."""
        if raw[:1] in (b"{", b"["):
            return self._take_json(raw, depth)
        if raw[:1] != b'"' or len(raw) < 64:
            return False
        return self._take(_text(raw), depth)

    def _take_signed(self, name: str, values: dict[str, bytes]) -> bool:
        """A document of Intel's, as its service answers (the object, and "signature" beside it), or as verifiers
        keep it (its text, and a signature with the same name in front)."""
        if name not in _STATED:
            return False
        raw = values[name]
        signature = values.get("signature") if name in _BODIES else None
        for ending in ("_signature", "Signature"):
            signature = signature or values.get(name + ending)
        if signature is None:
            return False
        body = _text(raw) if raw[:1] == b'"' else raw
        if body[:1] != b"{":
            return False
        if len(self.signed) == _MAX_SIGNED:
            raise refused(Reason.TOO_LARGE, "there are too many documents of Intel's beside the evidence")
        self.signed.append(SignedDocument(_STATED[name], body, _signature(signature)))
        return True


def _text(raw: bytes) -> bytes:
    try:
        return msgspec.json.decode(raw, type=str).encode()
    except (msgspec.DecodeError, UnicodeError):
        raise refused(Reason.MALFORMED, "text beside the evidence cannot be read") from None


def _signature(raw: bytes) -> bytes:
    """R‖S in hexadecimal, or as a list of whole numbers."""
    try:
        if raw[:1] == b"[":
            return bytes(msgspec.json.decode(raw, type=list[int]))
        return bytes.fromhex(msgspec.json.decode(raw, type=str))
    except (msgspec.DecodeError, UnicodeError, ValueError):
        raise refused(
            Reason.MALFORMED, "the signature of a document beside the evidence cannot be read"
        ) from None
