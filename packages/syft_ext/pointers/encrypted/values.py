"""Pointers to encrypted values and public contexts at a Domain, and what is computed with them there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch

from syft_ext.client.objects import Objects
from syft_ext.client.requestable import Requestable
from syft_ext.encrypted.context import EncryptionKeys, PublicContext
from syft_ext.encrypted.forms import Form, Plain, result_form
from syft_ext.encrypted.frames import CONTEXT_KIND
from syft_ext.encrypted.values import Encrypted, encrypted_of
from syft_ext.errors import BadRequest, Conflict, Forbidden, GridError
from syft_ext.messages.compute import Call, ContentLayout, Load, Put
from syft_ext.pointers.cells import Handle
from syft_ext.pointers.location import Location, location_of
from syft_ext.pointers.record import put
from syft_ext.pointers.tensor import RemoteTensor
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.messages.compute import ValueAccess
    from syft_ext.pointers.session import RemoteSession

__all__ = ["ContextPointer", "EncryptedPointer", "load_encrypted", "put_context", "put_encrypted"]


class ContextPointer:
    """A public context at a Domain: values that are encrypted under it can be computed with there.

    Attributes:
        digest: names it; "" where it was loaded, and nobody here has seen it.
    """

    def __init__(self, session: RemoteSession, handle: Handle, digest: str) -> None:
        self._session, self._handle, self.digest = session, handle, digest

    @property
    def location(self) -> Location:
        """Where it is."""
        return location_of(self._session.client, self._session.environment)

    def __repr__(self) -> str:
        return readable(f"<ContextPointer at {self.location.name}, {self.digest[:16]}…>")


class EncryptedPointer(Requestable):
    """An encrypted value at a Domain; ``form`` is known of it here. What is computed from it stays there.

    The second operand of an operation is encrypted, too, or plain: numbers from here, or a remote tensor, of which
    ``bound`` says how large its numbers are at most (if that is not true, the result is a failure that is told
    to whoever may read it).
    """

    def __init__(self, session: RemoteSession, handle: Handle, form: Form, object_id: str = "") -> None:
        self._session, self._handle, self.form, self._object_id = session, handle, form, object_id

    @property
    def location(self) -> Location:
        """Where it is."""
        return location_of(self._session.client, self._session.environment)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the numbers in it."""
        return tuple(self.form.shape)

    # -- computing ----------------------------------------------------------------------------------

    def add(self, other: Any, *, bound: float | None = None) -> EncryptedPointer:
        """The sum."""
        return self._apply("add", other, bound)

    def sub(self, other: Any, *, bound: float | None = None) -> EncryptedPointer:
        """The difference."""
        return self._apply("sub", other, bound)

    def mul(self, other: Any, *, bound: float | None = None) -> EncryptedPointer:
        """The product, number by number."""
        return self._apply("mul", other, bound)

    def dot(self, other: Any, *, bound: float | None = None) -> EncryptedPointer:
        """The inner product of two vectors: one number."""
        return self._apply("dot", other, bound)

    def matmul(self, other: Any, *, bound: float | None = None) -> EncryptedPointer:
        """The product of a vector or tensor with a matrix."""
        return self._apply("matmul", other, bound)

    def __neg__(self) -> EncryptedPointer:
        return self._record("he.neg", result_form("he.neg", self.form, None), [])

    __add__, __radd__, __sub__, __mul__, __rmul__, __matmul__ = add, add, sub, mul, mul, matmul

    def _apply(self, name: str, other: Any, bound: float | None) -> EncryptedPointer:
        if isinstance(other, Encrypted):
            other = put_encrypted(self._session, other)
        if isinstance(other, EncryptedPointer):
            if other._session is not self._session:
                raise GridError("the operands are in two sessions: values do not move between them")
            form = result_form(f"he.{name}", self.form, other.form)
            return self._record(f"he.{name}", form, [["r", other._handle.number]])
        pointer, largest = self._plain(other, bound)
        form = result_form(f"he.{name}_plain", self.form, Plain(tuple(pointer.shape), largest))
        return self._record(f"he.{name}_plain", form, [["r", pointer.cell.now().number], largest])

    def _plain(self, other: Any, bound: float | None) -> tuple[RemoteTensor, float]:
        if isinstance(other, RemoteTensor):
            if other._session is not self._session:
                raise GridError("the operands are in two sessions: values do not move between them")
            if bound is None:
                raise BadRequest(
                    "say how large the numbers of the remote tensor are at most: bound=…", field="bound"
                )
            return other, float(bound)
        numbers = np.asarray(other)
        if numbers.dtype.kind not in "biuf":
            raise BadRequest("only numbers go with encrypted values")
        whole = self.form.set.scheme == "bfv"
        numbers = numbers.astype(np.int64 if whole else np.float64)
        if not numbers.shape:
            numbers = np.full(self.shape, numbers)
        largest = float(np.abs(numbers).max(initial=0)) if bound is None else float(bound)
        return put(self._session, torch.from_numpy(np.ascontiguousarray(numbers))), largest

    def _record(self, operation: str, form: Form, more: list[Any]) -> EncryptedPointer:
        context = self._session.contexts.get(self.form.context)
        if context is None:
            raise Conflict(
                f"send the public context to {self.location.name} first, which {self.form.context[:16]}… names",
                reason="context",
            )
        args = [["r", context.number], ["r", self._handle.number], *more]
        (handle,) = self._session.record(1, lambda outs: Call(outs=outs, op=operation, args=args, kwargs={}))
        return EncryptedPointer(self._session, handle, form)

    # -- bringing it here ---------------------------------------------------------------------------

    def get(self, keys: EncryptionKeys | None = None) -> Any:
        """The encrypted value, from where it is; with ``keys``, its numbers. What was asked for (``request``) and
        allowed since comes from the object that holds it.

        Raises :class:`~syft_ext.errors.Forbidden` where you may not read something that it was computed from, and
        :class:`Conflict` for keys of others.
        """
        value = encrypted_of(self._content())
        if value.form != self.form:
            raise GridError(f"{self.location.name} sent another value than was computed")
        return value if keys is None else value.decrypt(keys)

    def _content(self) -> bytes:
        try:
            (raw,) = self._session.fetch([self._handle])
        except Forbidden as refused:
            if not self._object_id:
                raise
            try:
                return bytes(Objects(self._session.client).describe(self._object_id).get())
            except Forbidden:
                raise refused from None
        return raw.numpy().tobytes()

    def check_access(self) -> ValueAccess:
        """Whether you may fetch the value now, and if not, the objects that stand in the way."""
        return self._session.check([self._handle])

    def keep(self, **fields: Any) -> str:
        """Make it an object of the Domain's store; its id there."""
        self._object_id = self._session.keep([self._handle], None, **fields).id
        return self._object_id

    @property
    def id_at_location(self) -> str:
        """The id of the stored object, or session and number of a value that no object keeps."""
        return self._object_id or f"{self._session.id}/{self._handle.number}"

    def _object_to_request(self, reason: str) -> tuple[Caller, str]:
        if not self._object_id:
            self.keep(description=f"Computed remotely: encrypted, {list(self.shape)}", note=reason)
        return self._session.client, self._object_id

    def __repr__(self) -> str:
        what = f"{self.form.kind}{list(self.shape)}, {self.form.parameters}, |x| ≤ {self.form.bound:g}"
        return readable(f"<EncryptedPointer {what} at {self.location.name}>")


