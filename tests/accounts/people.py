"""A Domain in this process, and people who talk to it over the signed message plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from grid.accounts.bootstrap import bootstrap_owner
from grid.accounts.service import PASSWORDS, SERVICES
from grid.node import Node, Service
from grid.node.metadata import MetadataService
from syft_ext.clock import Clock, ManualClock
from syft_ext.identity import Identity
from syft_ext.messages.accounts import CreateUser, Login, SessionView, UserView
from syft_ext.transport import Connection, LocalTransport

PASSWORD = "correct horse"
OWNER = "owner@hospital.org"
SEED_ROLES = ("User", "Compliance Officer", "Administrator", "Owner")


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real parameters take 64 MiB and a good part of a second; test_sessions.py tests those."""
    monkeypatch.setattr(PASSWORDS, "hasher", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@dataclass
class House:
    """A node that can be stopped and started again on the same home."""

    home: Path
    database_url: str
    clock: Clock = field(default_factory=ManualClock)
    services: Sequence[type[Service]] = (MetadataService, *SERVICES)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.node = Node(
            "domain",
            self.home,
            "hospital",
            self.services,
            database_url=self.database_url,
            clock=self.clock,
        )
        self.node.start()

    def restart(self) -> None:
        self.node.stop()
        self.open()

    def call_in(self, identity: Identity | None = None, token: str = "") -> Connection:
        """A stranger's connection, or that of whoever holds this key or token."""
        return Connection(
            LocalTransport(self.node),
            identity,
            token=token,
            node_key=self.node.identity.verify_key,
            clock=self.clock,
        )

    def log_in(
        self, email: str = OWNER, password: str = PASSWORD, identity: Identity | None = None
    ) -> Connection:
        connection = self.call_in(identity)
        session: SessionView = connection.call(Login(email=email, password=password))
        connection.token = session.token
        return connection

    def set_up(self) -> Connection:
        """The owner, logged in."""
        assert bootstrap_owner(self.node, OWNER, PASSWORD)
        return self.log_in()

    def add_user(self, owner: Connection, email: str, role: str = "User") -> tuple[Connection, UserView]:
        """A user made by the owner, logged in."""
        user: UserView = owner.call(CreateUser(email=email, password=PASSWORD, role=role))
        return self.log_in(email), user
