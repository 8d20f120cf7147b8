"""The client of a Domain: data, trainings, people."""

from __future__ import annotations

from syft_ext.client.node_client import NodeClient
from syft_ext.client.trainings import Trainings

__all__ = ["DomainClient"]


class DomainClient(NodeClient):
    """A Domain: it governs and stores data and models, and coordinates trainings."""

    @property
    def trainings(self) -> Trainings:
        """The trainings hosted here, newest first."""
        return Trainings(self)
