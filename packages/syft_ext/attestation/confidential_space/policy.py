"""Reference values for Google Confidential Space."""

from __future__ import annotations

import re

import msgspec

from syft_ext.attestation.pins import PinnedKey
from syft_ext.attestation.references import InvalidPolicy, check_some

__all__ = ["IMAGE_DIGEST", "SpaceImage", "SpaceReferences", "SpaceVariable"]

IMAGE_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""How a container's manifest is named."""

_SUPPORT = frozenset({"LATEST", "STABLE", "USABLE", "EXPERIMENTAL"})


class SpaceVariable(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A variable of the container's environment, and its value; None: whatever it is."""

    name: str
    value: str | None = None


class SpaceImage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """A container and how it is started.

    Attributes:
        digest: of its manifest, ``sha256:`` and 64 hexadecimal digits.
        arguments: exactly these.
        environment: exactly these variables.
        overridden: variables that whoever started it may have set; their values stand in ``environment`` too.
    """

    digest: str
    arguments: tuple[str, ...]
    environment: tuple[SpaceVariable, ...]
    overridden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not IMAGE_DIGEST.fullmatch(self.digest):
            raise InvalidPolicy("an image is named sha256: and 64 hexadecimal digits")
        names = [variable.name for variable in self.environment]
        if len(set(names)) != len(names):
            raise InvalidPolicy("environment: a variable is there twice")
        if not set(self.overridden) <= set(names):
            raise InvalidPolicy("overridden: a variable that is not of the environment")


class SpaceReferences(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """What tokens of Confidential Space are accepted.

    Attributes:
        images: containers and how they are started.
        audience: whom the token has to be for.
        hardware: ``hwmodel`` as Google names it. ``GCP_AMD_SEV`` is SEV without protection of integrity: only who
            names it accepts it.
        min_version: of the machine's image, ``swversion``.
        support: ``support_attributes`` that the machine's image must have, all of them.
        tcb_max_age: days since the date of the platform's level, as Google states it for TDX.
        keys: of Google's set, for tokens signed by one; none: only tokens under Google's root are taken.
        projects, service_accounts: on whose behalf it runs; none: anybody's.
        allow_memory_monitoring: whether the operator may watch how much memory it takes.
    """

    images: tuple[SpaceImage, ...]
    audience: str
    hardware: tuple[str, ...] = ("GCP_INTEL_TDX",)
    min_version: int = 0
    support: tuple[str, ...] = ("STABLE",)
    tcb_max_age: int = 540
    keys: tuple[PinnedKey, ...] = ()
    projects: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    allow_memory_monitoring: bool = False

    def __post_init__(self) -> None:
        check_some("images", self.images)
        if not self.audience:
            raise InvalidPolicy("audience: a token is for somebody")
        check_some("hardware", self.hardware)
        check_some("support", self.support)
        if not set(self.support) <= _SUPPORT:
            raise InvalidPolicy(f"support: of {', '.join(sorted(_SUPPORT))}")
        if self.tcb_max_age <= 0 or self.min_version < 0:
            raise InvalidPolicy("tcb_max_age and min_version are not negative")
        if len({key.thumbprint for key in self.keys}) != len(self.keys):
            raise InvalidPolicy("keys: one is there twice")
