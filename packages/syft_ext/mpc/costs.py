"""What protocols cost, as formulas: rounds, and bytes that each party sends, for n numbers.

They are what a session promises; tests hold what is sent to at most 1.2 of them. Words of 64 bits are compared
by Kogge and Stone's adder, seven levels of conjunctions: one at the first and the last, two at the five others.
Values that are shared by three summands take another level, which makes two of them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRICES", "PROOF", "Prices", "TrafficPrice"]

_ADDER_ROUNDS = 7
_PLACES = 31


@dataclass(frozen=True, slots=True)
class TrafficPrice:
    """Rounds, and bytes that one party sends."""

    rounds: int
    nbytes: float

    def __add__(self, other: TrafficPrice) -> TrafficPrice:
        return TrafficPrice(self.rounds + other.rounds, self.nbytes + other.nbytes)

    def times(self, numbers: float) -> TrafficPrice:
        """The same rounds for so many numbers."""
        return TrafficPrice(self.rounds, self.nbytes * numbers)


@dataclass(frozen=True, slots=True)
class Prices:
    """Of one protocol, for one number each.

    Attributes:
        operand, result: bytes of a product for each number of its operands, and of its result.
        truncated, bit: of a truncation, and of a bit shared by XOR that becomes a number.
        left, right: bytes of conjunctions for their left word, and for each right one.
        summands: words that a value is the sum of. opened: bytes of an opened number.
    """

    operand: float
    result: float
    truncated: TrafficPrice
    bit: TrafficPrice
    left: float
    right: float
    summands: int
    opened: float

    def conjunctions(self, words: int, n: float) -> TrafficPrice:
        """Of one word with several."""
        return TrafficPrice(1, n * (self.left + words * self.right))

    def adder(self, n: float) -> TrafficPrice:
        """The sum of a value's summands."""
        total = TrafficPrice(0, 0)
        for words in [1] * (self.summands - 2) + [1, 2, 2, 2, 2, 2, 1]:
            total += self.conjunctions(words, n)
        return total

    def product(self, left: int, right: int, result: int, *, truncated: bool = True) -> TrafficPrice:
        """Of operands and a result with so many numbers."""
        made = TrafficPrice(1, self.operand * (left + right) + self.result * result)
        return made + self.truncated.times(result) if truncated else made

    def comparison(self, n: int) -> TrafficPrice:
        """x < y: an adder, and a bit that becomes a number."""
        return self.adder(n) + self.bit.times(n)

    def relu(self, n: int) -> TrafficPrice:
        """A comparison, and a product with a bit, which needs no truncation."""
        return self.comparison(n) + self.product(n, n, n, truncated=False)

    def greatest(self, rows: int, columns: int) -> TrafficPrice:
        """The largest of each row: a tree."""
        total = TrafficPrice(0, 0)
        while columns > 1:
            total, columns = total + self.relu(rows * (columns // 2)), columns - columns // 2
        return total

    def range_check(self, n: int) -> TrafficPrice:
        """Of n numbers together: an adder for each, and 40 parities in one word, of which one bit is opened."""
        total = self.adder(n) + self.bit + TrafficPrice(1, self.opened)
        for _ in range(6):
            total += self.conjunctions(1, 1)
        return total

    def _polynomial(self, degree: int, n: int) -> TrafficPrice:
        total, known = TrafficPrice(0, 0), 1
        while known < degree:
            new = min(known, degree - known)
            total, known = total + self.product(new * n, n, new * n), known + new
        return total + self.truncated.times(n)

    def _scaled(self, n: int) -> TrafficPrice:
        """The place of the highest digit (an adder, five levels of prefixes, 31 bits); the operand moved there."""
        total = self.adder(n) + self.bit.times(_PLACES * n) + self.product(n, n, n, truncated=False)
        for _ in range(5):
            total += self.conjunctions(1, n)
        return total

    def function(self, name: str, n: int) -> TrafficPrice:
        """Of reciprocal, sqrt, rsqrt, log, exp, sigmoid and tanh, with the check of its range (2n; exp: n)."""
        if name == "exp":
            digits = self.adder(n) + self.bit.times(6 * n)
            clamped = self.product(6 * n, n, 6 * n, truncated=False)
            power = self.product(2 * n, 2 * n, 2 * n, truncated=False)
            power += self.product(n, n, n, truncated=False) + self.product(n, n, n, truncated=False)
            first = self.truncated.times(n)
            whole = first + digits + clamped + self._polynomial(7, n) + power
            return whole + self.product(n, n, n) + self.range_check(n)
        if name in ("sigmoid", "tanh"):
            twice = self.product(n, n, n, truncated=False)
            rest = self.comparison(n) + twice + twice + self._polynomial(10, n) + self.truncated.times(n)
            return self.function("exp", n) + rest
        table = self.truncated.times(n) if name == "log" else self.product(n, n, n)
        degree = {"reciprocal": 10, "sqrt": 9, "rsqrt": 10, "log": 12}[name]
        return self._scaled(n) + self._polynomial(degree, n) + table + self.range_check(2 * n)

    def softmax(self, rows: int, columns: int) -> TrafficPrice:
        """The largest, exponentials, the reciprocal of their sums."""
        n = rows * columns
        divided = self.product(n, rows, n)
        checks = self.range_check(n + 2 * rows)
        functions = self.function("exp", n) + self.function("reciprocal", rows)
        both = self.range_check(n) + self.range_check(2 * rows)  # which are made together
        apart = TrafficPrice(functions.rounds - both.rounds, functions.nbytes - both.nbytes)
        return self.greatest(rows, columns) + apart + divided + checks


_PROVED = 8 + 3 * (8 + 2 * 16)
"""A number or word that is proved: three random products, with two masked operands each that are opened twice."""
PROOF = TrafficPrice(15, 6 * 3 * 3 * 56)
"""Of one settling against a cheating party, besides what each product costs: coins, and random products left over,
56 bytes each. Those are three, or as many as 3·2¹⁴ of each kind are more than three for each product."""
PRICES = {
    ("Beaver", "semi-honest"): Prices(8, 0, TrafficPrice(1, 8), TrafficPrice(1, 1 / 8), 8, 8, 2, 8),
    ("Falcon", "semi-honest"): Prices(0, 8, TrafficPrice(2, 16), TrafficPrice(2, 16), 0, 8, 3, 8),
    ("Falcon", "malicious"): Prices(
        0, _PROVED, TrafficPrice(11, 23 * _PROVED + 16), TrafficPrice(2, 2 * _PROVED), 0, _PROVED, 3, 16
    ),
}
"""By protocol and security. A matrix product that is proved costs 160 bytes for each number that is multiplied in
96 inner products, and not for each of its result."""
