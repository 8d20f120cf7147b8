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

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["Missing", "Site", "SiteLost", "Sites", "site_of"]

Missing = Literal["error", "skip"]


class SiteLost(Exception):
    """A site was left out after the others had answered: what they said together must be asked anew."""


@dataclass(slots=True)
class Site:
    """One table, and the client by which one asks its Domain.

    Attributes:
        view: its columns and rules, once it was described.
        begun: its first answer.
    """

    client: Caller
    object_id: str
    name: str
    view: TableView = field(default_factory=lambda: TableView(columns=[], min_rows=1, epsilon=None))
    begun: Partials = field(default_factory=Partials)

    @property
    def domain(self) -> str:
        """The name of the Domain that has the table."""
        return self.client.name


def site_of(table: Any) -> Site:
    """An asset of a dataset, a dataset with one asset, an object, or an asset that a Network found."""
    assets = getattr(table, "assets", None)
    if assets is not None:
        if len(assets) != 1:
            names = ", ".join(asset.name for asset in assets)
            raise BadRequest(f"dataset {table.name!r} has several tables ({names}): name one of them")
        (table,) = assets
    object_id = getattr(table, "object_id", "") or getattr(table, "id", "")
    if not object_id or not hasattr(table, "client"):
        raise BadRequest(f"a table is an asset of a dataset, not a {type(table).__name__}")
    return Site(table.client, object_id, getattr(table, "name", "") or object_id[:8])


class Sites:
    """Asks the sites that are left.

    Args:
        timeout: seconds for everything together.
        missing: "error": what one Domain refuses or does not answer is raised, and names it; "skip": it is
            left out, with all of its tables, and ``notes`` says so.
    """

    def __init__(self, tables: Iterable[Any], *, timeout: float, missing: Missing) -> None:
        if missing not in ("error", "skip"):
            raise BadRequest(f'missing is "error" or "skip", not {missing!r}')
        self.sites = [site_of(table) for table in tables]
        if not self.sites:
            raise BadRequest("no tables to analyze")
        if len({(site.client.id, site.object_id) for site in self.sites}) != len(self.sites):
            raise BadRequest("a table is named twice")
        self.notes: list[str] = []
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
            by_domain.setdefault(site.client.id, []).append((site, made))
        replies: dict[int, Any] = {}
        errors: dict[str, Exception] = {}
        until = self._end_of_round()
        threads = []
        for domain, calls in by_domain.items():
            arguments = (domain, calls, until, replies, errors)
            threads.append(threading.Thread(target=self._ask_domain, args=arguments, daemon=True))
            threads[-1].start()
        for (domain, calls), thread in zip(by_domain.items(), threads, strict=True):
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                errors[domain] = _named(calls[0][0], self._late())
        if errors:
            self._leave_out(errors)
        return [(site, replies[id(site)]) for site, _ in asked if site.client.id not in errors]

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
                replies[id(site)] = site.client.call(message, timeout=left)
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
        self.sites = [site for site in self.sites if site.client.id not in errors]
        self.notes += [f"left out: {error}" for error in errors.values()]
        if not self.sites:
            raise next(iter(errors.values()))


def _named(site: Site, error: GridError) -> GridError:
    """The same error, which names the Domain that it comes from."""
    return type(error)(f"{site.domain}: {error.detail}", **{**error.extra, "domain": site.domain})
