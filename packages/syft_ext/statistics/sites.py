"""The tables of an analysis where they are: all Domains are asked at the same time, each from a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from syft_ext.errors import BadRequest, DeadlineExceeded, GridError
from syft_ext.messages import Message
from syft_ext.messages.statistics import DescribeTable, Partials, TableView
from syft_ext.statistics.partial import Lack

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["Missing", "Site", "SiteLost", "Sites", "listed", "site_of"]

Missing = Literal["error", "skip"]


class SiteLost(Exception):
    """A site was left out after the others had answered: what they said together must be asked anew."""


@dataclass(slots=True)
class Site:
    """One table, and how one asks its Domain.

    Attributes:
        connect: the client of its Domain. What a search found may have to be connected to first, which takes as
            long as its Domain does: only whoever waits for that Domain's answer calls it.
        domain_id, domain: id and name of the Domain.
        view: its columns and rules, once it was described.
        begun: its first answer.
        alone: whether no other table of this analysis is at its Domain.
    """

    connect: Callable[[], Caller]
    domain_id: str
    domain: str
    object_id: str
    name: str
    view: TableView = field(default_factory=lambda: TableView(columns=[], min_rows=1, epsilon=None))
    begun: Partials = field(default_factory=Partials)
    alone: bool = True

    @property
    def label(self) -> str:
        """What tells it from the other tables of the analysis."""
        return self.domain if self.alone else f"{self.domain}/{self.name}"


def listed(tables: Any) -> list[Any]:
    """The tables that somebody names: one, or several."""
    return list(tables) if isinstance(tables, Iterable) and not hasattr(tables, "client") else [tables]


def site_of(table: Any) -> Site:
    """An asset of a dataset, a dataset with one asset, an object, or an asset that a Network found."""
    assets = getattr(table, "assets", None)
    if assets is not None:
        if len(assets) != 1:
            names = ", ".join(asset.name for asset in assets)
            raise BadRequest(f"dataset {table.name!r} has several tables ({names}): name one of them")
        (table,) = assets
    object_id = getattr(table, "object_id", "") or getattr(table, "id", "")
    source = getattr(table, "source", None)
    if not object_id or (source is None and not hasattr(table, "client")):
        raise BadRequest(f"a table is an asset of a dataset, not a {type(table).__name__}")
    name = getattr(table, "name", "") or object_id[:8]
    if source is not None:
        return Site(lambda: table.client, source.domain_id, source.name, object_id, name)
    client: Caller = table.client
    return Site(lambda: client, client.id, client.name, object_id, name)


class Sites:
    """Asks the sites that are left.

    Args:
        timeout: seconds for everything together.
        missing: "error": what one Domain refuses or does not answer is raised, and names it; "skip": it is
            left out, with all of its tables, and ``notes`` and ``lacks`` say so.
    """

    def __init__(self, tables: Iterable[Any], *, timeout: float, missing: Missing) -> None:
        if missing not in ("error", "skip"):
            raise BadRequest(f'missing is "error" or "skip", not {missing!r}')
        self.sites = [site_of(table) for table in tables]
        if not self.sites:
            raise BadRequest("no tables to analyze")
        if len({(site.domain_id, site.object_id) for site in self.sites}) != len(self.sites):
            raise BadRequest("a table is named twice")
        domains = [site.domain_id for site in self.sites]
        for site in self.sites:
            site.alone = domains.count(site.domain_id) == 1
        self.notes: list[str] = []
        self.lacks: list[Lack] = []
        self._skip = missing == "skip"
        self._timeout, self._deadline = timeout, time.monotonic() + timeout

    def describe(self) -> None:
        """Learn what every table has."""
        for site, view in self.ask(lambda site: DescribeTable(object_id=site.object_id)):
            site.view = view

    def ask(self, message: Callable[[Site], Message | None]) -> list[tuple[Site, Any]]:
        """Ask every site what ``message`` makes for it (None: nothing); the answers of those that are left."""
        asked = [(site, made) for site in self.sites if (made := message(site)) is not None]
        by_domain: dict[str, list[tuple[Site, Message]]] = {}
        for site, made in asked:
            by_domain.setdefault(site.domain_id, []).append((site, made))
        replies: dict[int, Any] = {}
        errors: dict[str, Exception] = {}
        late: dict[str, Exception] = {}
        until = self._end_of_round()
        threads = []
        for domain, calls in by_domain.items():
            arguments = (domain, calls, until, replies, errors)
            threads.append(threading.Thread(target=self._ask_domain, args=arguments, daemon=True))
            threads[-1].start()
        for (domain, calls), thread in zip(by_domain.items(), threads, strict=True):
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                late[domain] = _named(calls[0][0], self._late())
        # Who is late may still write into these: what counts is how they are now.
        failed = {**errors.copy(), **late}
        if failed:
            self._leave_out(failed)
        return [(site, replies[id(site)]) for site, _ in asked if site.domain_id not in failed]

    def again(self, message: Callable[[Site], Message | None]) -> list[tuple[Site, Any]]:
        """As :meth:`ask`, in a further round: raises :class:`SiteLost` when somebody is left out."""
        before = len(self.sites)
        answers = self.ask(message)
        if len(self.sites) < before:
            raise SiteLost
        return answers

    def _end_of_round(self) -> float:
        """Where others are to go on without a Domain, waiting for it must leave them time to do so."""
        left = self._deadline - time.monotonic()
        return self._deadline - left / 2 if self._skip else self._deadline

    def _ask_domain(
        self,
        domain: str,
        calls: list[tuple[Site, Message]],
        until: float,
        replies: dict[int, Any],
        errors: dict[str, Exception],
    ) -> None:
        for site, message in calls:
            left = until - time.monotonic()
            try:
                if left <= 0:
                    raise self._late()
                replies[id(site)] = site.connect().call(message, timeout=left)
            except GridError as error:
                errors[domain] = _named(site, error)
                return
            except Exception as error:  # what is no GridError is a defect: the caller sees it as it is
                errors[domain] = error
                return

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"did not answer in time ({self._timeout:g} s for everything)")

    def _leave_out(self, errors: dict[str, Exception]) -> None:
        for error in errors.values():
            # What was asked wrongly is wrong everywhere.
            if not self._skip or not isinstance(error, GridError) or isinstance(error, BadRequest):
                raise error
        for site in self.sites:
            why_not = errors.get(site.domain_id)
            if isinstance(why_not, GridError):
                why = why_not.detail.removeprefix(f"{site.domain}: ")
                self.lacks.append(Lack(site.domain, site.name, f"left out: {why}"))
        self.sites = [site for site in self.sites if site.domain_id not in errors]
        self.notes += [f"left out: {error}" for error in errors.values()]
        if not self.sites:
            raise next(iter(errors.values()))


def _named(site: Site, error: GridError) -> GridError:
    """The same error, which names the Domain that it comes from."""
    return type(error)(f"{site.domain}: {error.detail}", **{**error.extra, "domain": site.domain})
