"""The table of routes: what becomes of each operation of torch on remote tensors.

The modules that know (:mod:`~syft_ext.pointers.record`, ``rules``, ``views``, ``inplace``, ``functions``,
``remote_plans``) enter their routes here, and :mod:`~syft_ext.pointers.operations` loads them all. Remote tensors
and everything that calls operations of torch itself ask here, and so need to know none of them. A route may
:func:`dispatch` further operations: that is how one operation is made of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from functools import cache
from typing import Any

__all__ = ["FUNCTIONS", "Order", "Route", "add_choice", "add_functions", "add_routes", "dispatch"]

Route = Callable[[Any, Sequence[Any], Mapping[str, Any]], Any]
"""What handles an ATen operation: called with the operation, its arguments and its keyword arguments."""

Choice = Callable[[Any], Route | None]
"""The route of one kind of operation; None for an operation that is not of this kind."""


class Order(IntEnum):
    """The kinds of operations, in the order in which they are tried for one that has no route of its own."""

    OP_SET = 1
    """What plans can say: recorded as it is."""

    REWRITTEN = 2
    """What torch or the tracer of plans has a rewriting rule for."""

    IN_PLACE = 3
    """What writes to its operands."""

    PRIM = 4
    """What rewriting rules of torch are made of."""

    COMPOSED = 5
    """What torch itself can take apart."""

    REFUSED = 6
    """All else."""


_routes: dict[Any, Route] = {}
_choices: dict[Order, Choice] = {}

FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""Functions and methods that are caught as the user called them, before torch takes them apart."""


def add_routes(routes: Mapping[Any, Route]) -> None:
    """Give operations routes of their own."""
    _add(_routes, routes)


def add_choice(order: Order, choice: Choice) -> None:
    """Say which route operations of this kind take."""
    _add(_choices, {order: choice})


def add_functions(functions: Mapping[Any, Callable[..., Any]]) -> None:
    """Catch these functions: each is called in place of its name with the same arguments."""
    _add(FUNCTIONS, functions)


def _add(table: dict[Any, Any], entries: Mapping[Any, Any]) -> None:
    for key in table.keys() & entries.keys():
        raise ValueError(f"{key} has a route already")
    table.update(entries)
    _route.cache_clear()


def dispatch(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Take the route of one ATen operation. Raises :class:`~syft_ext.errors.GridError` where it cannot run
    remotely."""
    return _route(func)(func, args, kwargs)


@cache
def _route(func: Any) -> Route:
    if len(_choices) < len(Order):
        raise RuntimeError("import syft_ext.pointers.operations before computing with remote tensors")
    route = _routes.get(func)
    if route is None:
        route = next(found for order in Order if (found := _choices[order](func)) is not None)
    return route
