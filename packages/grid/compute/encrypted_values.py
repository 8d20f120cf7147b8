"""Encrypted values of a session, and operations on them. Used in host processes only: strangers'
ciphertexts reach the
library here, behind everything that the process has given up, and nowhere else at a Domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from grid.compute.values import OVERHEAD, Opaque, Poison, SessionMemory, Storage, Value
from syft_ext.encrypted.forms import OPERATIONS, Form, Plain, result_form
from syft_ext.encrypted.frames import (
    CONTEXT_KIND,
    LONGEST_HEAD,
    ciphertexts,
    digest_of_context,
    frame,
    read_context,
    read_form,
)
from syft_ext.encrypted.kernel import Ciphertexts, Kernel, library
from syft_ext.errors import BadRequest, Conflict, GridError
from syft_ext.messages.compute import Call

__all__ = ["EncryptedValue", "HostedContext", "Operands", "opened", "operands_of", "pieces_of"]

_SCRATCH = 4
"""Ciphertexts of a result that an operation may need beside it."""


@dataclass(slots=True)
class HostedContext(Opaque):
    """A public context. ``kernel``: None where the library refuses it; ``failure`` says why."""

    digest: str = ""
    kernel: Kernel | None = None


@dataclass(slots=True)
class EncryptedValue(Opaque):
    """``ciphertexts``: as they were written, or as the library holds them; None for what failed."""

    form: Form | None = None
    written: bytes = b""
    ciphertexts: Ciphertexts | None = None
    kernel: Kernel | None = None

    def held(self, kernel: Kernel) -> Ciphertexts:
        """As the library holds them. Raises what it refuses them with."""
        assert self.form is not None
        if self.ciphertexts is None:
            self.ciphertexts = kernel.read(self.form, ciphertexts(self.form, memoryview(self.written)))
            self.written, self.kernel = b"", kernel
        return self.ciphertexts


def opened(raw: bytes, kind: str, label: int) -> Opaque:
    """What came as bytes of this kind. Raises :class:`GridError` for what is not even of its form; what
    the library says of it is a failure of the value."""
    if kind == CONTEXT_KIND:
        found, message = read_context(raw)
        context = HostedContext(kind, [len(raw)], Storage(2 * len(raw)), label, digest=digest_of_context(raw))
        library()  # that it is not installed depends on nothing
        try:
            context.kernel = Kernel(found, message)
        except GridError as error:
            context.failure = error.detail
        return context
    form, offset = read_form(raw[:LONGEST_HEAD], len(raw))
    if form.kind != kind:
        raise BadRequest(f"the content is of kind {form.kind}")
    return EncryptedValue(
        kind, list(form.shape), Storage(form.nbytes), label, form=form, written=raw[offset:]
    )


@dataclass(frozen=True, slots=True)
class Operands:
    """Of one operation: the context, the values, and the bound that is stated of a plain one."""

    operation: str
    context: HostedContext
    left: EncryptedValue
    right: EncryptedValue | Value | None
    bound: float

    @property
    def label(self) -> int:
        """Which sources the result has: those of all operands."""
        return self.context.label | self.left.label | (0 if self.right is None else self.right.label)

    def apply(self, memory: SessionMemory) -> EncryptedValue:
        """The result. Raises :class:`GridError` for what depends on forms; what depends on numbers is its
        failure."""
        left, right = self.left, self.right
        assert left.form is not None
        if left.form.context != self.context.digest:
            raise Conflict(
                "the value is encrypted under another key than this context's", reason="foreign-key"
            )
        other: Form | Plain | None = None
        if isinstance(right, EncryptedValue):
            other = right.form
        elif right is not None:
            other = Plain(tuple(right.layout.shape), self.bound)
            whole = not (right.layout.dtype.is_floating_point or right.layout.dtype.is_complex)
            if right.layout.dtype.is_complex or (left.form.set.scheme == "bfv" and not whole):
                raise BadRequest("a plain operand is real, and whole beside encrypted whole numbers")
        form = result_form(self.operation, left.form, other)
        memory.check((1 + _SCRATCH) * form.nbytes + OVERHEAD)
        result = EncryptedValue(left.kind, list(form.shape), Storage(form.nbytes), self.label, form=form)
        result.failure = self.context.failure or left.failure or ("" if right is None else right.failure)
        if not result.failure:
            try:
                result.ciphertexts = self._compute(result, left, right)
            except Exception as error:  # the forms fitted, so it is the numbers or the bytes that do not
                detail = error.detail if isinstance(error, GridError) else f"{type(error).__name__}: {error}"
                result.failure = f"{self.operation}: {detail[:200]}"
        return result

    def _compute(
        self, result: EncryptedValue, left: EncryptedValue, right: EncryptedValue | Value | None
    ) -> Ciphertexts:
        kernel = self.context.kernel
        assert kernel is not None
        result.kernel = kernel
        one = left.held(kernel)
        if isinstance(right, EncryptedValue):
            return kernel.apply(self.operation, one, right.held(kernel), 0.0)
        if right is None:
            return kernel.apply(self.operation, one, None, 0.0)
        dtype = torch.float64 if kernel.set.scheme == "ckks" else torch.int64
        numbers: np.ndarray[Any, Any] = right.tensor.detach().to(dtype).contiguous().numpy()
        return kernel.apply(self.operation, one, numbers, self.bound)


def operands_of(call: Call, held: Mapping[int, Value | Opaque | Poison]) -> Operands:
    """The operands of an operation ``he.…``: a context, a value, the second operand, the bound of a plain one.

    Raises :class:`BadRequest` for others, and :class:`KeyError` with the number of one that is not there.
    """
    if call.op not in OPERATIONS or call.kwargs or len(call.outs) != 1:
        raise BadRequest(f"{call.op[:40]!r} is no operation on encrypted values, or has other operands")
    count = 2 if call.op == "he.neg" else 3
    plain = call.op.endswith("_plain")
    if len(call.args) != count + plain:
        raise BadRequest(f"{call.op} has {count + plain} operands")
    bound = call.args[-1] if plain else 0.0
    if type(bound) not in (int, float):
        raise BadRequest(f"{call.op}: say how large the numbers of the plain operand are at most")
    found: list[Value | Opaque] = []
    for argument in call.args[:count]:
        if type(argument) is not list or len(argument) != 2 or argument[0] != "r":
            raise BadRequest(f"{call.op}: its operands are values")
        value = held.get(argument[1])
        if value is None or isinstance(value, Poison):
            raise KeyError(argument[1])
        found.append(value)
    context, left, right = found[0], found[1], found[2] if count == 3 else None
    if not isinstance(context, HostedContext) or not isinstance(left, EncryptedValue):
        raise BadRequest(f"{call.op}: first a context, then a value that is encrypted under it")
    if right is not None and not isinstance(right, Value if plain else EncryptedValue):
        raise BadRequest(f"{call.op}: the second operand is {'a tensor' if plain else 'encrypted'}")
    assert right is None or isinstance(right, Value | EncryptedValue)
    return Operands(call.op, context, left, right, float(bound))


def pieces_of(value: Opaque) -> bytes:
    """The frame of a value; of one that failed, places that hold nothing, as large as if it had not."""
    if not isinstance(value, EncryptedValue) or value.form is None:
        raise BadRequest("a context is not fetched or kept: whoever sent it has it")
    if value.failure:
        return b"".join(frame(value.form, [b""] * value.form.ciphertexts))
    if value.ciphertexts is None:
        return b"".join([*frame(value.form, []), value.written])
    assert value.kernel is not None
    return b"".join(frame(value.form, value.kernel.write(value.ciphertexts)))
