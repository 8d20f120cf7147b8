"""What sites say of their columns is compared before anything of them is combined.

Columns are joined by name, categories by word. What means different things is refused, and names the sites; what
is harmless, or cannot be told, is noted. Nothing is guessed, and nothing left out without a word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import Levels, TableColumn
from syft_ext.statistics.sites import Site

__all__ = ["Agreement", "Words", "agree", "alike"]

#: Statistics that mean something of words, too.
OF_WORDS = frozenset({"count", "missing", "histogram", "linear_regression", "logistic_regression"})
_ONLY_COUNTED = frozenset({"count", "missing"})
MOST_WORDS = 10_000

KeyPart = int | bool | str


def alike(name: str) -> str:
    """What is left of a name without case, accents, blanks and signs: what people may have meant as one."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(sign for sign in plain if sign.isalnum()) or name


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one column, over all sites: in the order of the first, then those that only others have.

    Attributes:
        codes: by ``id(site)``, the number that stands for each of ``words`` there; None where it has none.
    """

    column: str
    words: list[str]
    codes: Mapping[int, list[int | None]]

    def places(self, site: Site) -> dict[int, int]:
        """The place among ``words`` of each of the site's numbers."""
        return {code: place for place, code in enumerate(self.codes[id(site)]) if code is not None}

    def levels(self, site: Site, *, reference: bool) -> Levels:
        """How the site is asked for them in a regression. Missing values ("") are no word there."""
        codes = [code for word, code in zip(self.words, self.codes[id(site)], strict=True) if word]
        return Levels(codes=codes, reference=reference)

    @property
    def named(self) -> list[str]:
        """The words without the one that stands for missing values."""
        return [word for word in self.words if word]


@dataclass(slots=True)
class Agreement:
    """What all sites mean.

    Attributes:
        columns: that statistics are made of. words: by column, where its numbers stand for words.
        truth: columns to group by that are truth values everywhere.
        units: by column, where all sites tell the same one.
        notes: what was left out, and what could not be compared.
    """

    columns: list[str]
    words: dict[str, Words] = field(default_factory=dict)
    truth: set[str] = field(default_factory=set)
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def key(self, site: Site, by: Sequence[str], key: Sequence[int]) -> tuple[KeyPart, ...]:
        """A group's key in words. A number without a word is the site's own: nobody else's is the same."""
        if len(key) != len(by):
            raise BadRequest(f"{site.domain} answered for other groups than it was asked for")
        return tuple(self._part(site, name, value) for name, value in zip(by, key, strict=True))

    def _part(self, site: Site, name: str, value: int) -> KeyPart:
        words = self.words.get(name)
        if words is None:
            return bool(value) if name in self.truth else value
        place = words.places(site).get(value)
        return f"{value} (no word at {site.label})" if place is None else words.words[place]

    def order(self, by: Sequence[str], key: Sequence[KeyPart]) -> tuple[tuple[int, int, str], ...]:
        """Where a key stands: words in their order, those without one last."""
        order = []
        for name, part in zip(by, key, strict=True):
            words = self.words.get(name)
            if words is None:
                order.append((0, int(part), ""))
            elif part in words.words:
                order.append((0, words.words.index(str(part)), ""))
            else:
                order.append((1, 0, str(part)))
        return tuple(order)

    def may_have(self, site: Site, by: Sequence[str], key: Sequence[KeyPart]) -> bool:
        """Whether a site could have rows of a group: not where it has no number for one of its words."""
        for name, part in zip(by, key, strict=True):
            words = self.words.get(name)
            if words is None:
                continue
            if part not in words.words or words.codes[id(site)][words.words.index(str(part))] is None:
                return False
        return True


def agree(
    sites: Sequence[Site], wanted: Sequence[str] | None, by: Sequence[str], target: str, asked: Iterable[str]
) -> Agreement:
    """Which columns are meant, and what they hold.

    Args:
        wanted: columns; None: all that all tables have, of which those are left out (and noted) of which there
            are no such statistics.

    Raises:
        BadRequest: a table lacks a column, or sites mean different things by one; it names site and column.
    """
    statistics = set(asked)
    views = {id(site): {column.name: column for column in site.view.columns} for site in sites}
    agreement = Agreement([])
    chosen = _common(sites, views, {*by, target}, agreement.notes) if wanted is None else list(wanted)
    for name in [*chosen, *by, *filter(None, [target])]:
        for site in sites:
            if name not in views[id(site)]:
                raise _lacking(site, views[id(site)], name)
    for name in dict.fromkeys([*chosen, *by, *filter(None, [target])]):
        columns = [(site, views[id(site)][name]) for site in sites]
        left_out = name in chosen and _left_out(columns, name, wanted is None, statistics, agreement.notes)
        if name in chosen and not left_out:
            agreement.columns.append(name)
        elif name in chosen and name not in by and name != target:
            continue
        counted = statistics <= _ONLY_COUNTED and name not in by
        _compare_units(columns, name, counted, agreement.notes)
        _compare_kinds(columns, name, counted, agreement.notes)
        if len(told := {column.unit for _, column in columns}) == 1:
            agreement.units[name] = told.pop()
        if all(column.categories for _, column in columns):
            agreement.words[name] = _words(columns, name, agreement.notes)
        elif all(column.dtype == "bool" for _, column in columns):
            agreement.truth.add(name)
    if target in agreement.words:
        _check_target(agreement.words[target], statistics)
    if not agreement.columns:
        raise BadRequest(
            "; ".join(["the tables have no columns in common that this can be asked of", *agreement.notes])
        )
    return agreement


