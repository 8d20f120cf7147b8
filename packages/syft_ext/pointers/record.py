"""From an operation of torch to actions of a session.

What comes here are ATen operations, below autograd (:mod:`syft_ext.pointers.routes`). What the op set holds is
recorded; views share their memory (:mod:`syft_ext.pointers.views`); in-place operations become the functional
one and a write; the rest is rewritten by the rules that plans are traced with, each step of which is dispatched
again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch._decomp import decomposition_table

from syft_ext.errors import GridError, TooLarge, Unsupported
from syft_ext.messages.compute import Call, Put
from syft_ext.plans.graph.dtypes import dtype_name
from syft_ext.plans.graph.ops import ALLOWED
from syft_ext.plans.tracing.decompositions import second_pass
from syft_ext.plans.tracing.errors import hint_for_op
from syft_ext.plans.tracing.lower import STORAGE
from syft_ext.pointers.call_sites import call_site, line_at
from syft_ext.pointers.cells import Handle, meta_of
from syft_ext.pointers.dispatch_context import current, depth, factories_at
from syft_ext.pointers.routes import Order, Route, add_choice
from syft_ext.pointers.shapes import results_of
from syft_ext.pointers.tensor import RemoteTensor, wrap
from syft_ext.tensors import raw_bytes

if TYPE_CHECKING:
    from syft_ext.pointers.session import RemoteSession

__all__ = ["Encoded", "bring_along", "call", "encode", "needs_value", "put", "record", "refuse", "session_of"]

_DEEPEST = 24  # rules within rules
_GET = "x.get() brings it here (x.get_copy() leaves it there too); torch.where(condition, a, b) chooses there"
LARGEST = 16 << 20  # bytes of a local operand that are sent along without being asked to


@cache
def _table() -> dict[Any, Callable[..., Any]]:
    return {**decomposition_table, **second_pass()}


# -- the kinds of operations ---------------------------------------------------------------------------


def refuse(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What the op set cannot say."""
    name = str(func)
    if func._schema.is_mutable:
        hint = "an operation that gives a new tensor, x = f(x) for x.f_(), without out="
    else:
        hint = hint_for_op(name)
    raise Unsupported(f"{name} cannot run remotely", op=name).noted(f"Instead: {hint}")


def needs_value(tensor: Any, what: str = "") -> GridError:
    """The error for code that decides on, prints or converts values."""
    line = line_at(call_site())
    name = tensor.location.name if hasattr(tensor, "location") else "another place"
    what = what or "needs the value of a tensor"
    return Unsupported(f"{line} {what} that is at {name}", file=line.file, line=line.number).noted(
        f"Instead: {_GET}"
    )


def _rewrite(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if depth() > _DEEPEST:
        return refuse(func, args, kwargs)  # a rule that leads back to itself
    with factories_at(session_of(args, kwargs)):
        return _table()[func](*args, **kwargs)


def _prim(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    with factories_at(session_of(args, kwargs)):
        return func.impl_aten(*args, **kwargs)


def _compose(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    with factories_at(session_of(args, kwargs)):
        return func.decompose(*args, **kwargs)


def _direct(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return record(func, func, args, kwargs)


def _op_set(func: Any) -> Route | None:
    return _direct if str(func) in ALLOWED else None


def _rewritten(func: Any) -> Route | None:
    return _rewrite if func in _table() else None


def _of_prims(func: Any) -> Route | None:
    return _prim if func.namespace == "prims" else None


def _composed(func: Any) -> Route | None:
    return _compose if func._can_decompose() else None


def _refused(func: Any) -> Route | None:
    return refuse


add_choice(Order.OP_SET, _op_set)
add_choice(Order.REWRITTEN, _rewritten)
add_choice(Order.PRIM, _of_prims)
add_choice(Order.COMPOSED, _composed)
add_choice(Order.REFUSED, _refused)

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
    session: RemoteSession, op: str, args: list[Any], kwargs: dict[str, Any] | None = None, outs: int = 1
) -> list[Handle]:
    """Queue one operation on arguments as they are written in a plan; its results."""
    return session.record(outs, lambda numbers: Call(outs=numbers, op=op, args=args, kwargs=kwargs or {}))


def session_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> RemoteSession:
    """Where the operands are. Raises :class:`GridError` when that is more than one place."""
    found: RemoteSession | None = None
    for argument in (*args, *kwargs.values()):
        for tensor in argument if isinstance(argument, list | tuple) else (argument,):
            if isinstance(tensor, RemoteTensor) and tensor._session is not found:
                if found is not None:
                    raise _apart(found, tensor._session)
                found = tensor._session
    found = found or current()
    assert found is not None, "an operation without a remote operand"
    return found


def _apart(one: RemoteSession, other: RemoteSession) -> GridError:
    names = one.client.name, other.client.name
    if names[0] == names[1]:
        return GridError(f"the operands are in two sessions at {names[0]}: values do not move between them")
    return GridError(
        f"the operands are in two places, {names[0]} and {names[1]}: values do not move between them."
    ).noted("Instead: .get() what may leave, and combine it here")


class Encoded:
    """Arguments twice: as the wire has them, and with :class:`Meta` for tensors."""

    __slots__ = ("_brought", "_kinds", "abstract", "args", "kwargs", "options", "session")

    def __init__(self, session: RemoteSession) -> None:
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
        """One argument, on the wire and as the check sees it; local tensors are sent along.

        Raises :class:`~syft_ext.errors.Unsupported` for what no remote operation takes.
        """
        kind = type(argument)
        if kind is float or kind is int or kind is bool or kind is str or argument is None:
            self._kinds.append(kind)
            return argument, argument
        if isinstance(argument, torch.Tensor):
            if not isinstance(argument, RemoteTensor):
                argument = bring_along(self.session, argument)
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


def encode(session: RemoteSession, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Encoded:
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


# -- local operands -------------------------------------------------------------------------------------


def put(session: RemoteSession, tensor: torch.Tensor) -> RemoteTensor:
    """A copy of ``tensor`` there, as it is now."""
    dtype = dtype_name(tensor.dtype)
    if dtype is None or tensor.layout != torch.strided or tensor.device.type == "meta":
        raise Unsupported(f"a {tensor.layout} tensor of {tensor.dtype} cannot be sent; dense real ones can")
    with torch._C.DisableTorchFunctionSubclass():
        # A copy: the caller may write to the tensor before the queue is sent.
        raw = raw_bytes(tensor.detach().cpu().contiguous().clone())
        meta = meta_of(tensor.detach().contiguous())
        data = memoryview(raw.numpy().data) if raw.numel() else memoryview(b"")
    shape = list(tensor.shape)
    (handle,) = session.record(1, lambda out: Put(out=out[0], dtype=dtype, shape=shape, offset=0), data)
    return wrap(session, handle, meta)


def bring_along(session: RemoteSession, tensor: torch.Tensor) -> RemoteTensor:
    """A local operand of a remote operation, sent along. Raises :class:`GridError` if it should be sent first."""
    if tensor.requires_grad and torch.is_grad_enabled():
        raise GridError(
            f"a tensor that is here and needs a gradient meets values at {session.client.name}."
        ).noted("Instead: send it there first (model.send(data.location)), or use torch.no_grad()")
    size = tensor.numel() * tensor.element_size()
    if size > LARGEST:
        raise TooLarge(
            f"a local tensor of {size / 1e6:,.0f} MB meets values at {session.client.name}.",
            limit=LARGEST,
        ).noted("Instead: send it there once, x = x.send(data.location)")
    return put(session, tensor)
