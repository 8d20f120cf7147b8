"""Falcon against one party of three that does as it likes: the run ends, and nothing is opened.

- What is opened comes from two parties, and has to be the same.
- Each product and conjunction is proved (:mod:`~syft_ext.mpc.verified`) before anything is opened that no random
  word masks: range checks' last bit, results.
- Random words are truncated by an adder over what pairs of parties know, so no party is trusted to do it.
- Inputs are checked to lie in their ranges, as everything else that could wrap around. An owner can lie about its
  input, as always.
- Coins are thrown when what they decide on is fixed: committed to, to both others alike, then shown.

Errors that a party adds are found whatever the values are; whether a run ends tells it nothing but what the range
checks tell everybody.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

import torch

from syft_ext.errors import ProtocolAborted
from syft_ext.mpc.engine import Given, Job, ShareRound, Steps
from syft_ext.mpc.falcon import Falcon
from syft_ext.mpc.ring import KEY_BYTES, LIMIT, WordStream, truncated
from syft_ext.mpc.shares import ReplicatedSharedTensor, ShareTensor
from syft_ext.mpc.verified import Gates, Pair, RingGate, WordGate, failing, ring_gates, word_gates
from syft_ext.mpc.words import Words

__all__ = ["FalconAbort"]

_LOW = (1 << 63) - 1
_SHIFT = 1 << 62


class FalconAbort(Falcon):
    """Attributes:
    pool: random products of one check at least, which its soundness follows from.
    most: products of the program that wait for their check at most: they stay in memory until then.
    """

    pool = 3 << 14
    most = 1 << 17

    def __init__(
        self, index: int, precision: int, keys: tuple[bytes, bytes], coins: bytes, *, dry: bool = False
    ) -> None:
        super().__init__(index, precision, keys, coins, dry=dry)
        self._products: list[RingGate] = []
        self._conjunctions: list[WordGate] = []
        self._pending = 0

    # -- shares ---------------------------------------------------------------------------------------

    def deal(self, inputs: Sequence[Given]) -> Steps[list[ShareTensor]]:
        shares = yield from super().deal(inputs)
        for share in shares:
            bits = (2 * share.bound).bit_length()
            for each in (share, self.neg(share)):
                self.require(self.shifted(each, share.bound), bits)
        return shares

    def open(self, values: Sequence[ShareTensor]) -> Steps[list[torch.Tensor]]:
        missing = yield from self._twice([value.parts for value in values])
        return [value.parts[0] + value.parts[1] + each for value, each in zip(values, missing, strict=True)]

    def _twice(self, pairs: Sequence[Pair]) -> Steps[list[torch.Tensor]]:
        """The components that this party does not hold, which both others do."""
        own, following = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        mail = yield ShareRound(
            {self.after: own, self.before: following}, {self.before: own, self.after: following}
        )
        one, two = mail[self.before], mail[self.after]
        if not all(torch.equal(a, b) for a, b in zip(one, two, strict=True)):
            raise ProtocolAborted("two parties say different things of what is opened")
        return one

    # -- products -------------------------------------------------------------------------------------

    def products(self, jobs: Sequence[Job]) -> Steps[list[ShareTensor]]:
        found = yield from super().products(jobs)
        for (kernel, x, y), z in zip(jobs, found, strict=True):
            gate = RingGate(kernel, x.parts, y.parts, z.parts)
            self._products.append(gate)
            self._pending += gate.products
        yield from self._check(self.most)
        return found

    def conjunctions(self, left: Words, rights: Sequence[Words]) -> Steps[list[Words]]:
        found = yield from super().conjunctions(left, rights)
        for right, result in zip(rights, found, strict=True):
            self._conjunctions.append(WordGate(left, right, result))
            self._pending += left[0].numel()
        yield from self._check(self.most)
        return found

    def truncate(self, value: ShareTensor, bits: int) -> Steps[ShareTensor]:
        """The random word's components are known to two parties each; an adder finds what is carried into the
        digits that stay, and out of the lower 63."""
        shape = value.shape
        word = (self._own.words(shape), self._next.words(shape))
        low = ReplicatedSharedTensor(tuple(part & _LOW for part in word), 0, 1)
        one, two = yield from self.two_words(self.summands(low))
        _, carry = yield from self.added(one, two)
        tops = tuple(part >> 63 & 1 for part in word)
        found = []
        for most, carried, top in zip(two, carry, tops, strict=True):
            last = (most >> 63) & 1, (carried >> 62) & 1
            into = (most >> bits) & 1, (carried >> (bits - 1)) & 1
            found.append(torch.stack([*into, *last, last[0] ^ last[1] ^ top], -1))
        numbers = yield from self.arithmetic(tuple(found), value)
        (opened,) = yield from self.open([replace(value, parts=self._sum(value, word))])
        parts = []
        for place, (rest, each) in enumerate(zip(low.parts, numbers.parts, strict=True)):
            part, public = truncated(opened.clone(), each[..., 4], bits)
            part += (each[..., 2] + each[..., 3]) << (63 - bits)
            part -= (rest >> bits) + each[..., 0] + each[..., 1]
            parts.append(part + public if (self.index + place) % 3 == 0 else part)
        return replace(value, parts=tuple(parts))

    def _sum(self, value: ShareTensor, word: Pair) -> Pair:
        shifted = self.shifted(value, _SHIFT)
        return tuple(a + b for a, b in zip(shifted.parts, word, strict=True))

    # -- proofs ---------------------------------------------------------------------------------------

    def toss(self) -> Steps[None]:
        mine = torch.frombuffer(bytearray(os.urandom(2 * KEY_BYTES)), dtype=torch.uint8)
        committed = yield from self._told(self._digest(self.index, mine))
        # With what the third committed to: who has two honest parties throw different coins would have them open,
        # between them, the random words that hide the program's numbers.
        heard = {self.before: committed[self.after], self.after: committed[self.before]}
        like = [mine, mine]
        mail = yield ShareRound(
            {each: [mine, digest] for each, digest in heard.items()}, dict.fromkeys(heard, like)
        )
        shown = {self.index: mine}
        for party, (coin, third) in mail.items():
            shown[party] = coin
            if not self.dry and not torch.equal(third, heard[party]):
                raise ProtocolAborted("a party committed to another coin elsewhere")
            if not self.dry and not torch.equal(self._digest(party, coin), committed[party]):
                raise ProtocolAborted("a party shows another coin than it committed to")
        whole = b"".join(bytes(shown[party].numpy()) for party in range(3))
        self._coins = WordStream(hashlib.sha256(b"grid shares toss" + whole).digest()[:KEY_BYTES])

    def _told(self, mine: torch.Tensor) -> Steps[dict[int, torch.Tensor]]:
        """The same to both others, and what they say."""
        others = (self.before, self.after)
        mail = yield ShareRound({each: [mine] for each in others}, {each: [mine] for each in others})
        return {each: mail[each][0] for each in others}

    @staticmethod
    def _digest(party: int, tensor: torch.Tensor) -> torch.Tensor:
        data = b"grid shares %d " % party + tensor.contiguous().numpy().tobytes()
        return torch.frombuffer(bytearray(hashlib.sha256(data).digest()), dtype=torch.uint8)

    def confirm(self) -> Steps[None]:
        yield from self._check(0)
        good = torch.ones(1, dtype=torch.uint8)
        said = yield from self._told(good)  # who ended the run says nothing, and nobody goes on
        if not self.dry and not all(torch.equal(each, good) for each in said.values()):
            raise ProtocolAborted("a party does not confirm what was computed")

    def _check(self, most: int) -> Steps[None]:
        """Prove what waits, if that is more than ``most``."""
        if self._pending <= most:
            return
        products, self._products = self._products, []
        conjunctions, self._conjunctions = self._conjunctions, []
        self._pending = 0
        yield from self.toss()
        if products:
            for gates in ring_gates(products, self._coins).pieces(self.most):
                yield from self._prove(gates, words=False)
        if conjunctions:
            for gates in word_gates(conjunctions).pieces(self.most):
                yield from self._prove(gates, words=True)

    def _prove(self, gates: Gates, *, words: bool) -> Steps[None]:
        count, copies = gates.left[0].numel(), gates.copies
        pool = max(copies * count, self.pool) + copies
        a: Pair
        b: Pair
        a, b = ((self._own.words((pool,)), self._next.words((pool,))) for _ in range(2))
        if words:
            (c,) = yield from super().conjunctions(a, [b])
        else:
            left, right = (ReplicatedSharedTensor(each, 0, LIMIT) for each in (a, b))
            c = (yield from super().products([("mul", left, right)]))[0].parts
        yield from self.toss()
        order = torch.argsort(self._coins.words((pool,)))
        mixed = [tuple(part[order] for part in each) for each in (a, b, c)]
        opened = [tuple(part[copies * count :] for part in each) for each in mixed]
        a, b, c = (tuple(part[: copies * count].view(copies, count) for part in each) for each in mixed)
        masked = [
            tuple(x ^ part if words else x - part for x, part in zip(side, mask, strict=True))
            for side, mask in ((gates.left, a), (gates.right, b))
        ]
        missing = yield from self._twice(opened + masked)
        whole = [
            one ^ two ^ three if words else one + two + three
            for (one, two), three in zip(opened + masked, missing, strict=True)
        ]
        if not self.dry and failing(words, *whole[:3]):
            raise ProtocolAborted("a product of random numbers is wrong")
        yield from self._nothing(self._errors(gates, (a, b, c), (whole[3], whole[4]), words), words=words)

    def _errors(
        self,
        gates: Gates,
        random: tuple[Pair, Pair, Pair],
        known: tuple[torch.Tensor, torch.Tensor],
        words: bool,
    ) -> list[torch.Tensor]:
        """Of a set's first random product against each other one, and of the gates against the first ones. Gates
        are sums: were they held against each copy, errors at different terms would make up for one another."""
        a, b, c = random
        d, e = (each.clone() for each in known)  # x - a, y - b; then, of the other copies, a₁ - a, b₁ - b
        for each in (d, e):
            each[1:] = each[1:] ^ each[:1] if words else each[1:] - each[:1]
        public = self._at(0, (d & e, d & e) if words else (d * e, d * e))
        errors = []
        for z, x, y, each, both in zip(gates.result, a, b, c, public, strict=True):
            if words:
                found = each ^ (e & x) ^ (d & y) ^ both
                found[1:] ^= each[:1]
                found[:1] ^= z
                errors.append(found.reshape(-1))
                continue
            found = each + both
            found.addcmul_(e, x)
            found.addcmul_(d, y)
            total = torch.zeros_like(z).index_add_(0, gates.places, found[0])
            errors.append(torch.cat([z - total, (found[1:] - each[:1]).reshape(-1)]))
        return errors

    def _nothing(self, errors: Sequence[torch.Tensor], *, words: bool) -> Steps[None]:
        """That these components are of zeros: each party says a digest of what the others can tell it to be."""
        lacking = errors[0] ^ errors[1] if words else -(errors[0] + errors[1])
        own, following = (self._digest(3, each) for each in errors)
        mail = yield ShareRound(
            {self.after: [own], self.before: [following]}, {self.before: [own], self.after: [own]}
        )
        right = self._digest(3, lacking)
        if not self.dry and not all(torch.equal(said[0], right) for said in mail.values()):
            raise ProtocolAborted("a product is not what it must be: a party left the protocol")
