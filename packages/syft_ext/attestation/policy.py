"""The appraisal policy for evidence (RFC 9334, 8.5): what a relying party accepts, as reference values for each
kind.

A policy is a value: its canonical encoding (:func:`encode_policy`) is what its digest and signatures are over,
so it holds whole numbers, bytes, text and tuples, and nothing that has two encodings. For people it is a JSON
document of the same names, bytes in hexadecimal (:func:`policy_from_json`).
"""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec

from syft_ext.attestation.azure.maa_policy import MaaReferences
from syft_ext.attestation.azure.policy import VtpmReferences
from syft_ext.attestation.confidential_space.policy import SpaceReferences
from syft_ext.attestation.nitro.policy import NitroReferences
from syft_ext.attestation.references import InvalidPolicy
from syft_ext.attestation.simulator.policy import SimulatorReferences
from syft_ext.attestation.snp.policy import SnpReferences
from syft_ext.attestation.tdx.policy import TdxReferences

__all__ = ["AttestationPolicy", "decode_policy", "encode_policy", "policy_from_json", "policy_to_json"]

MAX_POLICY_SIZE = 256 * 1024
"""Bytes of a policy, encoded or as JSON."""


class AttestationPolicy(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True
):
    """Which evidence is accepted. A kind without reference values is refused.

    Attributes:
        version: of this structure: 1.
        production: whether it is meant to protect anybody. Such a policy never allows the simulator.
        allow_simulator: whether evidence that software makes is accepted; it protects nothing.
        max_age: seconds for which evidence that says when it was made is taken.
    """

    version: int = 1
    production: bool
    allow_simulator: bool = False
    max_age: int = 300
    snp: SnpReferences | None = None
    tdx: TdxReferences | None = None
    azure_vtpm: VtpmReferences | None = None
    nitro: NitroReferences | None = None
    confidential_space: SpaceReferences | None = None
    azure_maa: MaaReferences | None = None
    simulator: SimulatorReferences | None = None

    def __post_init__(self) -> None:
        if self.version != 1:
            raise InvalidPolicy(f"version {self.version} of the policy is not known here")
        if self.production and self.allow_simulator:
            raise InvalidPolicy("a production policy cannot allow the simulator: it protects nothing")
        if self.allow_simulator != (self.simulator is not None):
            raise InvalidPolicy(
                "whose simulated evidence is accepted stands in simulator, and only if it is allowed"
            )
        if not 0 < self.max_age <= 7 * 24 * 3600:
            raise InvalidPolicy("max_age is 1 second to 7 days")
        if not self.kinds:
            raise InvalidPolicy("the policy has no reference values: it would accept nothing")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the fields with reference values."""
        return tuple(
            field.name
            for field in msgspec.structs.fields(type(self))
            if isinstance(getattr(self, field.name), msgspec.Struct)
        )


def encode_policy(policy: AttestationPolicy) -> bytes:
    """The one encoding of a policy: msgpack, structures as arrays of all their fields."""
    return msgspec.msgpack.encode(policy)


def decode_policy(encoded: bytes) -> AttestationPolicy:
    """The policy that has this encoding, and no other.

    Raises :class:`~syft_ext.attestation.references.InvalidPolicy`.
    """
    if len(encoded) > MAX_POLICY_SIZE:
        raise InvalidPolicy(f"a policy has at most {MAX_POLICY_SIZE} bytes")
    try:
        policy = msgspec.msgpack.decode(encoded, type=AttestationPolicy)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise InvalidPolicy(f"this is no attestation policy: {error}") from error
    if encode_policy(policy) != encoded:
        raise InvalidPolicy("this is not the canonical encoding of the policy")
    return policy


def policy_from_json(document: bytes) -> AttestationPolicy:
    """A policy as people write it: the names of the fields, bytes in hexadecimal, defaults may be left out.

    Raises :class:`~syft_ext.attestation.references.InvalidPolicy`.
    """
    if len(document) > MAX_POLICY_SIZE:
        raise InvalidPolicy(f"a policy has at most {MAX_POLICY_SIZE} bytes")
    try:
        said = msgspec.json.decode(document)
        return typing.cast(AttestationPolicy, _from_said(said, AttestationPolicy, "policy"))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidPolicy(f"this is no attestation policy: {error}") from error


def policy_to_json(policy: AttestationPolicy) -> dict[str, Any]:
    """What :func:`policy_from_json` reads, with every field."""
    return typing.cast(dict[str, Any], _to_said(policy))


def _to_said(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(type(value))
        return {field.name: _to_said(getattr(value, field.name)) for field in fields}
    if isinstance(value, bytes):
        return value.hex()
    return [_to_said(item) for item in value] if isinstance(value, tuple) else value


def _from_said(said: Any, wanted: Any, where: str) -> Any:
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (types.UnionType, typing.Union):  # X | None, the only union of policies
        return None if said is None else _from_said(said, parts[0], where)
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return _struct_from_said(said, wanted, where)
    if origin is tuple:
        if not isinstance(said, list):
            raise InvalidPolicy(f"{where}: a list is needed")
        kinds = [parts[0]] * len(said) if parts[-1] is Ellipsis else list(parts)
        if len(kinds) != len(said):
            raise InvalidPolicy(f"{where}: {len(kinds)} values are needed")
        return tuple(_from_said(item, kind, where) for item, kind in zip(said, kinds, strict=True))
    if wanted is bytes:
        try:
            return bytes.fromhex(said.removeprefix("0x"))
        except (AttributeError, ValueError):
            raise InvalidPolicy(f"{where}: bytes are written in hexadecimal") from None
    if type(said) is not wanted:
        raise InvalidPolicy(f"{where}: {wanted.__name__} is needed")
    return said


def _struct_from_said(said: Any, wanted: type[msgspec.Struct], where: str) -> Any:
    if not isinstance(said, dict):
        raise InvalidPolicy(f"{where}: an object is needed")
    fields = {field.name: field for field in msgspec.structs.fields(wanted)}
    if unknown := sorted(set(said) - set(fields)):
        raise InvalidPolicy(f"{where}: there is no {unknown[0][:40]!r}; there are {', '.join(fields)}")
    missing = [name for name, field in fields.items() if field.required and name not in said]
    if missing:
        raise InvalidPolicy(f"{where}: {missing[0]!r} is missing")
    values = {name: _from_said(value, fields[name].type, f"{where}.{name}") for name, value in said.items()}
    return wanted(**values)
