"""Private tensors: columns that may be computed with, and of which only noisy sums are ever seen.

    ages = sy.dp.annotate(asset.column("age"), 0, 100, subjects="patient")
    total = ((ages - 50) * 2).clip(-20, 40).sum()
    total.publish(epsilon=0.5)                                      # the noise covers all rows of a person

Nothing is computed here: steps are recorded, with the bounds that they have, and sent as a whole by ``publish``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from syft_ext.dp.columns import ColumnOf, columns_of
from syft_ext.errors import BadRequest
from syft_ext.messages.private_tensors import PrivateTable, Published, PublishTensor
from syft_ext.messages.statistics import DescribeTable, TableView
from syft_ext.privacy.steps import Operation, Step
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.privacy.expressions import Value

__all__ = ["PrivateMean", "PrivateTensor", "PublishedTensor", "annotate", "stack"]


def annotate(
    column: Any, lower: float | None = None, upper: float | None = None, subjects: str = ""
) -> PrivateTensor:
    """A private tensor of a stored column.

    Args:
        column: ``asset.column("age")``, or a pointer to a stored column.
        lower, upper: narrower bounds than the owner's; None: theirs.
        subjects: the column that says whom a row is about, as its owner has it; "": the owner's.

    Raises :class:`~syft_ext.errors.BadRequest` where the owner gives no bounds, or does not say who rows are
    about.
    """
    (place,) = columns_of(column)
    view: TableView = place.connect().call(DescribeTable(object_id=place.object_id))
    described = next((each for each in view.columns if each.name == place.name), None)
    if described is None:
        raise BadRequest(f"this table has no column {place.name!r}")
    low = described.low if lower is None else lower
    high = described.high if upper is None else upper
    if low is None or high is None:
        raise BadRequest(f"the owner gives no bounds of {place.name!r}: its schema must say low and high")
    if described.low is None or described.high is None or not described.low <= low < high <= described.high:
        raise BadRequest(
            f"bounds of {place.name!r} lie within its owner's, {described.low:g} to {described.high:g}"
        )
    node = _TensorStep("column", place=place, low=float(low), high=float(high), subjects=subjects)
    return PrivateTensor(node)


class _TensorStep:
    """One recorded step. Public numbers and operands never change."""

    def __init__(
        self,
        op: Operation,
        of: Sequence[_TensorStep] = (),
        *,
        place: ColumnOf | None = None,
        low: float | None = None,
        high: float | None = None,
        public: Sequence[float] = (),
        columns: int = 0,
        subjects: str = "",
    ) -> None:
        self.op, self.of, self.place, self.low, self.high = op, tuple(of), place, low, high
        self.public, self.columns, self.subjects = [float(each) for each in public], columns, subjects


class _Recorded:
    """What is sent: tables and steps, each once."""

    def __init__(self, last: _TensorStep) -> None:
        self.tables: list[PrivateTable] = []
        self.steps: list[Step] = []
        self.client: Caller | None = None
        self.domain_id = ""
        self._done: dict[int, int] = {}
        waiting = [last]
        while waiting:
            node = waiting[-1]
            missing = [each for each in node.of if id(each) not in self._done]
            if id(node) in self._done or missing:
                waiting += missing
                if not missing:
                    waiting.pop()
                continue
            self._add(node)
            waiting.pop()

    def _add(self, node: _TensorStep) -> None:
        table = self._table(node) if node.place is not None else 0
        named = node.place is not None and node.op == "column"
        self._done[id(node)] = len(self.steps)
        self.steps.append(
            Step(
                op=node.op,
                of=[self._done[id(each)] for each in node.of],
                table=table,
                column=node.place.name if named and node.place is not None else "",
                low=node.low,
                high=node.high,
                public=node.public,
                columns=node.columns,
            )
        )

    def _table(self, node: _TensorStep) -> int:
        assert node.place is not None
        if self.domain_id not in ("", node.place.domain_id):
            raise BadRequest(
                "one private tensor is of tables at one Domain: publish at each, and add the results"
            )
        self.client, self.domain_id = node.place.connect(), node.place.domain_id
        for index, each in enumerate(self.tables):
            if each.object_id == node.place.object_id:
                if node.subjects and each.subjects not in ("", node.subjects):
                    raise BadRequest("a table has one column that says whom a row is about")
                each.subjects = each.subjects or node.subjects
                return index
        self.tables.append(PrivateTable(object_id=node.place.object_id, subjects=node.subjects))
        return len(self.tables) - 1

    def values(self) -> list[Value]:
        """Form and bounds of each step; raises :class:`BadRequest` for what makes no sense."""
        from syft_ext.privacy.expressions import propagate

        ends = {
            place: (step.low or 0.0, step.high or 0.0)
            for place, step in enumerate(self.steps)
            if step.op == "column"
        }
        return propagate(self.steps, ends)


class PublishedTensor(list[float]):
    """Noisy numbers. One number counts as a float.

    Attributes:
        deviation: standard deviation of the noise in each. epsilon: of the release.
        shares: what it took of each table's ledger now.
        noise_only: whether the numbers say nothing: none differs from 0 by two deviations; of a mean, the number
            of rows does not.
    """

    deviation: float
    epsilon: float
    shares: list[float]
    noise_only: bool

    def __float__(self) -> float:
        if len(self) != 1:
            raise TypeError(f"{len(self)} numbers are not one")
        return self[0]

    def __repr__(self) -> str:
        numbers = ", ".join(f"{each:.6g}" for each in self)
        nothing = ", which is all that they are" if self.noise_only else ""
        return readable(f"[{numbers}] (noise of {self.deviation:.3g} in each{nothing}, ε {self.epsilon:g})")


class PrivateTensor:
    """Numbers for each row, or sums of them, within known bounds; made by :func:`annotate`.

    Raises :class:`~syft_ext.errors.BadRequest`, here and not at the Domain, for what cannot be.
    """

    def __init__(self, node: _TensorStep) -> None:
        self._node = node
        self._value = _Recorded(node).values()[-1]

    # -- what is known of it --------------------------------------------------------------------------

    @property
    def summed(self) -> bool:
        """Whether it is a sum over rows, which can be published."""
        return not hasattr(self._value, "low")

    @property
    def lower(self) -> list[float]:
        """Of each number of a row, the least that it can be."""
        return self._bound("low")

    @property
    def upper(self) -> list[float]:
        """Of each number of a row, the largest that it can be."""
        return self._bound("high")

    def _bound(self, name: str) -> list[float]:
        if self.summed:
            raise BadRequest("a sum has no bounds: how many rows there are is private")
        found: list[float] = getattr(self._value, name).tolist()
        return found

    def __len__(self) -> int:
        """How many numbers there are, in a row or in the sum."""
        return len(self._value.constant) if hasattr(self._value, "constant") else len(self._value.low)

    def __repr__(self) -> str:
        if self.summed:
            return f"<PrivateTensor, {len(self)} sums; .publish(epsilon)>"
        ends = ", ".join(f"{low:g} to {high:g}" for low, high in zip(self.lower, self.upper, strict=True))
        return f"<PrivateTensor, rows of {len(self)}: {ends}>"

    # -- arithmetic -----------------------------------------------------------------------------------

    def __add__(self, other: Any) -> PrivateTensor:
        return self._with("add", other)

    def __radd__(self, other: Any) -> PrivateTensor:
        return self._with("add", other)

    def __sub__(self, other: Any) -> PrivateTensor:
        return self._with("subtract", other)

    def __rsub__(self, other: Any) -> PrivateTensor:
        return (-self)._with("add", other)

    def __neg__(self) -> PrivateTensor:
        return PrivateTensor(_TensorStep("negate", [self._node]))

    def __mul__(self, other: Any) -> PrivateTensor:
        if isinstance(other, PrivateTensor):
            raise BadRequest("a private tensor is multiplied by public numbers only")
        return self._with("multiply", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> PrivateTensor:
        if isinstance(other, PrivateTensor):
            raise BadRequest(
                "a private tensor is divided by public numbers only; .mean() divides by how many there are"
            )
        return self * [1.0 / each for each in _flat(other)]

    def __matmul__(self, matrix: Any) -> PrivateTensor:
        """By a public matrix, of as many rows as there are numbers; a vector gives one number."""
        rows = matrix.tolist() if hasattr(matrix, "tolist") else list(matrix)
        table = [row if isinstance(row, list | tuple) else [row] for row in rows]
        if not table or len({len(row) for row in table}) != 1:
            raise BadRequest("a matrix has rows of one length")
        flat = [float(each) for row in table for each in row]
        return PrivateTensor(_TensorStep("matmul", [self._node], public=flat, columns=len(table[0])))

    def clip(self, low: float, high: float) -> PrivateTensor:
        """Each number of a row, cut off: noise becomes less, and what is cut off is lost."""
        return PrivateTensor(_TensorStep("clip", [self._node], low=float(low), high=float(high)))

    def sum(self) -> PrivateTensor:
        """Over all rows."""
        return PrivateTensor(_TensorStep("sum", [self._node]))

    def mean(self) -> PrivateMean:
        """Over all rows; how many there are is private too, and takes its part of the noise."""
        return PrivateMean(self)

    def _with(self, op: Operation, other: Any) -> PrivateTensor:
        if isinstance(other, PrivateTensor):
            return PrivateTensor(_TensorStep(op, [self._node, other._node]))
        return PrivateTensor(_TensorStep(op, [self._node], public=_flat(other)))

    # -- publishing -----------------------------------------------------------------------------------

    def publish(self, epsilon: float, *, timeout: float = 60.0) -> PublishedTensor:
        """Have the sums, with noise that covers all rows of a person in all tables together.

        Raises:
            BadRequest: rows that were not summed.
            Forbidden: you lack the permission, or a table's ledger has too little left.
        """
        reply = self._ask(epsilon, timeout, dry=False)
        found = PublishedTensor(reply.values)
        found.deviation, found.epsilon, found.shares = reply.deviation, reply.epsilon, reply.shares
        found.noise_only = all(abs(each) < 2 * found.deviation for each in found)
        return found

    def price(self, epsilon: float, *, timeout: float = 60.0) -> Published:
        """What publishing would take of each table's ledger, and how much noise there would be; asks nothing."""
        return self._ask(epsilon, timeout, dry=True)

    def _ask(self, epsilon: float, timeout: float, *, dry: bool) -> Published:
        if not self.summed:
            raise BadRequest("rows are never published: .sum() or .mean() first")
        recorded = _Recorded(self._node)
        assert recorded.client is not None
        message = PublishTensor(tables=recorded.tables, steps=recorded.steps, epsilon=float(epsilon), dry=dry)
        reply: Published = recorded.client.call(message, timeout=timeout)
        return reply


