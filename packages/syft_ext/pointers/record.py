"""From an operation of torch to actions of a session.

``dispatch`` gets ATen operations, below autograd. What the op set holds is recorded; views share their memory
(:mod:`syft_ext.pointers.views`); in-place operations become the functional one and a write; the rest is
rewritten by the rules that plans are traced with, each step of which comes here again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch._decomp import decomposition_table

from syft_ext.errors import GridError, Unsupported
from syft_ext.messages.compute import Call
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.plans.graph.ops import ALLOWED
from syft_ext.plans.tracing.decompositions import second_pass
from syft_ext.plans.tracing.errors import hint_for_op
from syft_ext.plans.tracing.lower import STORAGE
from syft_ext.pointers.cells import Handle
from syft_ext.pointers.here import current, depth, here
from syft_ext.pointers.shapes import results_of
from syft_ext.pointers.tensor import RemoteTensor, wrap

if TYPE_CHECKING:
    from syft_ext.pointers.session import Session

__all__ = ["Encoded", "call", "dispatch", "encode", "record", "refuse", "session_of"]

_DEEPEST = 24  # rules within rules
Route = Callable[[Any, Sequence[Any], Mapping[str, Any]], Any]


def dispatch(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Record one ATen operation. Raises :class:`GridError` where it cannot run remotely."""
    return _route(func)(func, args, kwargs)


@cache
def _route(func: Any) -> Route:
    from syft_ext.pointers.inplace import functional, in_place, reshape_in_place
    from syft_ext.pointers.rules import RULES
    from syft_ext.pointers.views import VIEWS, view

    if func in RULES:
        return RULES[func]
    if func in VIEWS:
        return view
    if str(func) in ALLOWED:
        return _direct
    if func in _table():
        return _rewrite
    if torch.Tag.inplace_view in func.tags:
        return reshape_in_place
    if func._schema.is_mutable:
        return in_place if functional(func) is not None else refuse
    if func.namespace == "prims":
        return _prim
    if func._can_decompose():
        return _compose
    return refuse


@cache
def _table() -> dict[Any, Callable[..., Any]]:
    return {**decomposition_table, **second_pass()}


def refuse(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What the op set cannot say."""
    name = str(func)
    if func._schema.is_mutable:
        hint = "an operation that gives a new tensor, x = f(x) for x.f_(), without out="
    else:
        hint = hint_for_op(name)
    raise Unsupported(f"{name} cannot run remotely\n  Instead: {hint}", op=name)


def _rewrite(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if depth() > _DEEPEST:
        return refuse(func, args, kwargs)  # a rule that leads back to itself
    with here(session_of(args, kwargs)):
        return _table()[func](*args, **kwargs)


def _prim(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    with here(session_of(args, kwargs)):
        return func.impl_aten(*args, **kwargs)


def _compose(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    with here(session_of(args, kwargs)):
        return func.decompose(*args, **kwargs)


def _direct(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return record(func, func, args, kwargs)


# -- one action ----------------------------------------------------------------------------------------


def record(op: Any, like: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Record ``op``, an operation of the op set; the results have the form that ``like`` gives them."""
    session = session_of(args, kwargs)
    encoded = encode(session, args, kwargs)
    metas = results_of(like, encoded.key(like), encoded.abstract, encoded.options)
    handles = call(session, str(op), encoded.args, encoded.kwargs, len(op._schema.returns))
    results = [
        None if meta is None else wrap(session, handle, meta)
        for handle, meta in zip(handles, metas, strict=True)
    ]
    return results[0] if len(results) == 1 else tuple(results)


def call(
    session: Session, op: str, args: list[Any], kwargs: dict[str, Any] | None = None, outs: int = 1
) -> list[Handle]:
    """Queue one operation on arguments as they are written in a plan; its results."""
    return session.record(outs, lambda numbers: Call(outs=numbers, op=op, args=args, kwargs=kwargs or {}))


def session_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Session:
    """Where the operands are. Raises :class:`GridError` when that is more than one place."""
    found: Session | None = None
    for argument in (*args, *kwargs.values()):
        for tensor in argument if isinstance(argument, list | tuple) else (argument,):
            if isinstance(tensor, RemoteTensor) and tensor._session is not found:
                if found is not None:
                    raise _apart(found, tensor._session)
                found = tensor._session
    found = found or current()
    assert found is not None, "an operation without a remote operand"
    return found


def _apart(one: Session, other: Session) -> GridError:
    names = one.client.name, other.client.name
    if names[0] == names[1]:
        return GridError(f"the operands are in two sessions at {names[0]}: values do not move between them")
    return GridError(
        f"the operands are in two places, {names[0]} and {names[1]}: values do not move between them.\n"
        "  Instead: .get() what may leave, and combine it here"
    )


class Encoded:
    """Arguments twice: as the wire has them, and with :class:`Meta` for tensors."""

    __slots__ = ("_brought", "_kinds", "abstract", "args", "kwargs", "options", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.args: list[Any] = []
        self.kwargs: dict[str, Any] = {}
        self.abstract: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}
        self._kinds: list[Any] = []
        self._brought: list[RemoteTensor] = []  # alive until the action that reads them is queued

    def key(self, op: Any) -> Any:
        """Names a call for :func:`results_of`; 1, 1.0 and True are three things."""
        return op, self.abstract, tuple(self.options.items()), tuple(self._kinds)

    def add(self, argument: Any) -> tuple[Any, Any]:
        kind = type(argument)
        if kind is float or kind is int or kind is bool or kind is str or argument is None:
            self._kinds.append(kind)
            return argument, argument
        if isinstance(argument, torch.Tensor):
            if not isinstance(argument, RemoteTensor):
                argument = _bring(self.session, argument)
                self._brought.append(argument)
            cell = argument.cell
            return ["r", cell.now().number], cell.meta
        if isinstance(argument, list | tuple):
            parts = [self.add(part) for part in argument]
            return ["l", *(wire for wire, _ in parts)], tuple(abstract for _, abstract in parts)
        if isinstance(argument, torch.dtype):
            return ["d", _dtype(argument)], argument
        if isinstance(argument, torch.device) and argument.type != "cpu":
            raise Unsupported(
                "where it runs is the location's business: leave device out", device=str(argument)
            )
        return None, argument


def encode(session: Session, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Encoded:
    """Arguments for the wire; local tensors among them are sent along."""
    encoded = Encoded(session)
    pairs = [encoded.add(argument) for argument in args]
    encoded.args = [wire for wire, _ in pairs]
    encoded.abstract = tuple(abstract for _, abstract in pairs)
    for name, argument in kwargs.items():
        wire, abstract = encoded.add(argument)
        encoded.options[name] = abstract
        if name not in STORAGE and argument is not None:
            encoded.kwargs[name] = wire
    return encoded


def _dtype(dtype: torch.dtype) -> str:
    name = dtype_name(dtype)
    if name is None:
        raise Unsupported(f"{dtype} cannot be computed with remotely", dtype=str(dtype))
    return name


def _bring(session: Session, tensor: torch.Tensor) -> RemoteTensor:
    from syft_ext.pointers.sending import bring_along

    return bring_along(session, tensor)
