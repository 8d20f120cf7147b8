"""Sums of many participants' updates that nobody but the key's holder can open: rules, updates, sum, opening.

Each participant encrypts under the holder's public context; whoever adds up sees ciphertexts, and the holder
sees the sum. **Holder and whoever adds up together see every update**: this is for a server that one does not want
to trust with updates, and a holder who never gets single ones. Where no such holder is to be had, masks do without
(:mod:`syft_ext.secure_aggregation`). The bound of an update is its participant's word, and a liar can
spoil the sum.

**Decryptions of CKKS are not for others' eyes**: they hold the errors of encryption, and with them the key (B.
Li and D. Micciancio, "On the security of homomorphic encryption on approximate numbers", 2021). So updates are
whole steps of a grid that is coarser than those errors, and what is opened is rounded to it: the exact sum, and
nothing of an error. That is so of what was encrypted as agreed. Whoever makes a ciphertext otherwise can have it
open to the secret key's own coefficients (a constant added to its second polynomial is enough), or ask by
numbers between two steps how large an error is; either lies beside the grid, and an opened sum with one number
that does is told to nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from syft_ext.encrypted.child import LibraryChild
from syft_ext.encrypted.context import EncryptionKeys, PublicContext, library_child
from syft_ext.encrypted.forms import Form
from syft_ext.encrypted.frames import LONGEST_HEAD, ciphertexts, frame, read_ciphertexts, read_form
from syft_ext.errors import BadRequest, Conflict, InvalidConfig, InvalidTensors, Unsupported

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EncryptedSumRules", "EncryptedSumTerms"]

_FINEST = -24
"""Of the grid, as a power of two: the error of a sum of n ciphertexts of ``add4096`` has a deviation of 2^-30.6
√n (60,000 numbers, n of 1 to 16), so that half a step of 2^-24 √n is 48 of them."""
_NEAR = 0.125
"""Steps, at most, that an opened number may lie beside the grid: 12 of those deviations. A number that depends
on the key passes once in four times, and a few thousand of them never."""


class EncryptedSumTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a training says of its encrypted sums (its ``report_options``), and its participants agree to.

    Attributes:
        context: digest of the holder's public context. parameters: its set, by name: of those for sums alone.
        clip: no number of an update is larger in magnitude.
        participants: most updates in a sum. minimum: fewest updates whose sum the holder is given.
    """

    context: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    parameters: str
    clip: float
    participants: int
    minimum: int

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> EncryptedSumTerms:
        """Terms from outside, checked. Raises :class:`InvalidConfig`."""
        try:
            found = msgspec.convert(dict(values), cls)
        except msgspec.ValidationError as error:
            raise InvalidConfig(f"encrypted sums: {error}", field="report_options") from error
        if not 2 <= found.minimum <= found.participants:
            raise InvalidConfig(
                f"a sum of {found.minimum} of {found.participants} updates: of fewer than two it is "
                "somebody's own",
                field="minimum",
            )
        try:
            found.rules(1).check()
        except Unsupported as error:
            raise InvalidConfig(f"encrypted sums: {error.detail}", field="parameters") from error
        return found

    def rules(self, length: int) -> EncryptedSumRules:
        """The rules for updates of so many numbers."""
        return EncryptedSumRules(
            context=self.context,
            parameters=self.parameters,
            length=length,
            clip=self.clip,
            participants=self.participants,
        )


class EncryptedSumRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all parties of such a sum know beforehand.

    Attributes:
        context: digest of the holder's public context. parameters: its set, by name.
        length: numbers in an update. clip: none of them is larger in magnitude.
        participants: at most so many updates are added.
    """

    context: str
    parameters: str
    length: int
    clip: float
    participants: int

    def check(self) -> EncryptedSumRules:
        """Itself. Raises :class:`InvalidConfig` where the sum of all updates could wrap around."""
        if self._form(1.0).set.name != "add4096":
            raise InvalidConfig(
                f"sums of updates are encrypted under add4096, not {self.parameters[:40]!r}",
                field="parameters",
            )
        if self.participants < 2 or self.length < 1:
            raise InvalidConfig(
                "a sum is of two participants at least, and of one number", field="participants"
            )
        most = self.clip * self.participants
        if not 0 < most <= self._form(self.clip).set.ranges[0]:
            raise InvalidConfig(
                f"{self.participants} updates of up to {self.clip:g} make {most:g}, and {self.parameters} holds "
                f"{self._form(self.clip).set.ranges[0]:g}: fewer participants, or a smaller clip",
                field="clip",
            )
        if self.clip < self.step:
            raise InvalidConfig(
                f"a clip of {self.clip:g} is finer than the grid, {self.step:g}", field="clip"
            )
        self._form(self.clip).check()
        return self

    @property
    def step(self) -> float:
        """The grid's: a power of two, 2^-24 √n for n participants at least."""
        return 2.0 ** (_FINEST + math.ceil(math.log2(self.participants) / 2))

    def encrypted(self, context: PublicContext, update: NDArray[Any]) -> bytes:
        """A participant's update, encrypted; numbers are put on the grid and clipped here, and what is not
        finite is refused.

        Raises :class:`Conflict` for the context of somebody else.
        """
        self._own(context)
        form = self.check()._form(self.clip)
        numbers = np.asarray(update, np.float64).reshape(-1)
        if len(numbers) != self.length:
            raise BadRequest(f"an update of {len(numbers)} numbers, it has {self.length}")
        most = math.floor(self.clip / self.step)
        steps = np.clip(np.rint(np.clip(numbers, -self.clip, self.clip) / self.step), -most, most)
        child = library_child()
        with child.turn:
            context.opened(child)
            return b"".join(frame(form, child.encrypt(form, steps * self.step)))

    def added(
        self,
        context: PublicContext,
        updates: Sequence[bytes | memoryview],
        child: LibraryChild,
        *,
        noise: NDArray[Any] | None = None,
    ) -> bytes:
        """The encrypted sum of updates: a few ciphertexts at a time, so that memory does not grow with them.

        Args:
            child: a confined process of its own.
            noise: numbers that are added before anybody can open the sum, as a policy demands; they are put on
                the grid.

        Raises :class:`Conflict` for an update under another key, :class:`BadRequest` for one of another form, and
        :class:`InvalidConfig` for more updates than the rules have.
        """
        views = [memoryview(each) for each in updates]
        return self.added_from(context, [(_of(view), len(view)) for view in views], child, noise=noise)

    def added_from(
        self,
        context: PublicContext,
        updates: Sequence[tuple[Callable[[int, int], bytes | memoryview], int]],
        child: LibraryChild,
        *,
        noise: NDArray[Any] | None = None,
    ) -> bytes:
        """As :meth:`added`, of updates that are kept elsewhere: what reads one from an offset to another, and
        its size. It is read a ciphertext at a time."""
        self._own(context)
        if not 1 <= len(updates) <= self.check().participants:
            raise InvalidConfig(
                f"{len(updates)} updates, and the rules have {self.participants}", field="participants"
            )
        form = self._form(self.clip)
        places = [self._places(read, size) for read, size in updates]
        noise = None if noise is None else np.rint(noise / self.step) * self.step
        most = self.clip * len(updates) + (0.0 if noise is None else float(np.abs(noise).max(initial=0)))
        total = self._form(most).check()
        return b"".join(frame(total, self._totals(context, form, places, child, noise)))

    def _places(self, read: Callable[[int, int], bytes | memoryview], size: int) -> Iterator[bytes]:
        """The ciphertexts of one update."""
        offset = self.check_head(read(0, min(LONGEST_HEAD, size)), size)
        return read_ciphertexts(
            self._form(self.clip), lambda start, stop: read(offset + start, offset + stop)
        )

    def _totals(
        self,
        context: PublicContext,
        form: Form,
        places: list[Any],
        child: LibraryChild,
        noise: NDArray[Any] | None,
    ) -> list[bytes]:
        found, per = [], form.per_ciphertext
        with child.turn:
            context.opened(child)
            for start in range(0, self.length, per):
                count = min(per, self.length - start)
                shift = None if noise is None else np.concatenate([[0.0], noise[start : start + count]])
                found.append(child.total(form, count + 1, (next(each) for each in places), shift))
        return found

    def opened(self, keys: EncryptionKeys, total: bytes, count: int) -> NDArray[Any]:
        """The sum of ``count`` updates, by whoever has the key, on the grid. Raises :class:`InvalidTensors` where
        something else is in it: every ciphertext counts what was added to it, and numbers of updates are on the
        grid."""
        self._own(keys.public)
        form, offset = read_form(total[:LONGEST_HEAD], len(total))
        if not form.counted or form != self._form(form.bound):
            raise BadRequest("this is no sum under these rules")
        child = library_child()
        with child.turn:
            keys.opened(child)
            found = child.decrypt(form, memoryview(total)[offset:], count)
        steps = found / self.step
        whole = np.rint(steps)
        if not bool((np.abs(steps - whole) <= _NEAR).all()):
            raise InvalidTensors(
                "the sum has numbers beside the grid: a ciphertext in it was made otherwise than agreed, perhaps "
                "to learn of the key, and nothing of this sum may be told"
            )
        opened: NDArray[Any] = whole * self.step
        return opened

    @property
    def nbytes(self) -> int:
        """Of an encrypted update, or a sum of some, without its head."""
        return self._form(self.clip).nbytes

    def check_head(self, head: bytes | bytearray | memoryview, size: int) -> int:
        """Where the ciphertexts of an update of ``size`` bytes begin, whose frame begins with ``head``.

        Raises :class:`Conflict` for one under another key, and :class:`BadRequest` for what is of another form.
        """
        wanted = self._form(self.clip)
        form, offset = read_form(head, size)
        if form.context != wanted.context:
            raise Conflict("an update is encrypted under another key", reason="foreign-key")
        if form != wanted:
            raise BadRequest("an update is of another form than the rules say")
        return offset

    def check_update(self, context: PublicContext, update: memoryview, child: LibraryChild) -> None:
        """Raise as :meth:`check_head`, and :class:`InvalidTensors` for ciphertexts that the library refuses:
        one by itself, so that a sum never comes to nothing because of it."""
        self._own(context)
        form = self._form(self.clip)
        places, whole = ciphertexts(form, self._read(update)), form.numel // form.per_ciphertext
        rest = form.numel % form.per_ciphertext
        with child.turn:
            context.opened(child)
            if whole:
                child.total(form, form.per_ciphertext + 1, islice(places, whole))
            if rest:
                child.total(form, rest + 1, places)

    def _read(self, view: memoryview) -> memoryview:
        return view[self.check_head(view[:LONGEST_HEAD], len(view)) :]

    def _own(self, context: PublicContext) -> None:
        if context.digest != self.context or context.parameters != self.parameters:
            raise Conflict("this is not the context that the rules name", reason="foreign-key")

    def _form(self, bound: float) -> Form:
        return Form(
            layout="vector",
            parameters=self.parameters,
            context=self.context,
            shape=[self.length],
            bound=bound,
            counted=True,
        )


def _of(view: memoryview) -> Callable[[int, int], memoryview]:
    return lambda start, stop: view[start:stop]