class PrivateMean:
    """A mean over rows: sums of values about the middle of their bounds, and of how many rows there are, under one
    noise; the division is of noisy numbers, and costs nothing."""

    def __init__(self, rows: PrivateTensor) -> None:
        if rows.summed:
            raise BadRequest("this is summed over its rows already")
        self._middle = [(low + high) / 2 for low, high in zip(rows.lower, rows.upper, strict=True)]
        half = max(high - low for low, high in zip(rows.lower, rows.upper, strict=True)) / 2
        self._scale = half or 1.0
        one = _TensorStep("ones", place=_a_place(rows._node))
        both = stack(rows - self._middle, PrivateTensor(one) * self._scale)
        self._sums = both.sum()
        self._bounds = list(zip(rows.lower, rows.upper, strict=True))

    def publish(self, epsilon: float, *, timeout: float = 60.0) -> PublishedTensor:
        """As :meth:`PrivateTensor.publish`; the deviation is that of a mean of as many rows as were counted."""
        sums = self._sums.publish(epsilon, timeout=timeout)
        rows = max(sums[-1] / self._scale, 1.0)
        means = [
            min(max(middle + each / rows, low), high)
            for middle, each, (low, high) in zip(self._middle, sums[:-1], self._bounds, strict=True)
        ]
        found = PublishedTensor(means)
        found.deviation, found.epsilon, found.shares = sums.deviation / rows, sums.epsilon, sums.shares
        # Values are scaled so that a row adds as much to their sums at most as to how many there are.
        found.noise_only = sums[-1] < 2 * sums.deviation
        return found


def stack(*tensors: PrivateTensor) -> PrivateTensor:
    """Rows of one table side by side."""
    return PrivateTensor(_TensorStep("stack", [each._node for each in tensors]))


def _a_place(node: _TensorStep) -> ColumnOf:
    while node.place is None:
        node = node.of[0]
    return node.place


def _flat(numbers: Any) -> list[float]:
    given = numbers.tolist() if hasattr(numbers, "tolist") else numbers
    found = [float(each) for each in (given if isinstance(given, list | tuple) else [given])]
    if not found:
        raise BadRequest("no numbers")
    return found
