"""The policy of a confidential training as its configuration holds it, and what a training must be to go by it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache

from grid.federated.averaging.strategies import installed_strategy
from grid.federated.hosting.config import ServerConfig
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.errors import BadSignature, InvalidConfig, InvalidStatement

__all__ = ["check_training", "open_policy", "policy_of", "signed_policy_of"]

Policy = tuple[Signed[ConfidentialPolicy], ConfidentialPolicy]


def open_policy(data: bytes) -> Policy:
    """The policy in these canonical bytes, which its own owner signed; whose word that is, others know.

    Raises :class:`InvalidStatement` or :class:`BadSignature`.
    """
    signed: Signed[ConfidentialPolicy] = Signed.decode(data)
    return signed, signed.open(ConfidentialPolicy, ConfidentialPolicy.decode(signed.body).owner)


@lru_cache(maxsize=64)
def _read(text: str) -> Policy:
    try:
        return open_policy(base64.b64decode(text, validate=True))
    except (InvalidStatement, BadSignature, binascii.Error, ValueError) as error:
        raise InvalidConfig(
            f"server_config: this is no signed policy: {error} - at `$.confidential.policy`",
            field="confidential.policy",
        ) from error


def signed_policy_of(server: ServerConfig) -> Policy:
    """The policy of a confidential training, as its owner signed it. Raises :class:`InvalidConfig`."""
    assert server.confidential is not None
    return _read(server.confidential.policy)


def policy_of(server: ServerConfig) -> ConfidentialPolicy:
    """The policy of a confidential training. Raises :class:`InvalidConfig`."""
    return signed_policy_of(server)[1]


def check_training(server: ServerConfig, plans: Mapping[str, str], domain: bytes, now: float) -> None:
    """Raise :class:`InvalidConfig`, naming the field, for a training that could have no round under its policy.

    Args:
        plans: digests of its client plans, by name.
        domain: this Domain's key. now: seconds since the epoch.
    """
    policy = policy_of(server)
    try:
        policy.check_domain(domain)
    except InvalidStatement as error:
        raise _refuse("confidential.policy", error.detail) from error
    if policy.not_after <= now:
        raise _refuse("confidential.policy", "no round begins under this policy any more: its time is over")
    for name, digest in plans.items():
        if bytes.fromhex(digest) not in policy.plans:
            raise _refuse(
                "confidential.policy", f"the policy does not name the plan {name[:80]!r} ({digest})"
            )
    cohort = policy.cohort
    if server.cap > cohort.most:
        raise _refuse("max_workers", f"{server.cap} in a cycle, and the policy takes at most {cohort.most}")
    if (server.min_diffs or 1) < cohort.least:
        raise _refuse("min_diffs", f"the policy demands at least {cohort.least} reports of each round")
    if server.goal is not None and server.goal < cohort.least:
        raise _refuse("max_diffs", f"the policy demands at least {cohort.least} reports of each round")
    if server.num_cycles > policy.rounds:
        raise _refuse("num_cycles", f"the policy is for {policy.rounds} rounds")
    name = server.strategy.name
    if not installed_strategy(name).under_policy:
        raise _refuse("aggregator", f"only the sum of reports comes back, and {name} needs more than that")


def _refuse(field: str, reason: str) -> InvalidConfig:
    return InvalidConfig(f"server_config: {reason} - at `$.{field}`", field=field)
