"""What the site's policy does to a plan's results before they leave, whatever the plan did itself.

All results of a run together are one vector: where the policy demands clipping, its L2 norm is clipped, and
where it demands noise, each number gets exact noise with a standard deviation of noise multiplier times clipping
norm, in whole steps of a grid (:mod:`grid.privacy.mechanisms.discrete_gaussian`): what leaves is a function of
noisy whole numbers, and nothing of a number's last bits is the plan's. Only numbers that noise can be added to may
leave then. The results of any two contents are at most twice the clipping norm apart, so that with the noise
multiplier z a run is (2/z²)-zCDP for all that was put in.

The noise follows from a secret of the node, the plan, what it was given, the rule, and the clipped results
themselves: the mean of many runs is as noisy as one of them. A plan that does not compute the same twice (threads
can change the last bits) gets other noise the second time: the same noise on other numbers would give away their
difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from grid.aggregation.numbers import narrow, wide_dtype, widen
from grid.privacy.mechanisms.registry import ChosenMechanism, demanded_mechanism
from syft_ext.errors import Forbidden
from syft_ext.messages.policy import SitePolicy
from syft_ext.privacy.keys import derive_key

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import Raw

__all__ = ["check_releasable", "release"]

_FLOATS = ("f64", "f32", "f16", "bf16")


def check_releasable(policy: SitePolicy, dtypes: Sequence[str]) -> None:
    """Raise :class:`Forbidden` for results that the policy's clipping and noise cannot be applied to, and
    :class:`Unavailable` while there is nothing here to make its noise."""
    if policy.clip_norm is None:
        return
    demanded_mechanism(policy.clip_norm, policy.noise_multiplier, policy.mechanism)
    for dtype in dtypes:
        if dtype not in _FLOATS:
            raise Forbidden(
                f"the site's policy demands that results are clipped, and {dtype} cannot be: return floats",
                dtype=dtype,
            )


def release(policy: SitePolicy, results: Sequence[Raw], noise_key: bytes) -> list[Raw]:
    """The results as they may leave; ``noise_key``: 32 secret bytes of this plan on these inputs.

    Where there is noise, results that are not finite count as zeros: that they are would be told without any.
    Raises :class:`Forbidden` for results that the policy cannot be applied to.
    """
    if policy.clip_norm is None:
        return list(results)
    check_releasable(policy, [dtype for dtype, _, _ in results])
    mechanism = demanded_mechanism(policy.clip_norm, policy.noise_multiplier, policy.mechanism)
    wide = [widen(raw, dtype.upper()).astype(np.float64) for dtype, _, raw in results]
    if not all(np.isfinite(values).all() for values in wide):
        if policy.noise_multiplier is None:
            raise Forbidden("the site's policy demands that results are clipped, and these are not finite")
        wide = [np.zeros_like(values) for values in wide]
    measured = mechanism.measure(lambda: wide)
    clipped = [mechanism.clip(values, measured) for values in wide]
    noise = mechanism.noise(_key(noise_key, mechanism, results, clipped))
    released: list[Raw] = []
    for values, (dtype, shape, _) in zip(clipped, results, strict=True):
        noise.add(values)
        code = dtype.upper()
        with np.errstate(over="ignore"):
            numbers = narrow(mechanism.restore(values).astype(wide_dtype(code)), code)
        released.append((dtype, shape, np.ascontiguousarray(numbers).view(np.uint8)))
    return released


def _key(
    noise_key: bytes, mechanism: ChosenMechanism, results: Sequence[Raw], clipped: Sequence[NDArray[Any]]
) -> bytes:
    layout = msgspec.json.encode([(dtype, shape) for dtype, shape, _ in results])
    content = blake3()
    for values in clipped:
        content.update(np.ascontiguousarray(values).view(np.uint8).data)
    return derive_key(noise_key, "results of a plan", mechanism.statement(), layout, content.digest())
