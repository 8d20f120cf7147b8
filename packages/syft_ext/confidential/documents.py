"""A confidential policy as people write it: a document of names and numbers, for the one encoding that is signed.

    scope = "hospitals"
    rounds = 20
    not_after = 2027-06-30T00:00:00Z
    plans = ["9f…"]                       # BLAKE3 of each client plan
    hosts = [{name = "north", key = "…", url = "https://keys.north.example"}, …]
    attestation = {production = true, snp = {…}}
    cohort = {least = 8, most = 64, authorities = ["…"], participations = 20, separation = 1}
    mechanism = {clip_norm = 1.0, grid_bits = 16, noise_multiplier = 0.8, denominator = 8}
    budget = {rho = 16.0, delta = 1e-6}
    windows = {upload = 86400, erase = 172800}

Numbers become whole ones exactly, or are refused; only the clip norm is rounded, down to the grid. Lists whose
order means nothing are put in theirs.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation, localcontext
from fractions import Fraction
from typing import Any

import msgspec

from syft_ext.attestation.policy import encode_policy, policy_from_json, policy_to_json
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.policy import (
    NANO,
    Budget,
    Cohort,
    ConfidentialPolicy,
    Host,
    Mechanism,
    Windows,
)
from syft_ext.errors import GridError, InvalidStatement

__all__ = ["policy_from_document", "policy_to_document", "with_readable_policy"]

_PICO = 10**12


def policy_from_document(values: Mapping[str, Any], owner: bytes) -> ConfidentialPolicy:
    """The policy that a document means, of the scope's ``owner`` (a verify key, 32 bytes).

    Raises :class:`~syft_ext.errors.InvalidStatement`, naming what is wrong.
    """
    left = dict(values)
    try:
        policy = ConfidentialPolicy(
            owner=owner,
            attestation=_attestation(_table(left, "attestation")),
            hosts=_hosts(left.pop("hosts", None)),
            threshold=_whole(left.pop("threshold", len(values.get("hosts") or ())), "threshold"),
            cohort=_cohort(_table(left, "cohort")),
            mechanism=_mechanism(_table(left, "mechanism")),
            budget=_budget(_table(left, "budget"), left.pop("scope", None)),
            plans=tuple(sorted(_keys(left.pop("plans", None), "plans"))),
            rounds=_whole(left.pop("rounds", None), "rounds"),
            windows=_windows(_table(left, "windows")),
            not_after=_moment(left.pop("not_after", None)),
            **{name: left.pop(name) for name in ("dishonest", "suite") if name in left},
        )
        _nothing_left(left, "policy")
        return ConfidentialPolicy.decode(policy.encode())  # whose fields keep their rules
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidStatement(f"this is no policy: {error}") from error


def policy_to_document(policy: ConfidentialPolicy) -> dict[str, Any]:
    """What :func:`policy_from_document` reads, with every field; numbers that are no whole ones as text."""
    mechanism = policy.mechanism
    return {
        "owner": policy.owner.hex(),
        "scope": policy.budget.scope,
        "production": policy.production,
        "rounds": policy.rounds,
        "not_after": datetime.fromtimestamp(policy.not_after, UTC).isoformat().replace("+00:00", "Z"),
        "suite": policy.suite,
        "threshold": policy.threshold,
        "dishonest": policy.dishonest,
        "hosts": [{"name": host.name, "key": host.key.hex(), "url": host.url} for host in policy.hosts],
        "cohort": {
            "least": policy.cohort.least,
            "most": policy.cohort.most,
            "authorities": [key.hex() for key in policy.cohort.authorities],
            "participations": policy.cohort.participations,
            "separation": policy.cohort.separation,
        },
        "mechanism": {
            "clip_norm": _text(Fraction(mechanism.clip, 1 << mechanism.grid_bits)),
            "grid_bits": mechanism.grid_bits,
            "noise_multiplier": _text(Fraction(mechanism.noise_multiplier, NANO)),
            "denominator": mechanism.denominator,
        },
        "budget": {
            "rho": _text(Fraction(policy.budget.rho, NANO)),
            "delta": _text(Fraction(policy.budget.delta, _PICO)),
        },
        "windows": {"upload": policy.windows.upload, "erase": policy.windows.erase},
        "plans": [digest.hex() for digest in policy.plans],
        "attestation": policy_to_json(policy.evidence),
    }


def with_readable_policy(server_config: Mapping[str, Any]) -> dict[str, Any]:
    """A training's configuration for people: instead of the encoded policy of a confidential one, what it says,
    with its digest. What cannot be read stays as it is: nobody is told that it is something else."""
    said = server_config.get("confidential")
    encoded = said.get("policy") if isinstance(said, Mapping) else None
    if not isinstance(encoded, str):
        return dict(server_config)
    try:
        signed: Signed[ConfidentialPolicy] = Signed.decode(base64.b64decode(encoded, validate=True))
        policy = signed.open(ConfidentialPolicy, ConfidentialPolicy.decode(signed.body).owner)
    except (GridError, ValueError):
        return dict(server_config)
    return {
        **server_config,
        "confidential": {"digest": policy.digest().hex(), **policy_to_document(policy)},
    }


def _table(left: dict[str, Any], name: str) -> dict[str, Any]:
    found = left.pop(name, None)
    if not isinstance(found, Mapping):
        raise InvalidStatement(f"{name}: a table is needed")
    return dict(found)


def _attestation(table: dict[str, Any]) -> bytes:
    try:
        return encode_policy(policy_from_json(json.dumps(table).encode()))
    except (GridError, TypeError) as error:
        raise InvalidStatement(f"attestation: {error}") from error


def _hosts(found: Any) -> tuple[Host, ...]:
    if not isinstance(found, list):
        raise InvalidStatement("hosts: a list is needed")
    hosts = []
    for each in found:
        table = dict(each) if isinstance(each, Mapping) else {}
        host = Host(
            key=_key(table.pop("key", None), "hosts.key"),
            name=_words(table.pop("name", None), "hosts.name"),
            url=_words(table.pop("url", None), "hosts.url"),
        )
        _nothing_left(table, "hosts")
        hosts.append(host)
    return tuple(sorted(hosts, key=lambda host: host.key))


def _cohort(table: dict[str, Any]) -> Cohort:
    cohort = Cohort(
        least=_whole(table.pop("least", None), "cohort.least"),
        most=_whole(table.pop("most", None), "cohort.most"),
        authorities=tuple(sorted(_keys(table.pop("authorities", None), "cohort.authorities"))),
        participations=_whole(table.pop("participations", None), "cohort.participations"),
        separation=_whole(table.pop("separation", 1), "cohort.separation"),
    )
    _nothing_left(table, "cohort")
    return cohort


def _mechanism(table: dict[str, Any]) -> Mechanism:
    bits = _whole(table.pop("grid_bits", None), "mechanism.grid_bits")
    if not 0 <= bits <= 64:
        raise InvalidStatement("mechanism.grid_bits: 0 to 64")
    clip = _number(table.pop("clip_norm", None), "mechanism.clip_norm") * (1 << bits)
    mechanism = Mechanism(
        clip=int(clip),  # down: nobody's update may be larger than was said
        grid_bits=bits,
        noise_multiplier=_exactly(table.pop("noise_multiplier", None), NANO, "mechanism.noise_multiplier"),
        denominator=_whole(table.pop("denominator", None), "mechanism.denominator"),
    )
    _nothing_left(table, "mechanism")
    return mechanism


def _budget(table: dict[str, Any], scope: Any) -> Budget:
    budget = Budget(
        scope=_words(scope, "scope"),
        rho=_exactly(table.pop("rho", None), NANO, "budget.rho"),
        delta=_exactly(table.pop("delta", None), _PICO, "budget.delta"),
    )
    _nothing_left(table, "budget")
    return budget


def _windows(table: dict[str, Any]) -> Windows:
    windows = Windows(
        upload=_whole(table.pop("upload", None), "windows.upload"),
        erase=_whole(table.pop("erase", None), "windows.erase"),
    )
    _nothing_left(table, "windows")
    return windows


def _moment(value: Any) -> int:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidStatement("not_after: say which time zone (Z)")
        return int(value.timestamp())
    return _whole(value, "not_after")


def _number(value: Any, name: str) -> Fraction:
    """A number as it is written: 0.1 is a tenth, not the double that is next to it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidStatement(f"{name}: a number is needed")
    try:
        return Fraction(Decimal(str(value)))
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise InvalidStatement(f"{name}: a number is needed") from error


