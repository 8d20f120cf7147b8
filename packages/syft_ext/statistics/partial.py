"""Numbers that lack a part: which site's, and why. Nobody gets such a number without seeing that it does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from syft_ext.readable import readable

__all__ = ["Lack", "Partial", "lacks_in_words", "or_partial"]


@dataclass(frozen=True, slots=True)
class Lack:
    """What is not in a number.

    Attributes:
        domain, table: whose rows, or some of them.
        why: in words.
    """

    domain: str
    table: str
    why: str

    def __str__(self) -> str:
        return readable(f"{self.domain} ({self.table}): {self.why}")


class Partial:
    """A number (a histogram, a matrix, a regression) of fewer rows than were asked about.

    It is no number itself, so that it cannot be mistaken for one: ``value`` is what the other sites say together.

    Attributes:
        value: of the sites that answered.
        lacks: what is not in it.
    """

    __slots__ = ("lacks", "value")
    partial = True

    def __init__(self, value: Any, lacks: Iterable[Lack]) -> None:
        self.value, self.lacks = value, tuple(lacks)

    @property
    def sites(self) -> tuple[str, ...]:
        """The Domains that are not in it, or not wholly."""
        return tuple(dict.fromkeys(lack.domain for lack in self.lacks))

    def __eq__(self, other: object) -> Any:
        if isinstance(other, Partial):
            return self.lacks == other.lacks and self.value == other.value
        return self.value == other if isinstance(other, int | float) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.lacks)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"this is partial ({lacks_in_words(self.lacks)}) and has no {name!r}: "
            ".value is what the other sites say, .lacks what is not in it"
        )

    def __str__(self) -> str:
        return readable(f"{self.value}*", lines=True)

    def __repr__(self) -> str:
        return readable(f"Partial({self.value!r}, without {lacks_in_words(self.lacks)})", lines=True)


def or_partial(value: Any, lacks: Iterable[Lack]) -> Any:
    """The value, marked where something lacks; None, which is what all sites keep back, stays None."""
    lacks = tuple(lacks)
    if isinstance(value, Partial):
        value, lacks = value.value, (*value.lacks, *lacks)
    return Partial(value, lacks) if lacks and value is not None else value


def lacks_in_words(lacks: Iterable[Lack]) -> str:
    """Each lack once."""
    return "; ".join(dict.fromkeys(map(str, lacks)))