def _common(
    sites: Sequence[Site], views: Mapping[int, Mapping[str, TableColumn]], taken: set[str], notes: list[str]
) -> list[str]:
    """The names that all tables have; what only some have is noted, with names that nearly equal it."""
    common, partly = [], dict[str, list[str]]()
    for name in dict.fromkeys(name for site in sites for name in views[id(site)]):
        if name in taken:
            continue
        having = [site for site in sites if name in views[id(site)]]
        if len(having) == len(sites):
            common.append(name)
        else:
            partly.setdefault(alike(name), []).append(
                f"{name!r} ({', '.join(site.label for site in having)})"
            )
    for names in partly.values():
        if len(names) > 1:
            notes.append(
                f"left out: {' and '.join(names)} are nearly equal names, and may be one column: rename it"
            )
        else:
            notes.append(f"left out: only some tables have {names[0]}")
    return common


def _lacking(site: Site, view: Mapping[str, TableColumn], name: str) -> BadRequest:
    near = [other for other in view if alike(other) == alike(name)]
    said = (
        f"it has {near[0]!r}, which is nearly the same name"
        if near
        else f"it has: {', '.join(sorted(view)[:20])}"
    )
    return BadRequest(f"{site.domain}: {site.name} has no column {name!r}; {said}", column=name)


def _left_out(
    columns: Sequence[tuple[Site, TableColumn]],
    name: str,
    silent: bool,
    statistics: set[str],
    notes: list[str],
) -> bool:
    """Whether a column of words is left out, of which there are no such statistics; raises where it was named."""
    words = next((column.categories for _, column in columns if column.categories), None)
    senseless = sorted(statistics - OF_WORDS)
    if words is None or not senseless:
        return False
    shown = ", ".join(words[:3]) + (", …" if len(words) > 3 else "")
    said = f"{name!r} holds words ({shown}), of which there is no {senseless[0]}"
    if silent:
        notes.append(f"left out: {said}")
        return True
    raise BadRequest(f"{said}: ask for count, missing or histogram of it, or group by it", column=name)


def _compare_units(
    columns: Sequence[tuple[Site, TableColumn]], name: str, counted: bool, notes: list[str]
) -> None:
    units: dict[str, list[str]] = {}
    for site, column in columns:
        units.setdefault(" ".join(unicodedata.normalize("NFKC", column.unit).split()), []).append(site.label)
    if len(units) == 1:
        return
    said = "; ".join(f"{unit or 'no unit'} at {', '.join(labels)}" for unit, labels in units.items())
    if len([unit for unit in units if unit]) > 1 and not counted:
        raise BadRequest(
            f"the sites keep {name!r} in different units ({said}): convert it at one of them", column=name
        )
    notes.append(f"units of {name!r} differ, or are not told everywhere: {said}")


def _compare_kinds(
    columns: Sequence[tuple[Site, TableColumn]], name: str, counted: bool, notes: list[str]
) -> None:
    kinds: dict[str, list[str]] = {}
    for site, column in columns:
        kinds.setdefault(_kind(column), []).append(site.label)
    if len(kinds) == 1:
        return
    said = "; ".join(f"{kind} at {', '.join(labels)}" for kind, labels in kinds.items())
    if "words" in kinds and not counted:
        raise BadRequest(
            f"the sites keep different things as {name!r} ({said}): say its categories in every schema",
            column=name,
        )
    notes.append(f"{name!r} is not of one kind: {said}")


def _kind(column: TableColumn) -> str:
    if column.categories:
        return "words"
    return "truth values" if column.dtype == "bool" else "numbers"


def _words(columns: Sequence[tuple[Site, TableColumn]], name: str, notes: list[str]) -> Words:
    places: dict[str, int] = {}
    own: dict[int, dict[str, int]] = {}
    for site, column in columns:
        own[id(site)] = {word: code for code, word in enumerate(column.categories)}
        if len(own[id(site)]) != len(column.categories):
            raise BadRequest(f"{site.domain}: a category of {name!r} is named twice", column=name)
        for word in column.categories:
            places.setdefault(word, len(places))
    if len(places) > MOST_WORDS:
        raise BadRequest(f"{name!r} has more than {MOST_WORDS} categories over all sites", column=name)
    near: dict[str, list[str]] = {}
    for word in places:
        near.setdefault(alike(word), []).append(repr(word))
    notes += [
        f"categories of {name!r} that are nearly equal count as different: {', '.join(same)}"
        for same in near.values()
        if len(same) > 1
    ]
    codes = {site: [known.get(word) for word in places] for site, known in own.items()}
    return Words(name, list(places), codes)


def _check_target(words: Words, statistics: set[str]) -> None:
    if "linear_regression" in statistics:
        raise BadRequest(
            f"{words.column!r} holds words: a linear regression explains numbers", column=words.column
        )
    if len(words.named) != 2:
        said = ", ".join(words.named[:5])
        raise BadRequest(
            f"a logistic regression explains one of two words; {words.column!r} has {len(words.named)}: {said}",
            column=words.column,
        )
