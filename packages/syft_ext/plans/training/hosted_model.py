"""A model as its host sends it: the tensors that the training plan takes, and what each of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from syft_ext.plans.checking.influence import Raw
from syft_ext.plans.graph.document import Document, decode
from syft_ext.plans.graph.dtypes import DTYPES, dtype_name
from syft_ext.plans.ir import Plan
from syft_ext.plans.training.agreement import (
    batch_bounds,
    check_configuration,
    check_model,
    takes_buffers,
    training_document,
)
from syft_ext.plans.training.first_step import check_first_step
from syft_ext.plans.training.kinds import kinds_of_model
from syft_ext.plans.training.parameters import named_parameters
from syft_ext.tensors import (
    TensorKind,
    iter_tensors,
    kinds_metadata,
    raw_bytes,
    read_layout,
)

__all__ = ["fixed_rows", "hosted_model"]


def hosted_model(
    model: Any,
    plans: Mapping[str, Plan | bytes],
    config: Mapping[str, Any],
    declared: Mapping[str, TensorKind] | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> list[memoryview]:
    """The pieces of the model's tensor file, once it is proved that the training can begin with it.

    Args:
        model: a module (with its buffers where the training plan takes them), tensors, or a state dict.
        plans: those of the participants, by name.
        config: what participants are told.
        declared: name → kind of a tensor of the model, in so many words.
        say: is told in a line what was taken from names.

    Raises :class:`~syft_ext.errors.InvalidConfig`, :class:`~syft_ext.errors.InvalidPlan` and
    :class:`~syft_ext.errors.InvalidTensors` where they do not fit together, or the first step fails.
    """
    documents = {name: _document(plan) for name, plan in plans.items()}
    check_configuration(documents, config)
    training = training_document(documents)
    tensors = _tensors(model, training[1] if training else None)
    kinds = kinds_of_model(model, tensors, plans.values(), declared, say)
    pieces = list(iter_tensors(tensors, kinds_metadata(kinds) if kinds else None))
    check_model(documents, read_layout(pieces[0]).specs)
    if training is not None:
        name, document = training
        plan = plans[name]
        own = plan if isinstance(plan, Plan) else Plan.loads(plan)
        values = [_raw(tensor) for tensor in tensors.values()]
        check_first_step(name, document, config, values, lambda inputs: _run(own, inputs))
    return pieces


def fixed_rows(plans: Mapping[str, Plan | bytes]) -> int:
    """How many rows the training plan takes in every step; 0 where that varies."""
    training = training_document({name: _document(plan) for name, plan in plans.items()})
    low, high = (training and batch_bounds(training[1])) or (0, 1)
    return low if low == high else 0


def _document(plan: Plan | bytes) -> Document:
    return plan.document if isinstance(plan, Plan) else decode(plan)


def _tensors(model: Any, plan: Document | None) -> dict[str, torch.Tensor]:
    """What of the model is hosted: of a module its parameters; and its buffers, where the plan takes some."""
    tensors = named_parameters(model)
    if plan is not None and takes_buffers(plan) and isinstance(model, torch.nn.Module):
        tensors |= {name: buffer.detach() for name, buffer in model.named_buffers()}
    return tensors


def _run(plan: Plan, inputs: list[Raw]) -> list[Raw]:
    return [_raw(result) for result in plan.run([_tensor(*each) for each in inputs])]


def _raw(tensor: torch.Tensor) -> Raw:
    return dtype_name(tensor.dtype) or "", list(tensor.shape), raw_bytes(tensor.cpu()).numpy()


def _tensor(dtype: str, shape: Any, raw: Any) -> torch.Tensor:
    if not raw.nbytes:
        return torch.zeros(list(shape), dtype=DTYPES[dtype])
    return torch.frombuffer(bytearray(raw.tobytes()), dtype=DTYPES[dtype]).reshape(list(shape))
