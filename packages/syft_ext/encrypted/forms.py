"""What is known of an encrypted value without a key: its form, and what an operation makes of forms.

A form says how large the numbers are at most. That is its maker's word for what was encrypted, and follows
from there: an operation whose result might wrap around is refused before anything is computed.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from syft_ext.encrypted.parameters import ParameterSet, parameters_of
from syft_ext.errors import BadRequest, Conflict, TooLarge, Unsupported

__all__ = ["MOST_ROWS", "OPERATIONS", "Form", "Plain", "result_form"]

_MOST_CIPHERTEXTS = 1 << 16
MOST_ROWS = 512
"""Rows of a plain matrix beside a vector: each costs a rotation, some 16 ms."""

OPERATIONS = frozenset(
    f"he.{name}"
    for name in (
        "add",
        "add_plain",
        "dot",
        "dot_plain",
        "matmul",
        "matmul_plain",
        "mul",
        "mul_plain",
        "neg",
        "sub",
        "sub_plain",
    )
)
"""The operations on encrypted values, as a site's policy names them. ``_plain``: the second operand is a
tensor, with the largest magnitude of its numbers beside it."""


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of one encrypted value.

    Attributes:
        layout: a ``vector`` fills each ciphertext's slots, a ``tensor`` has one ciphertext for each number.
        parameters: by name (:mod:`syft_ext.encrypted.parameters`).
        context: the digest of the public context that it is encrypted under.
        bound: no number is larger in magnitude. depth: products that it has come through.
        counted: the first slot of each ciphertext is no number of it, but counts how many were added up.
        padded: behind a vector's numbers are zeros, or anything, and not the same numbers again, without which
            there are no products with matrices: it comes out of an operation with plain data, which is in one
                place each.
    """

    layout: Literal["vector", "tensor"]
    parameters: Annotated[str, msgspec.Meta(max_length=32)]
    context: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]], msgspec.Meta(max_length=8)]
    bound: float
    depth: Annotated[int, msgspec.Meta(ge=0, le=8)] = 0
    counted: bool = False
    padded: bool = False

    @property
    def set(self) -> ParameterSet:
        """Its parameters."""
        return parameters_of(self.parameters)

    @property
    def kind(self) -> str:
        """The kind of an object that holds it."""
        return f"he.{self.set.scheme}"

    @property
    def per_ciphertext(self) -> int:
        """Numbers of it in one ciphertext."""
        return 1 if self.layout == "tensor" else self.set.slots - self.counted

    @property
    def numel(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def ciphertexts(self) -> int:
        """How many ciphertexts it takes."""
        return -(-self.numel // self.per_ciphertext)

    @property
    def nbytes(self) -> int:
        """What its ciphertexts take, in a frame and in memory."""
        return self.ciphertexts * (4 + self.set.ciphertext_bytes(self.depth))

    def check(self) -> Form:
        """Itself. Raises :class:`BadRequest`, :class:`TooLarge` or :class:`Unsupported` for what cannot be."""
        found = self.set
        if self.layout == "vector" and len(self.shape) != 1:
            raise BadRequest("an encrypted vector has one dimension")
        if self.counted and self.layout != "vector":
            raise BadRequest("only vectors are counted")
        if found.scheme == "bfv" and self.layout != "vector":
            raise Unsupported("encrypted whole numbers are vectors")
        if self.depth > found.depth:
            raise BadRequest(f"{self.depth} products one after the other: {found.name} has {found.depth}")
        if not (math.isfinite(self.bound) and 0 <= self.bound <= found.ranges[self.depth]):
            raise BadRequest(
                f"numbers up to {self.bound:g} could wrap around: {found.name} holds "
                f"{found.ranges[self.depth]:g} here. Encrypt with a smaller bound, if that is true of them",
                bound=self.bound,
                limit=found.ranges[self.depth],
            )
        if self.ciphertexts > _MOST_CIPHERTEXTS:
            raise TooLarge(f"{self.ciphertexts} ciphertexts in one value", limit=_MOST_CIPHERTEXTS)
        return self


class Plain(msgspec.Struct, frozen=True):
    """A tensor beside an encrypted value. ``bound``: no number of it is larger in magnitude; held against it."""

    shape: tuple[int, ...]
    bound: float


def result_form(operation: str, left: Form, right: Form | Plain | None) -> Form:
    """What ``operation`` makes of its operands.

    Raises :class:`Conflict` for values under two keys, :class:`BadRequest` for what does not fit or may
    wrap around,
    :class:`Unsupported` for what the parameters cannot do. Nothing of it depends on a number that is encrypted.
    """
    if operation not in OPERATIONS:
        raise BadRequest(f"{operation[:40]!r} is no operation on encrypted values")
    if (right is None) != (operation == "he.neg") or isinstance(right, Plain) != operation.endswith("_plain"):
        raise BadRequest(f"{operation} has other operands")
    if isinstance(right, Form):
        if (left.context, left.parameters) != (right.context, right.parameters):
            raise Conflict(
                "the two values are encrypted under different keys: their sum would be nothing that anybody has",
                reason="foreign-key",
            )
        if left.layout != right.layout:
            raise BadRequest("an encrypted vector and an encrypted tensor do not go together")
    elif isinstance(right, Plain) and not (math.isfinite(right.bound) and right.bound >= 0):
        raise BadRequest("the bound of a plain operand is a finite number")
    if left.counted or (isinstance(right, Form) and right.counted):
        raise BadRequest("what is counted goes into a sum of a training, and nowhere else")
    depth = max(left.depth, right.depth) if isinstance(right, Form) else left.depth
    return _RULES[operation.removeprefix("he.").removesuffix("_plain")](left, right, depth).check()


def _negated(left: Form, right: Form | Plain | None, depth: int) -> Form:
    return left


def _added(left: Form, right: Form | Plain | None, depth: int) -> Form:
    other = _same_shape(left, right)
    return msgspec.structs.replace(
        left, bound=left.bound + other.bound, depth=depth, padded=_padded(left, right)
    )


def _multiplied(left: Form, right: Form | Plain | None, depth: int) -> Form:
    other = _same_shape(left, right)
    return msgspec.structs.replace(
        left,
        bound=left.bound * other.bound,
        depth=_after_product(left, depth),
        padded=_padded(left, right),
    )


def _inner(left: Form, right: Form | Plain | None, depth: int) -> Form:
    other = _same_shape(left, right)
    if left.layout != "vector" or not left.set.rotates:
        raise Unsupported(f"inner products are of vectors, and need Galois keys: {left.parameters} has none")
    return msgspec.structs.replace(
        left,
        shape=[1],
        bound=left.numel * left.bound * other.bound,
        depth=_after_sum(left, right, depth),
        padded=False,
    )


def _matrix(left: Form, right: Form | Plain | None, depth: int) -> Form:
    assert right is not None
    rows, inner = (left.shape if len(left.shape) == 2 else [0, *left.shape])[-2:]
    if left.layout == "vector":
        if isinstance(right, Form):
            raise Unsupported(
                "an encrypted vector is multiplied by plain matrices; encrypt a tensor for others"
            )
        if not left.set.rotates:
            raise Unsupported(f"products of matrices need Galois keys: {left.parameters} has none")
        if left.padded:
            raise Unsupported(
                "what comes out of an operation with plain data is multiplied by no matrix: encrypt the "
                "vector anew"
            )
        if inner > MOST_ROWS:
            raise TooLarge(f"a matrix of {inner} rows beside an encrypted vector", limit=MOST_ROWS)
    elif len(left.shape) != 2:
        raise BadRequest("products of matrices are of two dimensions")
    if len(right.shape) != 2 or right.shape[0] != inner or right.shape[1] < 1:
        raise BadRequest(f"shapes {list(left.shape)} and {list(right.shape)} do not fit")
    columns = right.shape[1]
    if left.layout == "vector" and columns > left.set.slots // 2:
        raise TooLarge(f"a matrix of {columns} columns", limit=left.set.slots // 2)
    return msgspec.structs.replace(
        left,
        shape=[columns] if left.layout == "vector" else [rows, columns],
        bound=inner * left.bound * right.bound,
        depth=_after_sum(left, right, depth),
        padded=left.layout == "vector",
    )


_RULES = {
    "add": _added,
    "dot": _inner,
    "matmul": _matrix,
    "mul": _multiplied,
    "neg": _negated,
    "sub": _added,
}


def _padded(left: Form, right: Form | Plain | None) -> bool:
    """Of what is computed number by number."""
    return left.layout == "vector" and (
        left.padded or isinstance(right, Plain) or (isinstance(right, Form) and right.padded)
    )


def _same_shape(left: Form, right: Form | Plain | None) -> Form | Plain:
    assert right is not None
    if tuple(left.shape) != tuple(right.shape):
        raise BadRequest(f"shapes {list(left.shape)} and {list(right.shape)} do not fit")
    return right


def _after_sum(left: Form, right: Form | Plain | None, depth: int) -> int:
    """After products that are added up. Of two encrypted values the product is held to the places of its
    numbers by another
    one: in other places of a ciphertext that was made for it would be what nobody asked for."""
    found = _after_product(left, depth)
    return _after_product(left, found) if isinstance(right, Form) else found


def _after_product(left: Form, depth: int) -> int:
    if depth >= left.set.depth:
        raise Unsupported(
            f"{left.parameters} has no room for {'another' if depth else 'a'} product; it has {left.set.depth}",
            parameters=left.parameters,
        )
    return depth + 1
