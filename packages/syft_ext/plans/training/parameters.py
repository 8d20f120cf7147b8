"""Model parameters as the SDK hands them around: an ordered list of tensors that knows their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from syft_ext.display.table import Table, size
from syft_ext.errors import InvalidTensors
from syft_ext.plans.training.training_plan import StepResult
from syft_ext.tensors import decode_tensors

__all__ = ["Parameters", "named_parameters", "parameter_diff"]


class Parameters(list[torch.Tensor]):
    """The parameters of a model in order: a list of tensors, as plans take it.

    Attributes:
        names: one name per tensor.
        checkpoint: number of the checkpoint they come from; 1 is the model as hosted; None: from nowhere.
        digest: BLAKE3 digest of the checkpoint's file, hex.
    """

    def __init__(
        self,
        tensors: Iterable[torch.Tensor],
        names: Iterable[str] | None = None,
        *,
        checkpoint: int | None = None,
        digest: str = "",
    ) -> None:
        super().__init__(tensors)
        self.names = [str(i) for i in range(len(self))] if names is None else list(names)
        if len(self.names) != len(self):
            raise InvalidTensors(f"{len(self)} tensors, {len(self.names)} names")
        self.checkpoint = checkpoint
        self.digest = digest

    @classmethod
    def loads(
        cls, data: bytes | bytearray | memoryview, *, checkpoint: int | None = None, digest: str = ""
    ) -> Parameters:
        """Read a tensor file; the tensors are views on ``data`` (no copy)."""
        named = decode_tensors(data)
        return cls(named.values(), named, checkpoint=checkpoint, digest=digest)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Name → tensor, in order."""
        return dict(zip(self.names, self, strict=True))

    def load_into(self, module: torch.nn.Module) -> torch.nn.Module:
        """Copy the values into ``module``: by name where the names are the module's, else by order.

        Raises :class:`~syft_ext.errors.InvalidTensors` when they do not fit; nothing is changed then.
        """
        own = module.state_dict(keep_vars=True)
        if set(self.names) <= set(own):
            targets = [own[name] for name in self.names]
        else:
            targets = list(module.parameters())
        _require_same(self.names, targets, self)
        with torch.no_grad():
            for target, value in zip(targets, self, strict=True):
                target.copy_(value)
        return module

    def clone(self) -> Parameters:
        """The same with memory of its own."""
        tensors = (tensor.clone() for tensor in self)
        return Parameters(tensors, self.names, checkpoint=self.checkpoint, digest=self.digest)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self)

    def table(self) -> Table:
        """Names, types and shapes; no numbers."""
        rows = [
            (name, str(tensor.dtype).removeprefix("torch."), "×".join(map(str, tensor.shape)) or "scalar")
            for name, tensor in zip(self.names, self, strict=True)
        ]
        number = f", checkpoint {self.checkpoint}" if self.checkpoint is not None else ""
        title = f"Parameters{number}: {len(self)} tensors, {size(self.nbytes)}"
        return Table(title, ("name", "type", "shape"), rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def named_parameters(model: Any) -> dict[str, torch.Tensor]:
    """The ordered parameters of whatever a user calls a model, detached, by name.

    Args:
        model: a ``torch.nn.Module`` (its parameters, without buffers), a :class:`~syft_ext.plans.Module`,
            :class:`Parameters`, a mapping name → tensor (a state dict), a sequence of tensors, or what a
            step of a :class:`~syft_ext.federated.TrainingPlan` returned.
    """
    if isinstance(model, StepResult):
        model = model.params
    if isinstance(model, Parameters):
        named: dict[str, Any] = model.state_dict()
    elif isinstance(model, Mapping):
        named = dict(model)
    elif hasattr(model, "named_parameters"):
        named = dict(model.named_parameters())
    else:
        values = model.parameters() if hasattr(model, "parameters") else model
        if isinstance(values, torch.Tensor) or not isinstance(values, Iterable):
            raise InvalidTensors(f"not a model or a list of tensors: {type(model).__name__}")
        named = {str(index): value for index, value in enumerate(values)}
    if not named:
        raise InvalidTensors("the model has no parameters")
    for name, value in named.items():
        if not isinstance(value, torch.Tensor):
            raise InvalidTensors(f"parameter {name!r} is not a tensor but {type(value).__name__}")
    return {str(name): value.detach() for name, value in named.items()}


def parameter_diff(base: Parameters, trained: Any) -> dict[str, torch.Tensor]:
    """``base − trained`` by name, as a report carries it (PyGrid: the server subtracts it again).

    Raises :class:`~syft_ext.errors.InvalidTensors` when ``trained`` is not shaped as ``base``.
    """
    named = named_parameters(trained)
    has_names = isinstance(trained, Mapping) or hasattr(trained, "named_parameters")
    if has_names and set(named) == set(base.names):
        named = {name: named[name] for name in base.names}
    values = list(named.values())
    _require_same(base.names, list(base), values)
    diff: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for name, before, after in zip(base.names, base, values, strict=True):
            if before.dtype is torch.bool:
                raise InvalidTensors(f"parameter {name!r}: booleans cannot be averaged")
            diff[name] = torch.sub(before, after.to("cpu"))
    return diff


def _require_same(
    names: Sequence[str], expected: Sequence[torch.Tensor], found: Sequence[torch.Tensor]
) -> None:
    if len(expected) != len(found):
        raise InvalidTensors(f"the model has {len(expected)} tensors, {len(found)} were given")
    for name, left, right in zip(names, expected, found, strict=True):
        if left.shape != right.shape or left.dtype != right.dtype:
            raise InvalidTensors(
                f"parameter {name!r}: {right.dtype} {list(right.shape)} was given, "
                f"the model has {left.dtype} {list(left.shape)}"
            )
