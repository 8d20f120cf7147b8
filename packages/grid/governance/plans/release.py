"""What the site's policy does to a plan's results before they leave, whatever the plan did itself.

All results of a run together are one vector: where the policy demands clipping, its L2 norm is clipped, and
where it demands noise, each number gets Gaussian noise with a standard deviation of noise multiplier times
clipping norm. Only numbers that noise can be added to may leave then. The noise of a run follows from a secret of
the node, the plan and what it was given: the mean of many runs is as noisy as one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from blake3 import blake3

from grid.aggregation.numbers import narrow, wide_dtype, widen
from grid.privacy.mechanisms.registry import vector_mechanism
from syft_ext.errors import Forbidden
from syft_ext.messages.policy import SitePolicy

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import Raw

__all__ = ["check_releasable", "release"]

_FLOATS = ("f64", "f32", "f16", "bf16")


def check_releasable(policy: SitePolicy, dtypes: Sequence[str]) -> None:
    """Raise :class:`Forbidden` for results that the policy's clipping and noise cannot be applied to."""
    if policy.clip_norm is None:
        return
    for dtype in dtypes:
        if dtype not in _FLOATS:
            raise Forbidden(
                f"the site's policy demands that results are clipped, and {dtype} cannot be: return floats",
                dtype=dtype,
            )


def release(policy: SitePolicy, results: Sequence[Raw], noise_key: bytes) -> list[Raw]:
    """The results as they may leave; ``noise_key``: 32 secret bytes of this plan on these inputs."""
    if policy.clip_norm is None:
        return list(results)
    check_releasable(policy, [dtype for dtype, _, _ in results])
    wide = [widen(raw, dtype.upper()).astype(np.float64) for dtype, _, raw in results]
    if not all(np.isfinite(values).all() for values in wide):
        raise Forbidden("the site's policy demands that results are clipped, and these are not finite")
    mechanism = vector_mechanism(policy.clip_norm, policy.noise_multiplier)
    measured = sum(mechanism.measure(values) for values in wide)
    demanded = f"{policy.clip_norm} {policy.noise_multiplier}".encode()
    key = blake3(demanded, key=noise_key).digest(16)
    noise = mechanism.noise(key)
    released: list[Raw] = []
    for values, (dtype, shape, _) in zip(wide, results, strict=True):
        mechanism.clip(values, measured)
        noise.add(values)
        code = dtype.upper()
        raw = np.ascontiguousarray(narrow(values.astype(wide_dtype(code)), code))
        released.append((dtype, shape, raw.view(np.uint8)))
    return released
