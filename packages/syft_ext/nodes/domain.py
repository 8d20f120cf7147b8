"""The client of a Domain: data, trainings, people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from syft_ext.client.compute import ComputeSessions
from syft_ext.client.grants import Grants
from syft_ext.client.node_client import NodeClient
from syft_ext.client.objects import Objects
from syft_ext.client.policy import Budgets, Policy
from syft_ext.client.quotas import Quotas
from syft_ext.client.requests import Requests
from syft_ext.client.trainings import Trainings
from syft_ext.dp.domain_queries import DomainQueries
from syft_ext.encrypted.sending import use_sender
from syft_ext.messages.datasets import SearchQuery, SearchResults
from syft_ext.messages.parameters import checked, parameters_of
from syft_ext.nodes.confidential import Confidential
from syft_ext.nodes.datasets import Datasets
from syft_ext.nodes.environments import Environments
from syft_ext.nodes.found import Hit, SearchHits, Source
from syft_ext.nodes.kinds import client_of
from syft_ext.statistics.ledgers import Ledgers

if TYPE_CHECKING:
    from syft_ext.pointers.location import Location
    from syft_ext.statistics.price import AnalysisPrice
    from syft_ext.statistics.result import Analysis

__all__ = ["DomainClient"]


def _send_encrypted(value: Any, target: Any, **options: Any) -> Any:
    from syft_ext.pointers.sending import send

    return send(value, target, **options)


use_sender(_send_encrypted)


@client_of("domain")
class DomainClient(NodeClient):
    """A Domain: it governs and stores data and models, and coordinates trainings."""

    @property
    def datasets(self) -> Datasets:
        """The datasets that you may find, newest first."""
        return Datasets(self)

    @property
    def store(self) -> Objects:
        """The objects that you may find, newest first."""
        return Objects(self)

    @property
    def trainings(self) -> Trainings:
        """The trainings hosted here, newest first."""
        return Trainings(self)

    @property
    def requests(self) -> Requests:
        """What was asked for: yours, and what you may decide on."""
        return Requests(self)

    @property
    def grants(self) -> Grants:
        """What was allowed to whom: yours, and those that you may decide on."""
        return Grants(self)

    @property
    def workers(self) -> Environments:
        """Your compute environments here; who manages infrastructure makes and ends them for others."""
        return Environments(self)

    @property
    def policy(self) -> Policy:
        """What the owner demands of everything that leaves."""
        return Policy(self)

    @property
    def confidential(self) -> Confidential:
        """Confidential trainings: policies, rounds, receipts."""
        return Confidential(self)

    @property
    def budget(self) -> Budgets:
        """What noisy statistics may cost you, and others."""
        return Budgets(self)

    @property
    def ledger(self) -> Ledgers:
        """What statistics of your tables told of their rows, and may tell: ``ledger[asset]``."""
        return Ledgers(self)

    @property
    def dp(self) -> DomainQueries:
        """Private queries: ``dp.BoundedMean(epsilon=0.5).quick_result(asset, "age")``."""
        return DomainQueries(self)

    @property
    def quotas(self) -> Quotas:
        """How much you may keep here, and others."""
        return Quotas(self)

    @property
    def compute(self) -> ComputeSessions:
        """Your sessions of remote computation here."""
        return ComputeSessions(self)

    @property
    def location(self) -> Location:
        """Where to send what is to be computed with the data here: ``x.send(domain)`` means it."""
        from syft_ext.pointers.location import location_of

        return location_of(self)

    def pointer(self, object_id: str, environment: str = "") -> Any:
        """A pointer to a stored object that you may compute on, by its id; in an environment, if one is named."""
        from syft_ext.pointers.stored import pointer

        return pointer(self, object_id, environment)

    @parameters_of(SearchQuery)
    def search(self, query: SearchQuery) -> SearchHits[DomainClient]:
        """Search the datasets, models and objects that you may find, in what is published of them.

        ``found[0].request("why")`` asks for what was found.
        Raises :class:`~syft_ext.errors.BadRequest` for what no search can be for.
        """
        reply: SearchResults = self.call(checked(query))
        here = Source(self.name, self.address, self.id, None, self)
        return SearchHits(Hit(here, entry) for entry in reply.entries)

    def analyze(self, tables: Any, statistics: str | Sequence[str], **options: Any) -> Analysis:
        """Statistics of tables, here or at several Domains: see :func:`syft_ext.statistics.analyze.analyze`."""
        from syft_ext.statistics.analyze import analyze

        return analyze(tables, statistics, **options)

    def price(self, tables: Any, statistics: str | Sequence[str], **options: Any) -> AnalysisPrice:
        """What :meth:`analyze` would cost, asked so: see :func:`syft_ext.statistics.price.price`."""
        from syft_ext.statistics.price import price

        return price(tables, statistics, **options)
