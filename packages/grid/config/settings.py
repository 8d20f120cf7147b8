"""The settings of the three apps. Every field is read somewhere; a test walks them to see it.

Sizes are bytes, times are seconds. A field whose ``Meta`` says ``secret`` is taken from the environment or
from a file, never from the command line, and is masked wherever settings are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

__all__ = [
    "DomainSettings",
    "Field",
    "NetworkSettings",
    "NodeSettings",
    "WorkerSettings",
    "setting_fields",
]

_SECRET = {"secret": True}
Port = Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
_INSTANCE_TYPES = (
    "small threads=1 memory=2147483648 cpu_seconds=14400 seconds=86400",
    "medium threads=2 memory=8589934592 cpu_seconds=86400 seconds=172800",
    "large threads=4 memory=17179869184 cpu_seconds=345600 seconds=345600",
)


class NodeSettings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What every node has."""

    name: Annotated[str, Meta(max_length=128, description="How people call this node.")] = ""
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1"
    port: Port = 0
    address: Annotated[
        str, Meta(description="URL under which others reach this node; http://HOST:PORT when empty.")
    ] = ""
    database_url: Annotated[
        str,
        Meta(
            description="PostgreSQL (or SQLite) URL; SQLite inside the home directory when empty.",
            extra=_SECRET | {"env": "DATABASE_URL"},
        ),
    ] = ""
    contents: Annotated[
        str,
        Meta(
            description="URL of the store of contents: file:///folder, or one that an installed package adds; "
            "files inside the home directory when empty."
        ),
    ] = ""
    log_format: Annotated[
        Literal["pretty", "json"], Meta(description="How log lines look on standard error.")
    ] = "pretty"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe line that is logged.")
    ] = "info"
    tls_cert: Annotated[str, Meta(description="PEM file with the certificate chain; HTTPS with tls_key.")] = (
        ""
    )
    tls_key: Annotated[str, Meta(description="PEM file with the certificate's private key.")] = ""
    ca_file: Annotated[
        str,
        Meta(description="PEM file with a private certificate authority that other nodes' addresses use."),
    ] = ""
    connections: Annotated[int, Meta(ge=1, description="Clients that may be connected at once.")] = 8192
    grace: Annotated[
        Seconds, Meta(description="Seconds that running requests are given when the node stops.")
    ] = 10.0
    origins: Annotated[
        list[str], Meta(description="Browser origins (https://host) beside the node's own that may use it.")
    ] = []
    trusted_proxies: Annotated[
        list[str],
        Meta(
            description="Addresses or CIDR blocks of reverse proxies whose X-Forwarded-For is believed: login "
            "attempts are then counted by the client's address."
        ),
    ] = []
    max_json: Annotated[int, Meta(ge=1024, description="Largest JSON request body, in bytes.")] = 8 << 20
    max_upload: Annotated[int, Meta(ge=0, description="Largest upload, in bytes. Uploads stream.")] = 16 << 30
    max_websocket_message: Annotated[
        int, Meta(ge=1024, description="Largest WebSocket message, in bytes. It is held in memory.")
    ] = 64 << 20
    max_event: Annotated[int, Meta(ge=1024, description="Largest JSON event on a WebSocket, in bytes.")] = (
        16 << 20
    )
    ping_interval: Annotated[
        Seconds, Meta(description="Seconds of silence after which a WebSocket peer is pinged.")
    ] = 20.0
    websocket_concurrency: Annotated[
        int, Meta(ge=1, le=10_000, description="Requests of one WebSocket that are handled at once.")
    ] = 32
    idle_timeout: Annotated[
        Seconds, Meta(description="Seconds after which an HTTP connection on which nothing moves is closed.")
    ] = 75.0
    head_timeout: Annotated[
        Seconds, Meta(description="Seconds in which the head of an HTTP request must have come.")
    ] = 30.0
    slowest_body: Annotated[
        int,
        Meta(
            ge=1,
            description="Bytes a second with which bodies of requests must come at least, averaged over the idle "
            "timeout.",
        ),
    ] = 500
    heartbeat_interval: Annotated[
        Seconds, Meta(description="Seconds between two heartbeats to the nodes this one is associated with.")
    ] = 5.0


