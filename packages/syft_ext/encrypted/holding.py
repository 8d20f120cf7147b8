"""What the confined child holds: one context, and the sum that is being made."""

from __future__ import annotations

import numpy as np

from syft_ext.encrypted import channel as c
from syft_ext.encrypted.forms import Form
from syft_ext.encrypted.frames import ciphertexts
from syft_ext.encrypted.kernel import Ciphertexts, Kernel
from syft_ext.encrypted.parameters import parameters_of
from syft_ext.errors import BadRequest

__all__ = ["Holding"]


class Holding:
    """Does one request after the other."""

    def __init__(self) -> None:
        self._kernel: Kernel | None = None
        self._sum: Ciphertexts | None = None

    def do(self, message: c.Request, bulk: bytearray) -> list[bytes]:
        """What goes behind the answer. Raises :class:`~syft_ext.errors.GridError`."""
        match message:
            case c.MakeKeys():
                return list(Kernel.keys(message.parameters))
            case c.Open():
                self._kernel = None
                self._kernel = Kernel(parameters_of(message.parameters), bytes(bulk), secret=message.secret)
                return []
            case c.Encrypt():
                dtype = np.float64 if message.form.set.scheme == "ckks" else np.int64
                return self._held.encrypt(
                    message.form.check(), np.frombuffer(bulk, dtype).reshape(message.form.shape)
                )
            case c.Decrypt():
                pieces = ciphertexts(message.form, memoryview(bulk))
                return [self._held.decrypt(message.form, pieces, message.count, message.real).tobytes()]
            case c.Summand():
                if message.first:
                    self._sum = None  # of one that broke off: what was refused is in no later sum
                start, view = 0, memoryview(bulk)
                for length in message.lengths:
                    self._add(message.form, message.slots, view[start : start + length])
                    start += length
                return []
            case c.Shift():
                self._shift(np.frombuffer(bulk, np.float64))
                return []
            case c.TakeSum():
                return self._taken()

    @property
    def _held(self) -> Kernel:
        if self._kernel is None:
            raise BadRequest("no context was given")
        return self._kernel

    def _add(self, form: Form, slots: int, piece: bytes | memoryview) -> None:
        read = self._held.read_one(form, slots, piece)
        if self._sum is None:
            self._sum = read
        else:
            self._sum.parts[0].add_(read.parts[0])

    def _shift(self, numbers: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        if self._sum is None:
            raise BadRequest("there is nothing to be added to")
        self._sum.parts[0].add_(numbers.tolist())

    def _taken(self) -> list[bytes]:
        found, self._sum = self._sum, None
        if found is None:
            raise BadRequest("nothing was added up")
        return self._held.write(found)
