"""What whoever hosts a confidential training declares."""

from __future__ import annotations

import base64
from typing import Any

from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.errors import GridError, InvalidConfig
from syft_ext.federated.sealed.part import SEALED
from syft_ext.identity import Identity

__all__ = ["confidential_config"]


def confidential_config(
    policy: Signed[ConfidentialPolicy] | ConfidentialPolicy | bytes, identity: Identity
) -> dict[str, Any]:
    """The fields of a ``server_config`` that make a training confidential.

    Args:
        policy: signed by its scope's owner; one that is not is signed as ``identity``, if that is its owner.

    Raises :class:`~syft_ext.errors.InvalidConfig` for a policy that is not sound or not its owner's word.
    """
    try:
        if isinstance(policy, ConfidentialPolicy):
            if policy.owner != key_of(identity):
                raise InvalidConfig(
                    "the policy's owner is somebody else: have them sign it", field="confidential"
                )
            policy = Signed.make(policy, identity)
        elif isinstance(policy, bytes | bytearray):
            policy = Signed.decode(bytes(policy))
        policy.open(ConfidentialPolicy, ConfidentialPolicy.decode(policy.body).owner)
    except InvalidConfig:
        raise
    except GridError as error:
        raise InvalidConfig(f"confidential: {error.detail}", field="confidential") from error
    said = base64.b64encode(policy.encode()).decode()
    return {"report_format": SEALED, "weighting": "none", "confidential": {"policy": said}}
