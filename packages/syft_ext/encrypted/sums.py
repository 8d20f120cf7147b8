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

**Noise** is the participants': each puts its numbers within an L2 norm and adds its share of exact discrete
Gaussian noise before it encrypts them (:mod:`syft_ext.privacy.distributed`), so that neither the holder nor
whoever gets what they open sees the sum itself. The holder cannot add it for them: they would see the sum first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from syft_ext.encrypted.child import LibraryChild
from syft_ext.encrypted.context import EncryptionKeys, PublicContext, library_child
from syft_ext.encrypted.forms import Form
from syft_ext.encrypted.frames import LONGEST_HEAD, ciphertexts, frame, read_ciphertexts, read_form
from syft_ext.errors import BadRequest, Conflict, InvalidConfig, InvalidTensors, Unsupported
from syft_ext.privacy.distributed import LEAST_VARIANCE, DistributedNoise, share_of
from syft_ext.privacy.grid import Grid
from syft_ext.privacy.keys import KEY_SIZE, derive_key
from syft_ext.privacy.noise import DiscreteGaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EncryptedSumRules", "EncryptedSumTerms"]

_FINEST = -24
"""Of the grid, as a power of two: the error of a sum of n ciphertexts of ``add4096`` has a deviation of 2^-30.6
√n (60,000 numbers, n of 1 to 16), so that half a step of 2^-24 √n is 48 of them."""
_NEAR = 0.125
"""Steps, at most, that an opened number may lie beside the grid: 12 of those deviations. A number that depends
on the key passes once in four times; with its imaginary part, which must be no larger, it passes and differs
from 0 at most 1.6 times in 100 (at 0.7 steps; at σ steps, 0.025/σ)."""


