"""What is summed of a model where nobody sees a single report: its parameters, flat."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from syft_ext.plans.training.parameters import Parameters, parameter_diff

__all__ = ["flat_parameters"]


def flat_parameters(base: Parameters, trained: Any) -> list[NDArray[Any]]:
    """The differences of the model's parameters, base minus trained, in the order in which they lie in its
    file."""
    difference, found = parameter_diff(base, trained), []
    for name, before in zip(base.names, base, strict=True):
        if base.kind(name, before) == "parameter":
            values = difference[name].detach().reshape(-1)
            wide = values.dtype in (torch.float32, torch.float64)
            found.append(np.asarray((values if wide else values.float()).numpy()))
    return found
