"""Evidence of Azure's guests on SEV-SNP, in two hops: the hardware's report commits to the runtime document
with the virtual TPM's key, and that key signs a quote of what the guest booted and of the nonce.

It comes as one JSON document (``azure-snp-vtpm``), or as the paravisor's report alone (``azure-snp-hcl``), with
quotes and their signatures beside it; without a quote it is bound to no session.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from syft_ext.attestation.azure.hcl import attestation_key, looks_like_hcl, read_hcl
from syft_ext.attestation.azure.tpm import MAGIC, TpmQuote, read_tpm_quote
from syft_ext.attestation.binding import Binding
from syft_ext.attestation.companions import Companions
from syft_ext.attestation.evidence import Companion, Evidence, Objection, Reason, Verified, refused
from syft_ext.attestation.kind import Kind
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.snp.kind import against
from syft_ext.attestation.snp.verify import SnpFacts, verify_report

__all__ = ["AZURE_HCL", "AZURE_VTPM", "SignedQuote", "VtpmFacts"]

_BANK = 24
_REPORTS = ("hcl_report", "report")
_QUOTES = ("tpm_quote", "quote")


class VtpmFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy's half needs: the hardware's part, and the registers that the quote holds."""

    hardware: SnpFacts
    registers: dict[int, bytes]


class SignedQuote(msgspec.Struct, frozen=True, kw_only=True):
    """A quote that holds, and the registers in it, where their values are known."""

    quote: TpmQuote
    registers: dict[int, bytes]


def _verify_document(evidence: Evidence, at: datetime) -> Verified:
    said = _document(evidence.content)
    if said is None:
        raise refused(Reason.MALFORMED, "this is no evidence of Azure's virtual TPM")
    if "td_quote" in said:
        raise refused(Reason.UNSUPPORTED, "of Azure's guests those on SEV-SNP are appraised here")
    quoted = next(said[name] for name in _QUOTES if name in said)
    report = next(said[name] for name in _REPORTS if name in said)
    vcek = said.get("vcek")
    own = [Companion("vcek", _bytes(vcek) if not isinstance(vcek, str) else vcek.encode())] if vcek else []
    beside = Companions([*own, *evidence.beside])
    content = _bytes(report)
    document, verified, key = _hardware("azure-snp-vtpm", content, beside, at)
    quote, signature = read_tpm_quote(_bytes(quoted.get("message"))), _bytes(quoted.get("signature"))
    _check(quote, key, [signature])
    values = quoted.get("pcrs")
    if not isinstance(values, list) or len(values) > _BANK:
        raise refused(Reason.MALFORMED, "the quote's registers are not stated")
    bank = {index: _bytes(value) for index, value in enumerate(values)}
    if any(len(value) != 32 for value in bank.values()) or not quote.has(bank):
        raise refused(Reason.SIGNATURE, "the registers are not those that the virtual TPM signed")
    registers = {index: bank[index] for index in quote.registers}
    found = beside.uncommitted(verified.binding)
    return _put_together(verified, document, SignedQuote(quote=quote, registers=registers), found)


def _verify_report(evidence: Evidence, at: datetime) -> Verified:
    beside = Companions(evidence.beside)
    document, verified, key = _hardware("azure-snp-hcl", evidence.content, beside, at)
    contents = [one.content for one in beside.opaque]
    quotes = [content for content in contents if content.startswith(MAGIC)]
    signatures = [
        content for content in contents if len(content) * 8 == key.key_size and content not in quotes
    ]
    if len(quotes) > 1:
        raise refused(Reason.MALFORMED, "there are several quotes beside the paravisor's report")
    if signatures and not quotes:
        raise refused(Reason.ENDORSEMENT_MISSING, "there is a signature beside the report, and no quote")
    signed = None
    if quotes:
        quote = read_tpm_quote(quotes[0])
        _check(quote, key, signatures)
        signed = SignedQuote(quote=quote, registers={})
    beside.opaque = [one for one in beside.opaque if one.content not in [*quotes, *signatures]]
    return _put_together(verified, document, signed, beside.uncommitted(verified.binding))