class EncryptedSumTerms(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a training says of its encrypted sums (its ``report_options``), and its participants agree to.

    Attributes:
        context: digest of the holder's public context. parameters: its set, by name: of those for sums alone.
        clip: no number of an update is larger in magnitude.
        participants: most updates in a sum. minimum: fewest updates whose sum the holder is given.
        norm: the L2 norm that each participant scales its update down to; None: it does not.
        noise: the deviation, in units of ``norm``, of the discrete Gaussian noise that the shares of the honest
            participants of a sum make together; None: no noise.
        corrupt: participants of a sum whose noise others may know, or who add none: noise counts that of
            ``minimum`` − ``corrupt``.
    """

    context: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    parameters: str
    clip: float
    participants: int
    minimum: int
    norm: Annotated[float, msgspec.Meta(gt=0, le=1e30)] | None = None
    noise: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
    corrupt: Annotated[int, msgspec.Meta(ge=0)] = 0

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
        if found.noise is None and found.corrupt:
            raise InvalidConfig("corrupt is of noise, and there is none", field="corrupt")
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
            norm=self.norm,
            noise=self.noise,
            honest=0 if self.noise is None else self.minimum - self.corrupt,
        )


class EncryptedSumRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all parties of such a sum know beforehand.

    Attributes:
        context: digest of the holder's public context. parameters: its set, by name.
        length: numbers in an update. clip: none of them is larger in magnitude.
        participants: at most so many updates are added.
        norm, noise: as :class:`EncryptedSumTerms` says.
        honest: participants of each sum, at least, whose noise nobody else knows; 0 without noise.
    """

    context: str
    parameters: str
    length: int
    clip: float
    participants: int
    norm: float | None = None
    noise: float | None = None
    honest: int = 0

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
        if self.clip < self.step:
            raise InvalidConfig(
                f"a clip of {self.clip:g} is finer than the grid, {self.step:g}", field="clip"
            )
        self._check_noise()
        most, holds = self.reach * self.participants, self._form(1.0).set.ranges[0]
        if not 0 < most <= holds:
            what = f"of up to {self.clip:g}"
            if self.noise is not None:
                what += f" with shares of noise of up to {self.reach - self.clip:g}"
            raise InvalidConfig(
                f"{self.participants} updates {what} make {most:g}, and {self.parameters} holds {holds:g}: fewer "
                f"participants, {'less noise, ' if self.noise is not None else ''}or a smaller clip",
                field="clip",
            )
        self._form(self.reach).check()
        return self

    def _check_noise(self) -> None:
        if self.norm is not None and not self.step <= self.norm < math.inf:
            raise InvalidConfig(
                f"a norm of {self.norm:g} is finer than the grid, {self.step:g}", field="norm"
            )
        if self.noise is None:
            return
        if self.norm is None:
            raise InvalidConfig("noise is in units of the norm: name one", field="norm")
        if self.honest < 2:
            raise InvalidConfig(
                "a sum of fewer than two honest participants is somebody's own number", field="corrupt"
            )
        if self.variance < LEAST_VARIANCE:
            raise InvalidConfig(
                f"each share of the noise needs a variance of {LEAST_VARIANCE} squared steps of {self.step:g}",
                field="noise",
            )

    @property
    def step(self) -> float:
        """The grid's: a power of two, 2^-24 √n for n participants at least, and 2^-24 of the norm."""
        return 2.0**self._exponent

    @property
    def _exponent(self) -> int:
        coarse = _FINEST + math.ceil(math.log2(self.participants) / 2)
        return coarse if self.norm is None else max(coarse, Grid(self.norm).exponent)

    @property
    def variance(self) -> Fraction:
        """Of each participant's share of the noise, in squared steps; 0 without noise. The shares of the honest
        alone have the deviation that the rules name."""
        if self.noise is None or self.norm is None:
            return Fraction(0)
        deviation = Fraction(self.noise) * Fraction(self.norm) / Fraction(self.step)
        return share_of(deviation, self.honest)

    @property
    def reach(self) -> float:
        """How far from zero a number of an update may be, with all the noise that a share can have."""
        if self.noise is None:
            return self.clip
        try:
            return self.clip + DiscreteGaussian(self.variance).largest * self.step
        except ValueError as error:
            raise InvalidConfig(f"encrypted sums: {error}", field="noise") from error

    @property
    def shared_noise(self) -> DistributedNoise | None:
        """What the noise of a sum is worth; None without any."""
        if self.norm is None or self.noise is None:
            return None
        return DistributedNoise(self.variance, self.honest, Grid(self.norm, self._exponent).bound)

    def encrypted(
        self,
        context: PublicContext,
        update: NDArray[Any],
        secret: bytes = b"",
        question: Iterable[bytes] = (),
    ) -> bytes:
        """A participant's update, encrypted; numbers are put on the grid and clipped here, with the participant's
        share of the noise, and what is not finite is refused.

        Args:
            secret: at least 32 bytes that only this participant knows; looked at where there is noise.
            question: what the update answers: the same one to the same question has the same noise.

        Raises :class:`Conflict` for the context of somebody else.
        """
        self._own(context)
        form = self.check()._form(self.reach)
        numbers = np.asarray(update, np.float64).reshape(-1)
        if len(numbers) != self.length:
            raise BadRequest(f"an update of {len(numbers)} numbers, it has {self.length}")
        values = self.steps_of(numbers, secret, question) * self.step
        child = library_child()
        with child.turn:
            context.opened(child)
            return b"".join(frame(form, child.encrypt(form, values)))

    def steps_of(
        self, numbers: NDArray[np.float64], secret: bytes = b"", question: Iterable[bytes] = ()
    ) -> NDArray[Any]:
        """Flat numbers as whole steps of the grid, clipped, within the norm, and with this participant's share of
        the noise. ``secret``, ``question``: as :meth:`encrypted`.

        Raises :class:`InvalidTensors` for a number that is not finite, and :class:`Unsupported` for a secret that
        is none.
        """
        if not bool(np.isfinite(numbers).all()):
            raise InvalidTensors("a number is not finite")
        most = math.floor(self.clip / self.step)
        clipped = np.clip(numbers, -self.clip, self.clip)
        if self.norm is None:
            near: NDArray[Any] = np.clip(np.rint(clipped / self.step), -most, most)
            return near
        grid = Grid(self.norm, self._exponent)
        steps: NDArray[Any] = np.clip(grid.clip(clipped, grid.measure(lambda: [clipped])), -most, most)
        if self.noise is None:
            return steps
        if len(secret) < KEY_SIZE:
            raise Unsupported("noise follows from a secret of the participant's, and there is none")
        noise = DiscreteGaussian(self.variance)
        parts = [*question, str(self.variance).encode(), self.context.encode(), steps.tobytes()]
        noise.draws(derive_key(secret, "share of an encrypted sum", *parts)).add(steps)
        if (
            int(np.abs(steps).max(initial=0)) > most + noise.largest
        ):  # it would not be what the range has room for
            raise InvalidTensors("a share of noise is larger than this noise can be")
        return steps

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
        form = self._form(self.reach)
        places = [self._places(read, size) for read, size in updates]
        noise = None if noise is None else np.rint(noise / self.step) * self.step
        most = self.reach * len(updates) + (0.0 if noise is None else float(np.abs(noise).max(initial=0)))
        total = self._form(most).check()
        return b"".join(frame(total, self._totals(context, form, places, child, noise)))

    def _places(self, read: Callable[[int, int], bytes | memoryview], size: int) -> Iterator[bytes]:
        """The ciphertexts of one update."""
        offset = self.check_head(read(0, min(LONGEST_HEAD, size)), size)
        return read_ciphertexts(
            self._form(self.reach), lambda start, stop: read(offset + start, offset + stop)
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
            found = child.decrypt(form, memoryview(total)[offset:], count, _NEAR * self.step)
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
        return self._form(self.reach).nbytes

    def check_head(self, head: bytes | bytearray | memoryview, size: int) -> int:
        """Where the ciphertexts of an update of ``size`` bytes begin, whose frame begins with ``head``.

        Raises :class:`Conflict` for one under another key, and :class:`BadRequest` for what is of another form.
        """
        wanted = self._form(self.reach)
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
        form = self._form(self.reach)
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
