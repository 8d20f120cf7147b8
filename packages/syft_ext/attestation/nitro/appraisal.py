"""Nitro documents as a kind of evidence."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from hmac import compare_digest

from cryptography.hazmat.primitives.asymmetric import ec

from syft_ext.attestation.binding import Binding
from syft_ext.attestation.certificates import Window
from syft_ext.attestation.chains import check_chain, check_given_root, public_key
from syft_ext.attestation.cose import ES384
from syft_ext.attestation.evidence import Evidence, Objection, Reason, Verified, refused
from syft_ext.attestation.kind import Kind
from syft_ext.attestation.nitro.document import NitroDocument, read_document
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.texts import said

__all__ = ["NITRO", "ROOT", "nitro_kind"]

ROOT = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
"""SHA-256 of AWS' root certificate G1, valid until 2049, as AWS publishes it beside the root."""

_HEAD = b"\x84\x44\xa1\x01\x38\x22"
"""How documents begin, after their tag if they have one: an array of four, the first of them {1: −35}."""

_AHEAD = timedelta(minutes=1)
"""How far the hypervisor's clock may be ahead of ours."""

_IMAGE, _KERNEL, _APPLICATION, _ROLE, _INSTANCE, _SIGNER = 0, 1, 2, 3, 4, 8


def nitro_kind(roots: Collection[str]) -> Kind:
    """Nitro documents under these roots (SHA-256 of each, hexadecimal)."""
    return Kind(
        name="nitro", recognises=_recognises, verify=_verifier(roots), objections=_objections, bound=_bound
    )


def _recognises(content: bytes) -> bool:
    return content.removeprefix(b"\xd2").startswith(_HEAD)


def _verifier(roots: Collection[str]) -> Callable[[Evidence, datetime], Verified]:
    def verify(evidence: Evidence, at: datetime) -> Verified:
        document = read_document(evidence.content)
        check_given_root(document.chain[0], evidence.beside)
        window = Window()
        leaf = check_chain(document.chain, roots, window)[-1]
        key = public_key(leaf)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise refused(Reason.UNSUPPORTED, "a document that is not signed by ES384")
        document.signed.verify(key, ES384)
        return _verified(document, window, window.objections(at))

    return verify


def _verified(document: NitroDocument, window: Window, objections: list[Objection]) -> Verified:
    measured = {index: value for index, value in sorted(document.registers.items()) if any(value)}
    image = [document.register(index) for index in (_IMAGE, _KERNEL, _APPLICATION)]
    return Verified(
        kind="nitro",
        workload=tuple(
            f"{name}:{measured[index].hex()}"
            for name, index in (("nitro", _IMAGE), ("nitro-signer", _SIGNER))
            if index in measured
        ),
        platform={"module_id": document.module},
        claims={
            "module_id": document.module,
            "timestamp": str(document.time),
            "digest": "SHA384",
            "pcrs": {str(index): value.hex() for index, value in measured.items()},
            "zero_pcrs": sorted(document.registers.keys() - measured.keys()),
            "debug": not all(map(any, image)),
            "public_key": _hexadecimal(document.public_key),
            "user_data": _hexadecimal(document.user_data),
            "nonce": _hexadecimal(document.nonce),
            "valid_from": said(window.not_before),
            "valid_to": said(window.not_after),
        },
        debug=not all(map(any, image)),  # the hypervisor measures nothing of an enclave in debug mode
        not_before=window.not_before,
        not_after=window.not_after,
        binding=document.user_data or b"",
        objections=tuple(objections),
        facts=document,
    )


def _hexadecimal(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _objections(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> Iterator[Objection]:
    if policy is None:
        return
    document: NitroDocument = verified.facts
    references = policy.nitro
    if references is None:
        yield Objection(Reason.POLICY_KIND, "the policy has no reference values for Nitro enclaves")
        return
    if not at - timedelta(seconds=policy.max_age) <= document.time <= at + _AHEAD:
        yield Objection(
            Reason.POLICY_AGE, f"the document is of {document.time}, too old or ahead of the clock"
        )
    image = tuple(document.register(index) for index in (_IMAGE, _KERNEL, _APPLICATION))
    if image not in {(one.pcr0, one.pcr1, one.pcr2) for one in references.images}:
        yield Objection(Reason.POLICY_WORKLOAD, "the enclave's image is none of the policy's")
    for what, index, accepted in (
        ("signer", _SIGNER, references.signers),
        ("role", _ROLE, references.roles),
        ("instance", _INSTANCE, references.instances),
    ):
        if accepted and document.register(index) not in accepted:
            yield Objection(
                Reason.POLICY_LAUNCH, f"the enclave's {what} (PCR{index}) is none of the policy's"
            )


def _bound(verified: Verified, binding: Binding) -> bool:
    document: NitroDocument = verified.facts
    return (
        compare_digest(document.user_data or b"", binding.digest)
        and compare_digest(document.public_key or b"", binding.session_key)
        and compare_digest(document.nonce or b"", binding.challenge)
    )


NITRO = nitro_kind({ROOT})
"""Documents of AWS' hypervisors."""
