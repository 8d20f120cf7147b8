"""A whole Domain for the SDK's tests: accounts, catalogue and trainings, served over sockets by threads."""

from __future__ import annotations

from pathlib import Path

import pytest
from argon2 import PasswordHasher

import syft_ext as sy
from apps.assembly import open_node
from grid.accounts.bootstrap import bootstrap_owner
from grid.accounts.service import PASSWORDS
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.federated.service import SERVICES as FEDERATED
from grid.node.metadata import MetadataService
from grid.web.testing import ServedNode

__all__ = ["EMAIL", "PASSWORD", "SERVICES", "log_in", "serve"]

SERVICES = (MetadataService, *ACCOUNTS, *CATALOGUE, *FEDERATED)
EMAIL, PASSWORD = "owner@hospital.org", "correct horse"


def serve(home: Path, database_url: str, patch: pytest.MonkeyPatch) -> ServedNode:
    """A Domain with its owner set up; close it at the end."""
    patch.setattr(PASSWORDS, "hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    node = open_node("domain", home, "hospital", SERVICES, database_url=database_url)
    assert bootstrap_owner(node, EMAIL, PASSWORD)
    return ServedNode(node)


def log_in(url: str, *, save: bool = False) -> sy.DomainClient:
    client = sy.login(url, EMAIL, PASSWORD, save=save)
    assert isinstance(client, sy.DomainClient)
    return client
