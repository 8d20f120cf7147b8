"""``CKKSVector``, ``CKKSTensor`` and ``BFVVector``: numbers that are encrypted here, and opened by the
key's holder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np

from syft_ext.encrypted.context import EncryptionKeys, PublicContext, library_child
from syft_ext.encrypted.forms import Form
from syft_ext.encrypted.frames import LONGEST_HEAD, frame, read_form
from syft_ext.encrypted.parameters import Scheme
from syft_ext.encrypted.sending import Sendable
from syft_ext.errors import BadRequest, Conflict, InvalidTensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BFVVector", "CKKSTensor", "CKKSVector", "Encrypted", "encrypted_of"]

_E = TypeVar("_E", bound="Encrypted")


class Encrypted(Sendable):
    """An encrypted value as bytes: it is computed with where it was sent, not here.

    Attributes:
        form: what is known of it without the key.
        content: its frame (:mod:`syft_ext.encrypted.frames`).
    """

    scheme: ClassVar[Scheme]
    layout: ClassVar[Literal["vector", "tensor"]]

    def __init__(self, form: Form, content: bytes) -> None:
        if (form.set.scheme, form.layout) != (self.scheme, self.layout):
            raise BadRequest(f"this is no {type(self).__name__}")
        self.form, self.content = form, content

    @classmethod
    def encrypt(
        cls: type[_E], context: PublicContext | EncryptionKeys, values: Any, *, bound: float | None = None
    ) -> _E:
        """Encrypt numbers.

        Args:
            context: of whoever is to open the result.
            values: an array of numbers, or what becomes one.
            bound: no number is larger in magnitude; None: the largest one that there is, which everybody who has
                the value is then told. Results that might exceed the range of the parameters are refused by it.

        Raises :class:`InvalidTensors` for a number that is not finite, or above the bound.
        """
        public = context.public if isinstance(context, EncryptionKeys) else context
        numbers = _numbers(values, cls.scheme)
        largest = float(np.abs(numbers).max(initial=0))
        if not np.isfinite(largest):
            raise InvalidTensors("a number that is not finite cannot be encrypted")
        form = Form(
            layout=cls.layout,
            parameters=public.parameters,
            context=public.digest,
            shape=list(numbers.shape),
            bound=largest if bound is None else float(bound),
        ).check()
        if form.set.scheme != cls.scheme:
            raise BadRequest(f"{public.parameters} has no {cls.__name__}")
        child = library_child()
        with child.turn:
            public.opened(child)
            pieces = child.encrypt(form, numbers)
        return cls(form, b"".join(frame(form, pieces)))

    def decrypt(self, keys: EncryptionKeys) -> NDArray[Any]:
        """The numbers, in the shape of the form. Raises :class:`Conflict` for a value under another key."""
        if keys.public.digest != self.form.context:
            raise Conflict("this value is encrypted under another key", reason="foreign-key")
        _, offset = read_form(self.content[:LONGEST_HEAD], len(self.content))
        child = library_child()
        with child.turn:
            keys.opened(child)
            return child.decrypt(self.form, memoryview(self.content)[offset:])

    def serialize(self) -> bytes:
        """Its bytes: what a store keeps as an object of kind ``he.ckks`` or ``he.bfv``."""
        return self.content

    @classmethod
    def deserialize(cls: type[_E], content: bytes) -> _E:
        """What :meth:`serialize` gave. Raises :class:`BadRequest`; the library has not read it."""
        form, _ = read_form(content[:LONGEST_HEAD], len(content))
        return cls(form, content)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the numbers."""
        return tuple(self.form.shape)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {list(self.shape)}, {self.form.parameters}, |x| ≤ {self.form.bound:g}>"
        )


class CKKSVector(Encrypted):
    """Real numbers, approximately (about 10⁻⁷ of 1), thousands in a ciphertext."""

    scheme, layout = "ckks", "vector"


class CKKSTensor(Encrypted):
    """Real numbers in any shape, one ciphertext each: for products of small encrypted matrices."""

    scheme, layout = "ckks", "tensor"


class BFVVector(Encrypted):
    """Whole numbers, exactly."""

    scheme, layout = "bfv", "vector"


def encrypted_of(content: bytes) -> Encrypted:
    """The value that a frame holds, as one of the three. Raises :class:`BadRequest`."""
    form, _ = read_form(content[:LONGEST_HEAD], len(content))
    kinds: tuple[type[Encrypted], ...] = (CKKSVector, CKKSTensor, BFVVector)
    return next(kind for kind in kinds if (kind.scheme, kind.layout) == (form.set.scheme, form.layout))(
        form, content
    )


def _numbers(values: Any, scheme: Scheme) -> NDArray[Any]:
    given = np.asarray(values)
    if given.dtype.kind not in "biuf" or (scheme == "bfv" and given.dtype.kind == "f"):
        raise BadRequest("only real numbers are encrypted, and whole ones by BFV")
    numbers: NDArray[Any] = given.astype(np.float64 if scheme == "ckks" else np.int64)
    return numbers
