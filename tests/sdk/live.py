"""A whole Domain for the SDK's tests: accounts, catalogue and trainings, served over sockets by threads."""

from __future__ import annotations

from pathlib import Path

import pytest

import syft_ext as sy
from apps.assembly import open_node
from grid.accounts.bootstrap import bootstrap_owner
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.federated.encrypted.service import EncryptedSumService
from grid.federated.masked.service import SecureAggregationService
from grid.federated.service import SERVICES as FEDERATED
from grid.governance.policy_service import PolicyService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node import Service
from grid.node.metadata import MetadataService
from grid.web.testing import ServedNode
from tests.open_site import open_site

__all__ = ["EMAIL", "PASSWORD", "SERVICES", "log_in", "serve"]

SERVICES: tuple[type[Service], ...] = (
    MetadataService,
    *ACCOUNTS,
    *CATALOGUE,
    PolicyService,
    *GOVERNANCE,
    *FEDERATED,
    SecureAggregationService,
    EncryptedSumService,
)
EMAIL, PASSWORD = "owner@hospital.org", "correct horse"


def serve(home: Path, database_url: str, patch: pytest.MonkeyPatch) -> ServedNode:
    """A Domain with its owner set up, that asks nobody about trainings; close it at the end."""
    node = open_node("domain", home, "hospital", SERVICES, database_url=database_url)
    assert bootstrap_owner(node, EMAIL, PASSWORD)
    open_site(node.db)
    return ServedNode(node)


def log_in(url: str, *, save: bool = False) -> sy.DomainClient:
    client = sy.login(url, EMAIL, PASSWORD, save=save)
    assert isinstance(client, sy.DomainClient)
    return client