def put_context(session: RemoteSession, context: PublicContext) -> ContextPointer:
    """A public context there; the same one is sent once."""
    handle = session.contexts.get(context.digest)
    if handle is None:
        handle = _put(session, CONTEXT_KIND, context.content)
        session.contexts[context.digest] = handle
    return ContextPointer(session, handle, context.digest)


def put_encrypted(session: RemoteSession, value: Encrypted) -> EncryptedPointer:
    """A value there."""
    return EncryptedPointer(session, _put(session, value.form.kind, value.content), value.form)


def _put(session: RemoteSession, kind: str, content: bytes) -> Handle:
    size = [len(content)]
    (handle,) = session.record(
        1, lambda out: Put(out=out[0], dtype=kind, shape=size, offset=0), memoryview(content)
    )
    return handle


def load_encrypted(session: RemoteSession, layout: ContentLayout) -> ContextPointer | EncryptedPointer:
    """A pointer to an object that holds a value, or a context: which is then there to compute with."""
    (handle,) = session.record(1, lambda out: Load(out=out[0], object_id=layout.object_id))
    if layout.kind == CONTEXT_KIND:
        digest = PublicContext(bytes(Objects(session.client).describe(layout.object_id).get())).digest
        session.contexts[digest] = handle
        return ContextPointer(session, handle, digest)
    form = msgspec.convert(layout.form, Form).check()
    return EncryptedPointer(session, handle, form, layout.object_id)
