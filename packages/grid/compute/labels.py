"""Which objects each value of a session was computed from.

Each object that a session loads is one of its *sources*; a label is the set of sources behind a value, as the bits
of an integer: the union of two labels is one machine operation, and the node keeps them for every value.

A source is the object that was loaded, also when that was itself computed from others: who may read that object
may read what is computed from it, and :mod:`grid.access.decision` says who that is. Its roots are kept beside
it, for what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grid.compute.arguments import references
from grid.compute.protocol import Source
from syft_ext.errors import BadRequest, NotFound, TooLarge
from syft_ext.messages.compute import Action, Call, Drop, Load, Put, RunPlan

__all__ = ["MAX_SOURCES", "MAX_VALUES", "Labels"]

MAX_SOURCES = 1024
MAX_VALUES = 1 << 20


class Labels:
    """Attributes:
    sources: the objects that were loaded, in order; bit ``i`` of a label means ``sources[i]``.
    last: the largest number of a value so far: numbers count up, so none is ever used twice.
    """

    def __init__(self, last: int = -1) -> None:
        self.last = last
        self.sources: list[Source] = []
        self._of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._of)

    def outs(self, action: Action) -> Sequence[int]:
        """The values that the action defines. Raises :class:`BadRequest` unless their numbers count up."""
        if isinstance(action, Load | Put):
            outs: Sequence[int] = (action.out,)
        elif isinstance(action, Call | RunPlan):
            outs = action.outs
        else:
            return ()
        last = self.last
        for out in outs:
            if out <= last:
                raise BadRequest(f"value {out}: numbers of values count up, and {last} was there already")
            last = out
        return outs

    def operands(self, action: Action) -> Iterable[int]:
        """The values that it reads; raises :class:`BadRequest` for malformed arguments."""
        if isinstance(action, Call):
            return references(action)
        return action.inputs if isinstance(action, RunPlan) else ()

    def join(self, values: Iterable[int]) -> int:
        """The union of the values' labels; raises :class:`NotFound` for a value that is not there."""
        label, of = 0, self._of
        for value in values:
            try:
                label |= of[value]
            except KeyError:
                raise NotFound(f"there is no value {value} in this session") from None
        return label

    def define(self, outs: Sequence[int], label: int) -> None:
        """Give all of ``outs`` the label; the last one is what numbers of later values must lie above."""
        for out in outs:
            self._of[out] = label
        if outs:
            self.last = outs[-1]

    def undo(self, last: int, outs: Iterable[int]) -> None:
        """Forget values that were defined, and never came about."""
        for out in outs:
            self._of.pop(out, None)
        self.last = last

    def room(self, more: int) -> None:
        """Raise :class:`TooLarge` unless the session may have so many values more."""
        if len(self._of) + more > MAX_VALUES:
            raise TooLarge(f"a session holds at most {MAX_VALUES} values", limit=MAX_VALUES)

    def drop(self, action: Drop) -> None:
        """Forget values; those that are not there are passed over."""
        for value in action.values:
            self._of.pop(value, None)

    def source(self, object_id: str) -> int | None:
        """The number of an object that was loaded already."""
        return next((i for i, each in enumerate(self.sources) if each.object_id == object_id), None)

    def next_source(self, object_id: str) -> int:
        """The number that it has or will have; raises :class:`TooLarge`."""
        found = self.source(object_id)
        if found is None and len(self.sources) >= MAX_SOURCES:
            raise TooLarge(f"a session loads at most {MAX_SOURCES} objects", limit=MAX_SOURCES)
        return len(self.sources) if found is None else found

    def add_source(self, number: int, source: Source) -> None:
        """Note what was loaded as the source of that number, unless it is there already."""
        if number == len(self.sources):
            self.sources.append(source)

    def objects(self, label: int) -> list[str]:
        """The ids of the sources in a label."""
        return [source.object_id for source in self.behind(label)]

    def behind(self, label: int) -> list[Source]:
        """The sources in a label."""
        return [source for i, source in enumerate(self.sources) if label >> i & 1]

    def bits(self, object_ids: Iterable[str]) -> int:
        """The label of these objects, as far as they are sources."""
        wanted = set(object_ids)
        return sum(1 << i for i, each in enumerate(self.sources) if each.object_id in wanted)

    def restore(self, sources: Iterable[Source], labels: Iterable[tuple[int, bytes]]) -> None:
        """What a host kept while this node was away."""
        self.sources = list(sources)
        self._of = {value: int.from_bytes(bits, "big") for value, bits in labels}
