"""The form in which an operation's preconditions are declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from syft_ext.errors import InvalidPlan
from syft_ext.plans.preconditions.values import ValueRule

__all__ = ["NOTHING", "Bounds", "Demand", "Preconditions", "require"]

Demand: TypeAlias = tuple[ValueRule, Sequence[torch.Tensor]]
"""A rule on values, and the operands that it looks at."""
Bounds: TypeAlias = tuple[int, int]
"""Every element is in [first, second)."""


def require(condition: object, what: str) -> None:
    """Raise :class:`InvalidPlan` with the text ``what`` unless ``condition`` holds."""
    if not condition:
        raise InvalidPlan(what)


def _no_demands(*_: Any) -> Iterable[Demand]:
    return ()


def _none_omitted(*_: Any) -> Iterable[int]:
    return ()


def _no_bounds(*_: Any) -> Mapping[int, Bounds]:
    return {}


def _no_form(*_: Any) -> None:
    return None


def _nothing_more(*_: Any) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What one operation requires of its operands.

    All functions take the operation's arguments in the order of its schema, defaults filled in, with fake
    tensors for tensors: they see dtypes, shapes and strides. They are asked once for each binding of sizes.

    Attributes:
        form: raises :class:`InvalidPlan` for operands that the kernel must not see. What it returns, if
            anything, is the shape that the first result must have.
        values: the demands on elements, which are looked at before each call of the kernel.
        dense: parameters whose tensors the kernel reads as if they were contiguous; they are made so before it.
        omitted: places of results that the kernel leaves out though its meta implementation gives them.
        bounds: of the elements of results, by the place of the result, whatever the operands hold: places that a
            kernel found need no look when they are used as an index.
        work: operations of arithmetic beyond the elements read and written; added to those.
        scratch: bytes that the kernel takes for itself beyond its results and copies of its operands.
    """

    form: Callable[..., tuple[int, ...] | None] = _no_form
    values: Callable[..., Iterable[Demand]] = _no_demands
    dense: tuple[str, ...] = ()
    omitted: Callable[..., Iterable[int]] = _none_omitted
    bounds: Callable[..., Mapping[int, Bounds]] = _no_bounds
    work: Callable[..., int] = _nothing_more
    scratch: Callable[..., int] = _nothing_more


NOTHING = Preconditions()
"""Declared, and nothing to require: the kernel checks shapes, follows strides, and trusts no element."""