class HubSettings(NodeSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What the nodes have that others associate with: a Network (its Domains), a Domain (its Workers)."""

    auto_accept: Annotated[
        bool,
        Meta(
            description="Accept every node that proves its key, without an admin. For demos and closed nets."
        ),
    ] = False
    offline_after: Annotated[
        Seconds, Meta(description="Seconds without a heartbeat after which a node counts as offline.")
    ] = 20.0
    max_pending: Annotated[
        int, Meta(ge=1, le=100_000, description="Association requests that may wait for a decision.")
    ] = 200


class NetworkSettings(HubSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A Network: knows Domains, searches them, carries messages to them."""

    port: Port = 5000
    search_deadline: Annotated[
        float, Meta(gt=0, le=60, description="Seconds after which a search answers with what has come in.")
    ] = 2.0
    forward_limit: Annotated[
        int, Meta(ge=0, description="Largest payload in bytes that is carried to or from a Domain.")
    ] = 4 << 30
    forward_timeout: Annotated[
        Seconds, Meta(description="Seconds that a Domain may take to begin its answer to a carried message.")
    ] = 120.0


class DomainSettings(HubSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A Domain: governs data and models, runs trainings, provisions Workers."""

    port: Port = 5001
    compute_sessions: Annotated[
        int, Meta(ge=0, le=10_000, description="Sessions of remote computation that may be open at once.")
    ] = 16
    compute_sessions_per_user: Annotated[
        int, Meta(ge=1, le=10_000, description="Sessions of remote computation that one user may have.")
    ] = 4
    compute_memory: Annotated[
        int, Meta(ge=1 << 20, description="Bytes that the values of one session may take.")
    ] = 2 << 30
    compute_threads: Annotated[
        int, Meta(ge=1, le=1024, description="Threads that the operations of one session may use.")
    ] = 1
    compute_seconds: Annotated[
        Seconds,
        Meta(
            description="Seconds that a few (64) operations or one plan may take before the session is ended."
        ),
    ] = 60.0
    compute_idle: Annotated[
        Seconds, Meta(description="Seconds without a call after which a session is closed.")
    ] = 1800.0
    compute_payload: Annotated[
        int, Meta(ge=0, description="Largest payload in bytes of one batch of operations or plan.")
    ] = 1 << 30
    compute_quota: Annotated[
        int,
        Meta(
            ge=0,
            description="Bytes of kept results that a user who may not upload data may have.",
        ),
    ] = 1 << 30
    job_queue: Annotated[
        str,
        Meta(
            description='URL of the queue of background work: "local:", this process, or what an installed '
            "package brings (entry point group grid.job_queues)."
        ),
    ] = "local:"
    environment_provider: Annotated[
        str,
        Meta(
            description='What makes compute environments: "local" processes, or what an installed package '
            'brings (entry point group grid.environment_providers); "" for none.'
        ),
    ] = "local"
    environment_types: Annotated[
        list[str],
        Meta(
            description="What environments may be made of, each as: NAME threads=N memory=BYTES cpu_seconds=N "
            "seconds=N. CPU time is that of the whole life, seconds how long it may last."
        ),
    ] = msgspec.field(default_factory=lambda: list(_INSTANCE_TYPES))
    max_environments: Annotated[
        int, Meta(ge=0, le=10_000, description="Compute environments that may be there at once.")
    ] = 8
    environment_idle: Annotated[
        Seconds, Meta(description="Seconds after which an environment in which nothing ran is destroyed.")
    ] = 7200.0
    environment_lease: Annotated[
        Seconds,
        Meta(description="Seconds that an environment outlives a Domain which does not come back."),
    ] = 900.0
    environment_interval: Annotated[
        Seconds, Meta(description="Seconds between two looks at how the environments are.")
    ] = 5.0


class WorkerSettings(NodeSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A Worker: takes part in a Domain's trainings on its owner's data, and runs plans it is handed."""

    port: Port = 5002
    domain: Annotated[str, Meta(description="URL of the Domain to join.")] = ""
    data: Annotated[
        str,
        Meta(description="The owner's data: CSV, .npz, .safetensors, or a folder with one folder per class."),
    ] = ""
    target: Annotated[
        str, Meta(description="Column of a CSV (array of an .npz or .safetensors) that holds the labels.")
    ] = ""
    classes: Annotated[
        list[str], Meta(description="Labels that are words, in the order that the model numbers them.")
    ] = []
    standardise: Annotated[
        Literal["none", "local", "file"],
        Meta(description="Scale features to mean 0, variance 1: by local statistics, or by those in a file."),
    ] = "none"
    statistics: Annotated[
        str, Meta(description="JSON file with the lists mean and std, for standardise = file.")
    ] = ""
    trainings: Annotated[
        list[str],
        Meta(description="Patterns NAME/VERSION of the trainings that the owner allows (* matches)."),
    ] = []
    approve: Annotated[
        Literal["ask", "listed", "all"],
        Meta(description="Take part in: what the owner approves one by one, what is listed, or everything."),
    ] = "listed"
    training_token: Annotated[
        str, Meta(description="Token shown to trainings that ask workers to authenticate.", extra=_SECRET)
    ] = ""
    object_limit: Annotated[
        int, Meta(ge=0, description="Largest object in bytes that the Domain may hand to this worker.")
    ] = 4 << 30
    store_limit: Annotated[
        int, Meta(ge=0, description="Bytes that all objects handed to this worker may take together.")
    ] = 16 << 30
    shuffle_seed: Annotated[
        int,
        Meta(ge=-1, description="Orders the data the same way whenever a training is repeated; -1: never."),
    ] = -1
    plan_seconds: Annotated[Seconds, Meta(description="CPU seconds that one run of a plan may take.")] = 600.0
    plan_memory: Annotated[
        int, Meta(ge=256 << 20, description="Bytes of memory that the process which runs plans may use.")
    ] = 8 << 30


@dataclass(frozen=True, slots=True)
class Field:
    """One setting, as the loader and the command line see it. ``env`` is its second name, if it has one."""

    name: str
    type: Any
    default: Any
    description: str
    secret: bool
    env: str

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that are allowed; empty where any of the type is."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return get_origin(self.type) is list


def setting_fields(settings: type[NodeSettings]) -> dict[str, Field]:
    """The single settings by name, in the order of their declaration."""
    hints = get_type_hints(settings, include_extras=True)
    return {info.name: _field(info, hints[info.name]) for info in msgspec.structs.fields(settings)}


def _field(info: msgspec.structs.FieldInfo, hint: Any) -> Field:
    plain, metas = _unwrap(hint)
    extra = next((meta.extra for meta in metas if meta.extra), {})
    description = next((meta.description for meta in metas if meta.description), "")
    default = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
    return Field(info.name, plain, default, description, bool(extra.get("secret")), str(extra.get("env", "")))


def _unwrap(hint: Any) -> tuple[Any, list[Meta]]:
    """The bare type of a hint, and its annotations, outermost first."""
    metas: list[Meta] = []
    while get_origin(hint) is Annotated:
        hint, *found = get_args(hint)
        # Nested annotations were flattened by typing, innermost first.
        metas += reversed([meta for meta in found if isinstance(meta, Meta)])
    return hint, metas