def _hardware(
    kind: str, content: bytes, beside: Companions, at: datetime
) -> tuple[dict[str, Any], Verified, rsa.RSAPublicKey]:
    """The first hop: the hardware's report, and the document that it commits to."""
    hcl = read_hcl(content)
    verified = verify_report(hcl.hardware, beside, at)
    document = hcl.runtime_document(verified.binding)
    return document, msgspec.structs.replace(verified, kind=kind), attestation_key(document)


def _check(quote: TpmQuote, key: rsa.RSAPublicKey, signatures: Sequence[bytes]) -> None:
    """The second hop."""
    if not any(quote.is_signed_by(key, signature) for signature in signatures):
        raise refused(Reason.SIGNATURE, "the quote is not what this virtual TPM signed")


def _put_together(
    verified: Verified, document: dict[str, Any], signed: SignedQuote | None, found: Iterator[Objection]
) -> Verified:
    configuration = document.get("vm-configuration")
    claims = {
        **verified.claims,
        "valid_from": _moment(verified.not_before),
        "valid_to": _moment(verified.not_after),
        "vm_configuration": configuration if isinstance(configuration, dict) else {},
        "nonce": signed.quote.nonce.hex() if signed else None,
        "quoted_pcrs": list(signed.quote.registers) if signed else [],
        "pcrs": {str(index): value.hex() for index, value in signed.registers.items()} if signed else {},
    }
    registers = signed.registers if signed else {}
    booted = hashlib.sha256(b"".join(bytes([index]) + registers[index] for index in sorted(registers)))
    return msgspec.structs.replace(
        verified,
        workload=(*([f"azure-vtpm:{booted.hexdigest()}"] if registers else []), *verified.workload),
        claims=claims,
        binding=signed.quote.nonce if signed else b"",
        objections=(*verified.objections, *found),
        facts=VtpmFacts(hardware=verified.facts, registers=registers),
    )


def _objections(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> Iterator[Objection]:
    if policy is None:
        return
    references, facts = policy.azure_vtpm, verified.facts
    if references is None:
        yield Objection(Reason.POLICY_KIND, "the policy has no reference values for Azure's virtual TPM")
        return
    yield from against(facts.hardware, references.paravisor)
    for wanted in references.pcrs:
        value = facts.registers.get(wanted.index)
        if value is None:
            yield Objection(Reason.POLICY_WORKLOAD, f"the quote says nothing about register {wanted.index}")
        elif value not in wanted.values:
            yield Objection(Reason.POLICY_WORKLOAD, f"register {wanted.index} is {value.hex()}")


def _bound(verified: Verified, binding: Binding) -> bool:
    """A TPM's nonce is shorter than B: it is the digest of B."""
    return hmac.compare_digest(verified.binding, hashlib.sha256(binding.digest).digest())


def _document(content: bytes) -> dict[str, Any] | None:
    """The JSON document around report and quote, if it is one."""
    if content.lstrip()[:1] != b"{":
        return None
    try:
        said = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    quoted = [said[name] for name in _QUOTES if name in said]
    reports = [said[name] for name in _REPORTS if name in said]
    whole = len(quoted) == 1 and isinstance(quoted[0], dict) and len(reports) == 1
    return said if whole and {"message", "signature"} <= quoted[0].keys() else None


def _bytes(stated: object) -> bytes:
    """Bytes as they stand in JSON: hexadecimal, base64 (either alphabet), or a list of numbers."""
    try:
        if isinstance(stated, list):
            return bytes(stated)
        if isinstance(stated, str):
            try:
                return bytes.fromhex(stated)
            except ValueError:
                text = stated.rstrip("=").replace("-", "+").replace("_", "/")
                return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError, TypeError):
        pass
    raise refused(Reason.MALFORMED, "bytes in the evidence cannot be read")


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


AZURE_VTPM = Kind(
    name="azure-snp-vtpm",
    recognises=lambda content: _document(content) is not None,
    verify=_verify_document,
    objections=_objections,
    bound=_bound,
    lists=("ARK-",),
)
AZURE_HCL = Kind(
    name="azure-snp-hcl",
    recognises=looks_like_hcl,
    verify=_verify_report,
    objections=_objections,
    bound=_bound,
    lists=("ARK-",),
)
