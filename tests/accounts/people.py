"""A Domain in this process, and people who talk to it over the signed message plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from apps.assembly import open_node
from grid.accounts.bootstrap import bootstrap_owner
from grid.accounts.service import SERVICES
from grid.dashboard.service import DashboardService, data_section
from grid.node import Node, Service
from grid.node.metadata import MetadataService
from syft_ext.clock import Clock, ManualClock
from syft_ext.errors import BadRequest, Forbidden, GridError, Unauthenticated
from syft_ext.identity import Identity, node_id_of
from syft_ext.messages import FLAGS, GetMetadata
from syft_ext.messages.accounts import CreateUser, Login, LoginReply, UserView
from syft_ext.messages.envelope import open_frame, seal_request
from syft_ext.transport import Connection, LocalTransport, PayloadReader

PASSWORD = "correct horse"
OWNER = "owner@hospital.org"
SEED_ROLES = ("User", "Compliance Officer", "Administrator", "Owner")


@dataclass
class House:
    """A node that can be stopped and started again on the same home."""

    home: Path
    database_url: str
    clock: Clock = field(default_factory=ManualClock)
    services: Sequence[Callable[[Node], Service]] = (
        MetadataService,
        *SERVICES,
        partial(DashboardService, sections=[data_section]),
    )

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.node = open_node(
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
        session: LoginReply = connection.call(Login(email=email, password=password))
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


#: pygrid.md 1.3
SEEDS = {
    "User": set(),
    "Compliance Officer": {"can_triage_requests"},
    "Administrator": {
        "can_triage_requests",
        "can_edit_settings",
        "can_create_users",
        "can_create_groups",
        "can_upload_data",
    },
    "Owner": set(FLAGS),
}


def refusal(connection: Connection, operation: str) -> type[GridError] | None:
    """How the node answers this operation with a body that nobody could read.

    The permission is checked before the body: who has it is told that the body is bad, and nothing happens.
    """
    envelope = seal_request(
        connection.identity,
        GetMetadata(),
        now=connection._clock.now(),
        recipient=node_id_of(connection.node_key),
        token=connection.token,
    )
    envelope.operation, envelope.body = operation, b"\xc1"
    envelope.sign(connection.identity)
    frame = b"".join(connection.transport._receiver.receive(envelope, PayloadReader.of(b"")))
    try:
        open_frame(frame)[0].reply_as(msgspec.Struct)
    except BadRequest:
        return None
    except GridError as error:
        return type(error)
    raise AssertionError("an unreadable body was answered")


def everybody(house: House) -> dict[str, Connection]:
    owner = house.set_up()
    people = {role: house.add_user(owner, f"{i}@x.org", role)[0] for i, role in enumerate(SEED_ROLES[:3])}
    return {**people, "Owner": owner}


def check_every_operation(house: House) -> None:
    """Each operation of the map, against each seed role and a stranger, as the operation declares it."""
    people = everybody(house)
    for spec in house.node.map.operations():
        for role, connection in people.items():
            needed = spec.permission
            allowed = needed.kind in ("anyone", "signed", "user") or needed.flag in SEEDS[role]
            assert refusal(connection, spec.name) is (None if allowed else Forbidden), (spec.name, role)
        stranger = None if spec.permission.kind in ("anyone", "signed") else Unauthenticated
        assert refusal(house.call_in(), spec.name) is stranger, spec.name
