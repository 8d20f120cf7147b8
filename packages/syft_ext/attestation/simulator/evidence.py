"""Making simulated evidence, and reading it.

    "grid simulator evidence v1\\0" ‖ Ed25519 key, 32 bytes ‖ signature, 64 bytes ‖ statement

The statement is a msgpack array (:class:`SimulatedStatement`) in its one encoding; the signature is over
everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from syft_ext.attestation.evidence import Evidence, Objection, Reason, Verified, refused
from syft_ext.attestation.kind import Kind
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.texts import moment, said

__all__ = ["SIMULATOR", "SimulatedStatement", "make_simulated"]

_MAGIC = b"grid simulator evidence v1\0"
_KEY = slice(len(_MAGIC), len(_MAGIC) + 32)
_SIGNATURE = slice(_KEY.stop, _KEY.stop + 64)
_MAX_HOST = 255


class SimulatedStatement(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True
):
    """What a program says of itself.

    Attributes:
        workload: digest of its code, 32 bytes.
        binding: :attr:`syft_ext.attestation.binding.Binding.digest`, 64 bytes.
        issued, expires: seconds of the epoch.
        host: name of the machine, for people.
        kind, insecure: always "simulator" and true, so that nobody who prints it can leave that out.
    """

    kind: str = "simulator"
    insecure: bool = True
    workload: bytes
    binding: bytes
    issued: int
    expires: int
    host: str


def make_simulated(
    key: bytes,
    sign: Callable[[bytes], bytes],
    *,
    workload: bytes,
    binding: bytes,
    at: datetime,
    host: str,
    lifetime: timedelta = timedelta(minutes=10),
) -> Evidence:
    """Evidence from ``at`` on, signed by who starts the program: by ``key``, 32 bytes, of which ``sign`` signs.

    Raises:
        ValueError: sizes other than those of :class:`SimulatedStatement`.
    """
    issued = int(at.timestamp())
    statement = SimulatedStatement(
        workload=workload,
        binding=binding,
        issued=issued,
        expires=issued + int(lifetime.total_seconds()),
        host=host[:_MAX_HOST],
    )
    if not _fits(statement):
        raise ValueError("a workload has 32 bytes, a binding 64, and evidence ends after it begins")
    encoded = msgspec.msgpack.encode(statement)
    head = _MAGIC + key
    return Evidence("simulator", head + sign(head + encoded) + encoded)


def _fits(statement: SimulatedStatement) -> bool:
    return (
        statement.kind == "simulator"
        and statement.insecure
        and len(statement.workload) == 32
        and len(statement.binding) == 64
        and 0 <= statement.issued < statement.expires
        and len(statement.host) <= _MAX_HOST
    )


def _recognises(content: bytes) -> bool:
    return content.startswith(_MAGIC)


def _verify(evidence: Evidence, at: datetime) -> Verified:
    content = evidence.content
    if not content.startswith(_MAGIC) or evidence.beside:
        raise refused(Reason.MALFORMED, "not simulated evidence, or with something beside it")
    key, signature, encoded = content[_KEY], content[_SIGNATURE], content[_SIGNATURE.stop :]
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content[: _KEY.stop] + encoded)
    except (InvalidSignature, ValueError) as error:
        raise refused(Reason.SIGNATURE, "the signature of simulated evidence does not verify") from error
    try:
        statement = msgspec.msgpack.decode(encoded, type=SimulatedStatement)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise refused(Reason.MALFORMED, "simulated evidence that cannot be read") from error
    if msgspec.msgpack.encode(statement) != encoded or not _fits(statement):
        raise refused(Reason.MALFORMED, "simulated evidence that is not as it is made")
    window = moment(statement.issued), moment(statement.expires)
    return Verified(
        kind="simulator",
        workload=(f"simulator:{statement.workload.hex()}",),
        platform={"host": statement.host},
        claims={
            "kind": "simulator",
            "insecure": True,
            "workload": statement.workload.hex(),
            "binding": statement.binding.hex(),
            "iat": statement.issued,
            "exp": statement.expires,
            "host": statement.host,
            "key": key.hex(),
            "valid_from": said(window[0]),
            "valid_to": said(window[1]),
        },
        debug=False,
        simulated=True,
        not_before=window[0],
        not_after=window[1],
        binding=statement.binding,
        facts=(key, statement),
    )


def _objections(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> Iterator[Objection]:
    if policy is None:
        return
    key, statement = verified.facts
    references = policy.simulator
    if references is None or not policy.allow_simulator or policy.production:
        yield Objection(Reason.POLICY_KIND, "the policy does not allow the simulator")
        return
    if key not in references.keys:
        yield Objection(Reason.ROOT, "the key that signed simulated evidence is none of the policy's")
    if at - moment(statement.issued) > timedelta(seconds=policy.max_age):
        yield Objection(Reason.POLICY_AGE, f"the evidence was made at {said(moment(statement.issued))}")
    if statement.workload not in references.workloads:
        yield Objection(Reason.POLICY_WORKLOAD, "the program is none of the policy's")


SIMULATOR = Kind(name="simulator", recognises=_recognises, verify=_verify, objections=_objections)
"""Evidence that protects nothing."""
