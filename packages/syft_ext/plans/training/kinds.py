"""What the tensors of a model are, as whoever hosts it declares: read once, when a training is hosted.

In this order: what is said in so many words; what a module's own classes say; what the training plan's roles say;
what PyTorch's layout of a state dict says. What is left goes by its dtype
(:func:`~syft_ext.tensors.kind_of_dtype`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

import torch
from torch.nn.modules.batchnorm import _NormBase

from syft_ext.errors import InvalidConfig
from syft_ext.plans import Plan
from syft_ext.plans.training.parameters import Parameters
from syft_ext.tensors import DTYPES, TensorKind, can_be, dtype_code, kind_of_dtype

__all__ = ["kinds_of_model"]

#: The running statistics of PyTorch's norms, as they stand together in its state dicts.
_NORM: dict[str, TensorKind] = {
    "running_mean": "statistic",
    "running_var": "variance",
    "num_batches_tracked": "counter",
}


def kinds_of_model(
    model: Any,
    tensors: Mapping[str, torch.Tensor],
    plans: Iterable[Any] = (),
    declared: Mapping[str, TensorKind] | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> dict[str, TensorKind]:
    """Name → kind of those of ``tensors`` that are not what their dtype says.

    Args:
        model: whatever :func:`~syft_ext.plans.training.parameters.named_parameters` takes.
        tensors: those of it that are hosted, by name.
        plans: the training's client plans: one that takes these tensors as parameters and buffers says which is
        which. declared: name → kind in so many words, which outdoes everything else.
        say: is told in a line what was taken from names.

    Raises :class:`InvalidConfig` for a declaration of a tensor that is not there, or that cannot be one.
    """
    kinds = _of_state_dict(model, tensors)
    taken = sorted(kinds)
    kinds |= _of_plans(plans, tensors)
    kinds |= _of_model(model)
    if isinstance(model, Parameters):
        kinds |= model.kinds
    guessed = [name for name in taken if name not in (declared or {})]
    if guessed:
        more = f" and {len(guessed) - 2} more" if len(guessed) > 2 else ""
        say(
            f"{', '.join(guessed[:2])}{more}: taken as running statistics of a norm, by their names in PyTorch's "
            "state dicts; tensor_kinds= says otherwise"
        )
    for name, kind in (declared or {}).items():
        _check(name, kind, tensors)
        kinds[name] = kind
    return {name: kind for name, kind in kinds.items() if name in tensors}


def _check(name: str, kind: TensorKind, tensors: Mapping[str, torch.Tensor]) -> None:
    field = f"tensor_kinds.{name}"
    if name not in tensors:
        raise InvalidConfig(f"tensor_kinds: the model has no tensor {name[:80]!r}", field=field)
    if kind not in get_args(TensorKind):
        known = ", ".join(get_args(TensorKind))
        raise InvalidConfig(f"tensor_kinds: {name[:80]!r} is {kind!r}, which is none of {known}", field=field)
    code = dtype_code(tensors[name].dtype)
    if not can_be(kind, code):
        raise InvalidConfig(
            f"tensor_kinds: {name[:80]!r} of {DTYPES[code][0]} cannot be a {kind}", field=field
        )


def _of_model(model: Any) -> dict[str, TensorKind]:
    """What its classes say: frozen parameters are constants, buffers of norms what these norms keep."""
    if isinstance(model, torch.nn.Module):
        kinds = _of_norms(model)
        named: Mapping[str, Any] = dict(model.named_parameters())
    elif isinstance(model, Mapping):
        kinds, named = {}, model
    elif isinstance(model, Sequence) and not isinstance(model, Parameters):
        kinds, named = {}, {str(index): value for index, value in enumerate(model)}
    else:
        return {}
    frozen = (n for n, p in named.items() if isinstance(p, torch.nn.Parameter) and not p.requires_grad)
    return kinds | {str(name): "constant" for name in frozen}


def _of_norms(module: torch.nn.Module) -> dict[str, TensorKind]:
    kinds: dict[str, TensorKind] = {}
    for prefix, part in module.named_modules():
        own = _NORM if isinstance(part, _NormBase) else {}
        for name, buffer in part.named_buffers(recurse=False):
            kinds[f"{prefix}.{name}" if prefix else name] = own.get(name) or _buffer_kind(buffer)
    return kinds


def _of_plans(plans: Iterable[Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, TensorKind]:
    """Which of the model's tensors a plan that trains takes as buffers: the model is laid out as its parameters
    and buffers, in its order."""
    for plan in plans:
        if not isinstance(plan, Plan) or not plan.outputs_with_role("param"):
            continue
        roles = [item.role for item in plan.inputs if item.role in ("param", "buffer")]
        if len(roles) == len(tensors) and "buffer" in roles:
            return {
                name: _buffer_kind(tensor)
                for (name, tensor), role in zip(tensors.items(), roles, strict=True)
                if role == "buffer"
            }
    return {}


def _buffer_kind(tensor: torch.Tensor) -> TensorKind:
    natural = kind_of_dtype(dtype_code(tensor.dtype))
    return "statistic" if natural == "parameter" else natural


def _of_state_dict(model: Any, tensors: Mapping[str, torch.Tensor]) -> dict[str, TensorKind]:
    """The three that PyTorch's norms keep, where they stand together: two of one shape, and one whole number."""
    if not isinstance(model, Mapping):
        return {}
    kinds: dict[str, TensorKind] = {}
    for name, count in tensors.items():
        prefix, found, _ = name.rpartition("num_batches_tracked")
        mean, variance = tensors.get(f"{prefix}running_mean"), tensors.get(f"{prefix}running_var")
        if found and mean is not None and variance is not None:
            floats = mean.is_floating_point() and variance.is_floating_point()
            if mean.shape == variance.shape and floats and not count.ndim and not count.is_floating_point():
                kinds |= {prefix + each: kind for each, kind in _NORM.items()}
    return kinds
