"""Model parameters as the SDK hands them around: an ordered list of tensors that knows their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from syft_ext.display.table import Table, size
from syft_ext.errors import InvalidTensors
from syft_ext.plans.training.training_plan import StepResult
from syft_ext.tensors import TensorKind, decode_tensors, dtype_code, kind_of_dtype, read_layout

__all__ = ["Difference", "Parameters", "named_parameters", "parameter_diff", "parameter_pairs"]


class Parameters(list[torch.Tensor]):
    """The parameters of a model in order: a list of tensors, as plans take it.

    Attributes:
        names: one name per tensor.
        checkpoint: number of the checkpoint they come from; 1 is the model as hosted; None: from nowhere.
        digest: BLAKE3 digest of the checkpoint's file, hex.
        kinds: name → what the tensor is, of a model that a file declares.
        receipt_of: gets the :attr:`receipt`; None where there is none.
    """

    receipt_of: Callable[[], Any] | None = None

    def __init__(
        self,
        tensors: Iterable[torch.Tensor],
        names: Iterable[str] | None = None,
        *,
        checkpoint: int | None = None,
        digest: str = "",
        kinds: Mapping[str, TensorKind] | None = None,
    ) -> None:
        super().__init__(tensors)
        self.names = [str(i) for i in range(len(self))] if names is None else list(names)
        if len(self.names) != len(self):
            raise InvalidTensors(f"{len(self)} tensors, {len(self.names)} names")
        self.checkpoint = checkpoint
        self.digest = digest
        self.kinds: dict[str, TensorKind] = dict(kinds or {})

    def kind(self, name: str, tensor: torch.Tensor) -> TensorKind:
        """What the tensor is: as declared, else as its dtype says (:data:`~syft_ext.tensors.TensorKind`)."""
        return self.kinds.get(name) or kind_of_dtype(dtype_code(tensor.dtype))

    @classmethod
    def loads(
        cls, data: bytes | bytearray | memoryview, *, checkpoint: int | None = None, digest: str = ""
    ) -> Parameters:
        """Read a tensor file; the tensors are views on ``data`` (no copy)."""
        named = decode_tensors(data)
        kinds = {spec.name: spec.kind for spec in read_layout(data).specs}
        return cls(named.values(), named, checkpoint=checkpoint, digest=digest, kinds=kinds)

    @property
    def receipt(self) -> Any:
        """What was done for this checkpoint of a confidential training
        (:class:`~syft_ext.confidential.checkpoint.CheckpointReceipt`), fetched and verified now; None of other
        models."""
        return None if self.receipt_of is None else self.receipt_of()

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
        return Parameters(
            tensors, self.names, checkpoint=self.checkpoint, digest=self.digest, kinds=self.kinds
        )

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


class Difference(dict[str, torch.Tensor]):
    """``base − trained`` by name, in the order of the model: what a report carries, where it was made already."""


def parameter_pairs(base: Parameters, trained: Any) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Name → the model's tensor and the trained one, both on the CPU, in the order of the model.

    Raises :class:`~syft_ext.errors.InvalidTensors` when ``trained`` is not shaped as ``base``.
    """
    named = named_parameters(trained)
    if isinstance(trained, torch.nn.Module) and set(named) < set(base.names):
        named |= {name: buffer.detach() for name, buffer in trained.named_buffers() if name in base.names}
    has_names = isinstance(trained, Mapping) or hasattr(trained, "named_parameters")
    if has_names and set(named) == set(base.names):
        named = {name: named[name] for name in base.names}
    elif has_names and set(named) & set(base.names):
        # Some are called as in the model, so that the others are not those that stand at their places.
        strange, lacking = sorted(set(named) - set(base.names)), sorted(set(base.names) - set(named))
        raise InvalidTensors(
            f"of the model's tensors, {', '.join(map(repr, lacking[:5])) or 'none'} are not given; given are"
            f" beside them {', '.join(map(repr, strange[:5])) or 'none'}: give what the model has, by its names"
        )
    values = list(named.values())
    _require_same(base.names, list(base), values)
    for name, before, after in zip(base.names, base, values, strict=True):
        if before.dtype is torch.bool and not torch.equal(before, after.to(before.device)):
            raise InvalidTensors(f"parameter {name!r}: booleans cannot be averaged, and these have changed")
    return {
        name: (before.detach(), after.to("cpu"))
        for name, before, after in zip(base.names, base, values, strict=True)
    }


def parameter_diff(base: Parameters, trained: Any) -> Difference:
    """``base − trained`` by name, as a report carries it (PyGrid: the server subtracts it again).

    Args:
        trained: the trained parameters, or the difference itself, which is given back.

    Raises :class:`~syft_ext.errors.InvalidTensors` when ``trained`` is not shaped as ``base``.
    """
    if isinstance(trained, Difference):
        _require_same(base.names, list(base), list(trained.values()))
        return trained
    return Difference(
        {
            name: torch.zeros_like(before) if base.kind(name, before) == "constant" else before - after
            for name, (before, after) in parameter_pairs(base, trained).items()
        }
    )


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