def _exactly(value: Any, scale: int, name: str) -> int:
    number = _number(value, name) * scale
    if number.denominator != 1:
        raise InvalidStatement(f"{name}: no more digits than 1/{scale} are kept")
    return number.numerator


def _whole(value: Any, name: str) -> int:
    if type(value) is not int:
        raise InvalidStatement(f"{name}: a whole number is needed")
    return value


def _words(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidStatement(f"{name}: text is needed")
    return value


def _keys(value: Any, name: str) -> list[bytes]:
    if not isinstance(value, list):
        raise InvalidStatement(f"{name}: a list is needed")
    return [_key(each, name) for each in value]


def _key(value: Any, name: str) -> bytes:
    try:
        key = bytes.fromhex(value)
    except (TypeError, ValueError) as error:
        raise InvalidStatement(f"{name}: 64 hex digits are needed") from error
    if len(key) != 32:
        raise InvalidStatement(f"{name}: 64 hex digits are needed")
    return key


def _text(value: Fraction) -> str | int:
    """Exactly: all our scales divide a power of ten."""
    if value.denominator == 1:
        return value.numerator
    with localcontext(prec=100):  # 2^-64 has 64 digits
        return format(Decimal(value.numerator) / Decimal(value.denominator), "f")


def _nothing_left(left: Mapping[str, Any], where: str) -> None:
    if left:
        raise InvalidStatement(f"{where}: there is no {msgspec.to_builtins(next(iter(left)))!r}")
