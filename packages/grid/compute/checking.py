"""The check before an operation: what its results will be, from its operands' layouts alone.

Nothing here sees an element, so whatever it refuses may be told to anybody. Results are kept by operation,
layouts and literals: the check of a repeated operation costs one look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from syft_ext.errors import BadRequest, GridError, TooLarge
from syft_ext.plans.checking.validate import check_call
from syft_ext.plans.graph.document import Node
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.graph.ops import result_count
from syft_ext.plans.preconditions.announce import Check, announce
from syft_ext.plans.preconditions.results import TensorType
from syft_ext.plans.preconditions.sizes import extent

__all__ = ["Announced", "AnnouncedResult", "Checker"]

_CAPACITY = 4096
_EVERY_VALUE = 1 << 63


@dataclass(frozen=True, slots=True)
class AnnouncedResult:
    """What one result will be.

    ``shares`` is the place of the operand whose memory it is a view of (earlier results are counted on
    behind the operands), or -1; ``nbytes`` is what its own memory takes.
    """

    layout: TensorType
    shares: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Announced:
    """What an operation will give, and what must hold before it.

    Attributes:
        results: None for a result that the kernel does not compute.
        nbytes: memory of the results.
        scratch: memory that the kernel may take beside them.
        dense: places of operands that are made contiguous before the call.
        checks: rules on the operands' elements, for each call.
    """

    results: tuple[AnnouncedResult | None, ...]
    nbytes: int
    scratch: int = 0
    dense: frozenset[int] = field(default_factory=frozenset)
    checks: tuple[Check, ...] = ()


class Checker:
    """Keeps what it found; shared by the sessions of a process."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._found: dict[Any, Announced] = {}

    def check(
        self, key: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any], operands: Sequence[TensorType]
    ) -> Announced:
        """What the call will give; ``operands`` are the layouts of its references, in their order.

        Raises :class:`BadRequest` or :class:`TooLarge`. ``key`` says everything that the answer depends on.
        """
        found = self._found.get(key)
        if found is None:
            found = self._infer(name, args, kwargs, operands)
            if len(self._found) >= _CAPACITY:
                self._found.clear()
            self._found[key] = found
        return found

    def _infer(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], operands: Sequence[TensorType]
    ) -> Announced:
        try:
            check_call(name, Node(0, list(args), kwargs, result_count(name)), _EVERY_VALUE, {})
            with FakeTensorMode(allow_non_fake_inputs=False):
                return self._run(name, args, kwargs, operands)
        except TooLarge:
            raise
        except GridError as error:
            raise BadRequest(f"{name}: {error.detail}") from None
        except Exception as error:  # whatever a meta kernel raises means: these operands do not fit
            raise BadRequest(
                f"{name}: {str(error).splitlines()[0][:200] if str(error) else error!r}"
            ) from None

    def _run(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], operands: Sequence[TensorType]
    ) -> Announced:
        fakes = [torch.empty_strided(shape, strides, dtype=dtype) for dtype, shape, strides in operands]
        waiting = iter(fakes)
        real = [_fill(argument, waiting) for argument in args]
        named = {key: _fill(argument, waiting) for key, argument in kwargs.items()}
        found = announce(name, real, named)
        if found.flops > self.limits.max_flops:
            raise TooLarge(f"{name}: {found.flops} operations of arithmetic, limit {self.limits.max_flops}")
        places = {tensor.untyped_storage()._cdata: index for index, tensor in enumerate(fakes)}
        results = tuple(
            self._result(name, tensor, places, len(fakes) + index)
            for index, tensor in enumerate(found.results)
        )
        nbytes = sum(each.nbytes for each in results if each is not None)
        return Announced(results, nbytes, found.scratch, frozenset(found.dense), found.checks)

    def _result(
        self, name: str, tensor: torch.Tensor | None, places: dict[int, int], place: int
    ) -> AnnouncedResult | None:
        if tensor is None:
            return None
        numel = extent(tensor.shape)
        if numel > self.limits.max_numel:
            raise TooLarge(f"{name}: a tensor of {numel} elements, limit {self.limits.max_numel}")
        layout = TensorType.of(tensor)
        storage = tensor.untyped_storage()
        shares = places.setdefault(storage._cdata, place)
        return (
            AnnouncedResult(layout, shares, 0)
            if shares != place
            else AnnouncedResult(layout, -1, storage.nbytes())
        )


def _fill(argument: Any, waiting: Iterator[torch.Tensor]) -> Any:
    if type(argument) is not list:
        return argument
    if argument[0] == "r":
        return next(waiting)
    if argument[0] == "l":
        return [_fill(part, waiting) for part in argument[1:]]
    return DTYPES[argument[1]]
