"""What the library does, in confined processes alone: it is C++, and parses what strangers wrote.

A value's parameters, sizes and scale are never read from a stranger: the message that the library takes is
written here,
from our own list and the value's form, around the ciphertexts; what they say themselves is held against it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from syft_ext.encrypted.forms import Form, Plain, result_form
from syft_ext.encrypted.parameters import ParameterSet, parameters_of
from syft_ext.encrypted.wire import field_of, joined, tagged
from syft_ext.errors import BadRequest, InvalidTensors, Unavailable

__all__ = ["Ciphertexts", "Kernel", "Numbers", "library"]

Numbers: TypeAlias = "NDArray[Any]"
_PARAMETERS, _PUBLIC, _SECRET = 1, 2, 3


@cache
def library() -> Any:
    """TenSEAL. Raises :class:`Unavailable`, naming the extra, where it is not installed."""
    try:
        import tenseal
    except ImportError as error:
        raise Unavailable(
            'TenSEAL is not installed: pip install "grid-platform[he]"', missing="tenseal"
        ) from error
    return tenseal


@dataclass(frozen=True, slots=True)
class Ciphertexts:
    """A value as the library holds it: one object for each ciphertext of a vector, one for a whole tensor."""

    form: Form
    parts: list[Any]


@cache
def _blank(name: str) -> bytes:
    """The parameters of a set, as the library writes them: it writes the same ones alike."""
    message = _fresh(parameters_of(name)).serialize(
        save_public_key=False, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
    )
    return bytes(field_of(message, _PARAMETERS))


def _fresh(found: ParameterSet) -> Any:
    tenseal = library()
    if found.scheme == "bfv":
        return tenseal.context(
            tenseal.SCHEME_TYPE.BFV, found.degree, plain_modulus=found.plain_modulus, n_threads=1
        )
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, found.degree, coeff_mod_bit_sizes=list(found.modulus_bits), n_threads=1
    )
    context.global_scale = 2.0**found.scale_bits
    return context


class Kernel:
    """One context: a public one, or with the secret key of whoever holds that.

    Args:
        message: TenSEAL's; its parameters must be those of ``found``, to the byte. One with a secret key is read
            only where ``secret`` says that it is one's own.
    """

    def __init__(self, found: ParameterSet, message: bytes | memoryview, *, secret: bool = False) -> None:
        self.set = found
        public = field_of(message, _PUBLIC)
        own = tagged(_PARAMETERS, _blank(found.name)) + tagged(_PUBLIC, public)
        if field_of(message, _PARAMETERS) != _blank(found.name):
            raise BadRequest(f"the context's parameters are not those of {found.name}")
        if secret:
            own += tagged(_SECRET, field_of(message, _SECRET))
        try:
            self._context = library().context_from(own, n_threads=1)
        except (RuntimeError, ValueError) as error:
            raise BadRequest(f"the library refuses the context: {str(error)[:120]}") from error
        if found.scheme == "ckks" and self._context.global_scale != 2.0**found.scale_bits:
            raise BadRequest("the context has another scale")
        if self._context.has_secret_key() != secret:
            raise BadRequest("a context with a secret key where only a public one may be")

    @staticmethod
    def keys(name: str) -> tuple[bytes, bytes]:
        """New keys: TenSEAL's message with the secret key in it, and the one without."""
        found = parameters_of(name)
        context = _fresh(found)
        if found.rotates:
            context.generate_galois_keys()
        fields = {
            "save_public_key": True,
            "save_galois_keys": found.rotates,
            "save_relin_keys": found.depth > 0,
        }
        return context.serialize(save_secret_key=True, **fields), context.serialize(
            save_secret_key=False, **fields
        )

    # -- bytes --------------------------------------------------------------------------------------

    def read(self, form: Form, pieces: Iterable[bytes]) -> Ciphertexts:
        """A value from its ciphertexts. Raises :class:`InvalidTensors` for what the library refuses, and for a
        ciphertext at another level, of another scale or with more polynomials than its form says."""
        sizes = _sizes(form)
        try:
            if form.layout == "tensor":
                message = joined(form.shape, list(pieces), self._scale)
                parts = [library().ckks_tensor_from(self._context, message)]
            else:
                parts = [
                    self._vector(joined([size], [piece], self._scale))
                    for size, piece in zip(sizes, pieces, strict=True)
                ]
        except (RuntimeError, ValueError) as error:
            raise InvalidTensors(f"the library refuses a ciphertext: {str(error)[:120]}") from error
        value = Ciphertexts(form, parts)
        self._check(value)
        return value

    def read_one(self, form: Form, slots: int, piece: bytes | memoryview) -> Ciphertexts:
        """One ciphertext of a vector of this form, with so many slots in use. Raises as :meth:`read`."""
        if form.layout != "vector" or not 1 <= slots <= self.set.slots:
            raise InvalidTensors("a ciphertext of no vector")
        try:
            value = Ciphertexts(form, [self._vector(joined([slots], [piece], self._scale))])
        except (RuntimeError, ValueError) as error:
            raise InvalidTensors(f"the library refuses a ciphertext: {str(error)[:120]}") from error
        self._check(value)
        return value

    def write(self, value: Ciphertexts) -> list[bytes]:
        """Its ciphertexts as bytes."""
        found = []
        for part in value.parts:
            message = part.serialize()
            found += [bytes(each) for each in field_of(message, 2, several=True)]
        return found

    def _vector(self, message: bytes) -> Any:
        read = library().ckks_vector_from if self.set.scheme == "ckks" else library().bfv_vector_from
        return read(self._context, message)

    @property
    def _scale(self) -> float | None:
        return 2.0**self.set.scale_bits if self.set.scheme == "ckks" else None

    def _check(self, value: Ciphertexts) -> None:
        form = value.form
        for each in itertools.chain.from_iterable(part.ciphertext() for part in value.parts):
            if (
                each.size() != 2
                or each.poly_modulus_degree() != self.set.degree
                or each.coeff_modulus_size() != self.set.primes(form.depth)
                or (self._scale is not None and each.scale != self._scale)
                or each.is_transparent()
            ):
                raise InvalidTensors(
                    "a ciphertext is not of its form: another level, scale or size, or none at all"
                )

    # -- the key's holder, and whoever encrypts -----------------------------------------------------

    def encrypt(self, form: Form, numbers: Numbers) -> list[bytes]:
        """The ciphertexts of ``numbers``, flat. Raises :class:`InvalidTensors` where one is not finite, or
        larger than the form's bound."""
        _within(numbers, form.bound)
        flat, tenseal = numbers.reshape(-1), library()
        if form.layout == "tensor":
            plain = tenseal.plain_tensor(flat.tolist(), list(form.shape))
            return self.write(Ciphertexts(form, [tenseal.ckks_tensor(self._context, plain, batch=False)]))
        make = tenseal.ckks_vector if self.set.scheme == "ckks" else tenseal.bfv_vector
        count, found, start = [1] if form.counted else [], [], 0
        for size in _sizes(form):
            stop = start + size - len(count)
            part = make(self._context, [*count, *flat[start:stop].tolist()])
            found += self.write(Ciphertexts(form, [part]))
            start = stop
        return found

    def decrypt(
        self, form: Form, pieces: Iterable[bytes], count: int = 1, real: float | None = None
    ) -> Numbers:
        """The numbers, in the form's shape. Raises as :meth:`read`, and :class:`InvalidTensors` where the
        slots that count do not say ``count`` in each ciphertext, or an imaginary part is larger than ``real``."""
        value = self.read(form, pieces)
        if form.layout == "tensor":
            return np.asarray(value.parts[0].decrypt().tolist(), np.float64).reshape(form.shape)
        rows = [part.decrypt() for part in value.parts]
        if form.counted:
            wrong = [row[0] for row in rows if not abs(row[0] - count) < 0.01]
            if wrong:
                raise InvalidTensors(
                    f"a ciphertext counts {wrong[0]:.3g} values in its sum, not {count}: something else was "
                    "added, or it is under another key"
                )
            rows = [row[1:] for row in rows]
        if real is not None and not self._imaginary(value) <= real:
            raise InvalidTensors(
                "a ciphertext opens to numbers that are not real: it was made otherwise than agreed, perhaps to "
                "learn of the key, and nothing of this sum may be told"
            )
        dtype = np.float64 if self.set.scheme == "ckks" else np.int64
        return np.asarray(list(itertools.chain.from_iterable(rows)), dtype).reshape(form.shape)

    def _imaginary(self, value: Ciphertexts) -> float:
        """The largest imaginary part, in magnitude, that any slot of a vector's ciphertexts opens to, those in use
        by no number included. What was encrypted as agreed has real numbers, and errors of encryption there."""
        from tenseal import sealapi

        context = self._context.seal_context().data
        decryptor = sealapi.Decryptor(context, self._context.secret_key().data)
        encoder = sealapi.CKKSEncoder(context)
        largest = 0.0
        for each in itertools.chain.from_iterable(p.ciphertext() for p in value.parts):
            plain = sealapi.Plaintext()
            decryptor.decrypt(each, plain)
            parts = np.abs(np.asarray(encoder.decode_complex(plain), np.complex128).imag)
            largest = max(largest, float(parts.max()))
        return largest

    # -- computing ----------------------------------------------------------------------------------

    def apply(
        self, operation: str, left: Ciphertexts, right: Ciphertexts | Numbers | None, bound: float
    ) -> Ciphertexts:
        """The result of an operation, in the form that :func:`result_form` says. ``bound``: of a plain operand.

        Raises as that, and :class:`InvalidTensors` for what depends on numbers: a plain operand that is
        not finite or beyond its bound, a product with nothing but zeros.
        """
        other: Form | Plain | None = None
        if isinstance(right, Ciphertexts):
            other = right.form
        elif right is not None:
            other = Plain(right.shape, bound)
        form = result_form(operation, left.form, other)
        if right is not None and not isinstance(right, Ciphertexts):
            _within(right, bound)
        try:
            parts = self._parts(operation.removeprefix("he.").removesuffix("_plain"), left, right)
        except (RuntimeError, ValueError) as error:
            raise InvalidTensors(f"{operation}: {str(error)[:120]}") from error
        value = Ciphertexts(form, parts)
        self._check(value)
        return value

    def _parts(self, name: str, left: Ciphertexts, right: Ciphertexts | Numbers | None) -> list[Any]:
        if name == "neg":
            return [-part for part in left.parts]
        if isinstance(right, Ciphertexts):
            # The library brings the second operand to the first one's level where it lies: a value never changes.
            apart = left.form.depth != right.form.depth
            others = [part.copy() for part in right.parts] if apart else right.parts
        elif left.form.layout == "tensor":
            return self._beside(left, right, name)
        else:
            others = self._plain(left.form, right, name)
        if name == "dot":
            products = [one * two for one, two in zip(left.parts, others, strict=True)]
            if isinstance(right, Ciphertexts):
                products = [
                    each * ([1.0] * size) for each, size in zip(products, _sizes(left.form), strict=True)
                ]
            return [_total([self._summed(each) for each in products])]
        if name == "matmul":
            made = [_total([one.mm(other) for one, other in zip(left.parts, others, strict=True)])]
            if not isinstance(right, Ciphertexts):
                return made
            shape = [left.form.shape[0], right.form.shape[1]]
            return self._tensor([each * [1.0] for each in self._pieces(made[0])], shape)
        return [_BINARY[name](one, other) for one, other in zip(left.parts, others, strict=True)]

    def _summed(self, product: Any) -> Any:
        """The sum of all slots, in all of them. The library's own sum leaves in the others what is behind them:
        where a plain operand went in, whoever has the key would read every number of it."""
        piece = field_of(product.serialize(), 2)
        return self._vector(joined([self.set.slots], [piece], self._scale)).sum()

    def _plain(self, form: Form, right: Any, name: str) -> list[Any]:
        """A plain operand as the library takes it, for each part: each number of it meets one slot. What a
        ciphertext that was made for it holds in other slots meets zeros: the result has as many numbers as its
            form says."""
        if name == "matmul":
            zeros = [0.0] * (self.set.slots - right.shape[1])
            return [[row + zeros for row in right.tolist()]]
        sizes, start, found = _sizes(form), 0, []
        for size in sizes:
            found.append(right[start : start + size].tolist())
            start += size
        return found

    def _beside(self, left: Ciphertexts, right: Any, name: str) -> list[Any]:
        """A tensor and a plain one. The library would have a plain number meet all slots of a ciphertext, so
        that one made for it asks thousands of questions at once; here it meets the first one, where a tensor's
        number is."""
        pieces = self._pieces(left.parts[0])
        numbers = [float(each) for each in right.reshape(-1)]
        if name == "matmul":
            inner, columns = right.shape
            made = [
                _total([pieces[row + i] * [numbers[i * columns + column]] for i in range(inner)])
                for row in range(0, len(pieces), inner)
                for column in range(columns)
            ]
            shape = [len(pieces) // inner, columns]
        else:
            made = [_BINARY[name](one, [number]) for one, number in zip(pieces, numbers, strict=True)]
            shape = list(left.form.shape)
        return self._tensor(made, shape)

    def _pieces(self, tensor: Any) -> list[Any]:
        """Each ciphertext of a tensor, as a vector of one number."""
        found = field_of(tensor.serialize(), 2, several=True)
        return [self._vector(joined([1], [each], self._scale)) for each in found]

    def _tensor(self, made: Sequence[Any], shape: Sequence[int]) -> list[Any]:
        """The tensor of such vectors."""
        pieces = [bytes(field_of(each.serialize(), 2)) for each in made]
        return [library().ckks_tensor_from(self._context, joined(shape, pieces, self._scale))]


_BINARY = {
    "add": lambda one, other: one + other,
    "mul": lambda one, other: one * other,
    "sub": lambda one, other: one - other,
}


def _total(parts: Sequence[Any]) -> Any:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _sizes(form: Form) -> list[int]:
    """Slots in use of each ciphertext of a vector; of a tensor, one."""
    if form.layout == "tensor":
        return [1] * form.ciphertexts
    whole, rest = divmod(form.numel, form.per_ciphertext)
    return [size + form.counted for size in [form.per_ciphertext] * whole + [rest] * bool(rest)]


def _within(numbers: Numbers, bound: float) -> None:
    if numbers.size and not float(np.abs(numbers).max()) <= bound:  # NaN is not, either
        raise InvalidTensors(
            f"a number that is not finite, or larger in magnitude than {bound:g}", bound=bound
        )
