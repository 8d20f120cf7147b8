"""Which parent an AWS Nitro enclave may run on, as its registers say it: reference values for a policy.

    PCR3 = SHA-384(48 zero bytes ‖ ARN of the parent's role)
    PCR4 = SHA-384(48 zero bytes ‖ id of the parent's instance)

Source: AWS, "Cryptographic attestation". PCR4 is held against recorded documents, which name their instance. Of
PCR0 to PCR2, which measure the image, nothing is computed here: which bytes of an image file go into them, in
which order, is for ``nitro-cli describe-eif`` to say, and no published image is at hand on which another answer
could be tried.
"""

from __future__ import annotations

import hashlib

__all__ = ["parent_register"]


def parent_register(name: str) -> bytes:
    """The register (48 bytes) of a parent's role (its ARN: PCR3) or instance (its id: PCR4)."""
    return hashlib.sha384(bytes(48) + name.encode()).digest()
