"""Which bounds make sense, and what they say in words."""

from __future__ import annotations

from syft_ext.errors import InvalidConfig
from syft_ext.messages.report_metrics import DIGITS
from syft_ext.messages.training_reviews import WorkerBounds

__all__ = ["LARGEST_MULTIPLIER", "SMALLEST_MULTIPLIER", "check_bounds", "describe_bounds"]

#: Noise outside of this hides nothing, or leaves nothing: a mistake, and the grid that it is put on ends there.
SMALLEST_MULTIPLIER, LARGEST_MULTIPLIER = 1e-6, 1e6
_SMALLEST_NORM, _LARGEST_NORM = 1e-30, 1e30


def check_bounds(bounds: WorkerBounds) -> WorkerBounds:
    """``bounds``, if they can be held. Raises :class:`InvalidConfig`, naming the field."""
    clip, noise = bounds.clip_norm, bounds.noise_multiplier
    if clip is not None and not _SMALLEST_NORM <= clip <= _LARGEST_NORM:
        raise InvalidConfig(
            f"clip_norm is {clip}: it is from {_SMALLEST_NORM} to {_LARGEST_NORM}", field="clip_norm"
        )
    if noise is not None and clip is None:
        raise InvalidConfig(
            "noise without a clip_norm hides nothing: any report could be larger than the noise",
            field="noise_multiplier",
        )
    if noise is not None and not SMALLEST_MULTIPLIER <= noise <= LARGEST_MULTIPLIER:
        raise InvalidConfig(
            f"noise_multiplier is {noise}: it is from {SMALLEST_MULTIPLIER} to {LARGEST_MULTIPLIER}",
            field="noise_multiplier",
        )
    for name, smallest in (("min_rows", 1), ("max_samples", 1), ("max_reports", 1)):
        value = getattr(bounds, name)
        if value is not None and value < smallest:
            raise InvalidConfig(f"{name} is {value}: it is at least {smallest}", field=name)
    return bounds


def describe_bounds(bounds: WorkerBounds | None) -> list[str]:
    """What leaves at most, one line each, for the owner who decides."""
    bounds = bounds or WorkerBounds()
    lines = ["tensors of the model's names, shapes and types, all finite; nothing else of the plan's results"]
    if bounds.clip_norm is not None:
        lines.append(
            f"the parameters' difference to the model is scaled down to L2 norm {bounds.clip_norm:g}; whole "
            "numbers, running statistics and frozen tensors stay as they are in the model"
        )
    if bounds.clip_norm is not None and bounds.noise_multiplier is not None:
        deviation = bounds.noise_multiplier * bounds.clip_norm
        cost = 1 / (2 * bounds.noise_multiplier**2)
        total = "" if bounds.max_reports is None else f", of all reports {cost * bounds.max_reports:.3g}"
        lines.append(
            f"each number gets exact Gaussian noise of deviation {deviation:g} (a report costs "
            f"{cost:.3g} zCDP{total}, for all of your rows together); loss and accuracy stay here"
        )
    elif bounds.clip_norm is not None:
        lines.append(f"loss and accuracy, to {DIGITS} significant digits, and at most 10^6")
    else:
        lines.append("loss and accuracy, as the plan states them")
    if bounds.min_rows > 1:
        lines.append(f"nothing, where fewer than {bounds.min_rows} rows were used")
    if bounds.max_samples is not None:
        lines.append(f"the number of samples used, or {bounds.max_samples} where it is more")
    else:
        lines.append("the number of samples used")
    if bounds.max_reports is not None:
        lines.append(f"at most {bounds.max_reports} reports to one training, restarts included")
    return lines
