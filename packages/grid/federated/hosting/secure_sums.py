"""``server_config["secure_aggregation"]``: what a host states of it, and the rules that follow for each
participant."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.errors import InvalidConfig
from syft_ext.secure_aggregation.rules import FEWEST, MOST, SumRules

__all__ = ["SECURE_SUM", "SecureSums", "rules_of"]

SECURE_SUM = "secure_aggregation"
"""The report format of these trainings."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]


class SecureSums(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Domain is to see the sum of a cycle's reports, and none of them; see :class:`SumRules` for the
    fields. What is left out is chosen so that as many participants as can be may be dishonest. The number of
    participants is the cycle's goal (``max_diffs``); ``min_diffs`` raises the ``minimum``."""

    clip: Annotated[float, msgspec.Meta(gt=0, le=1e30)]
    threshold: _Count | None = None
    minimum: _Count | None = None
    corrupt: _Count | None = None
    bits: Literal[32, 64] | None = None
    max_weight: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | None = None
    noise: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
    authority: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")] = ""
    phase_seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 30.0


_LEAST_WEIGHT = 10_000
"""Samples that one participant may weigh, where the host does not say: as the site's policy by default."""


def rules_of(asked: SecureSums, goal: int | None, min_diffs: int | None, *, weighted: bool) -> SumRules:
    """The rules, checked. Raises :class:`InvalidConfig` naming the field.

    Args:
        goal: how many reports close a cycle. min_diffs: how many it needs. weighted: by samples.
    """
    if goal is None or not FEWEST <= goal <= MOST:
        raise InvalidConfig(
            f"server_config: secure sums are of {FEWEST} to {MOST} participants - at `$.max_diffs`",
            field="max_diffs",
        )
    threshold = asked.threshold if asked.threshold is not None else -(-2 * goal // 3)
    minimum = asked.minimum if asked.minimum is not None else max(threshold, min_diffs or 0)
    if min_diffs is not None and min_diffs > minimum:
        raise InvalidConfig(
            f"server_config: min_diffs {min_diffs} is above the minimum {minimum} - at `$.min_diffs`",
            field="min_diffs",
        )
    most = asked.max_weight if asked.max_weight is not None else _LEAST_WEIGHT if weighted else 1
    if not weighted and most != 1:
        raise InvalidConfig(
            'server_config: weights are for weighting "samples" - at `$.secure_aggregation.max_weight`',
            field="secure_aggregation.max_weight",
        )
    rules = SumRules(
        participants=goal,
        threshold=threshold,
        minimum=minimum,
        corrupt=asked.corrupt
        if asked.corrupt is not None
        else max(0, min(2 * threshold - goal - 1, minimum - 2)),
        clip=asked.clip,
        bits=asked.bits or 32,
        max_weight=most,
        noise=asked.noise,
        authority=asked.authority,
        phase_seconds=asked.phase_seconds,
    )
    if asked.bits is None and not rules.fits:
        rules = msgspec.structs.replace(rules, bits=64)
    rules.check()
    return rules
