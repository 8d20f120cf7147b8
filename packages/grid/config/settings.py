"""The settings that every node has, and a Worker's; those of other kinds are in files of theirs. Every field
is read somewhere; a test walks them to see it.

Sizes are bytes, times are seconds. A field whose ``Meta`` says ``secret`` is taken from the environment or
from a file, never from the command line, and is masked wherever settings are shown.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from grid.config.plans import PLAN, PlanBytes, PlanElements, PlanFlops, PlanOperations, PlanOutputBytes
from syft_ext.messages.vocabulary import Decimal, Delimiter, Encoding, Thousands

__all__ = ["HubSettings", "NodeSettings", "Port", "Seconds", "WorkerSettings"]

_SECRET = {"secret": True}
_PATH = {"path": True}
Port = Annotated[int, Meta(ge=0, le=65535, description="TCP port to listen on; 0 takes a free one.")]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


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
    quarantine: Annotated[
        float,
        Meta(
            ge=0,
            le=366 * 86_400,
            description="Seconds that deleted contents wait before they are gone: what is asked for again, or "
            "what a restored database refers to, comes back meanwhile. 0: none do.",
        ),
    ] = 7 * 86_400.0
    quarantine_size: Annotated[
        int,
        Meta(
            ge=0,
            description="Bytes of contents that somebody deleted that wait at most; the oldest of whoever has "
            "most there go first. What a sweep found waits whatever its size.",
        ),
    ] = 10 << 30
    scrub_interval: Annotated[
        float,
        Meta(
            ge=0,
            le=366 * 86_400,
            description="Seconds between the beginnings of two readings of all contents, which find what a disk "
            "has damaged. 0: contents are checked when they are first read only.",
        ),
    ] = 7 * 86_400.0
    scrub_rate: Annotated[
        int, Meta(ge=1 << 16, description="Bytes a second that such a reading reads at most.")
    ] = 20 << 20
    audit_kept: Annotated[
        int,
        Meta(
            ge=0,
            description="Latest entries of the audit log that stay in the database, some 1 KB each. Older ones "
            "go into archives among the contents, 10,000 at a time; none is ever deleted. 0: no bound.",
        ),
    ] = 1_000_000
    audit_age: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds that entries of the audit log stay in the database before they go into an "
            "archive. 0: no bound.",
        ),
    ] = 2 * 366 * 86_400.0
    log_format: Annotated[
        Literal["pretty", "json"], Meta(description="How log lines look on standard error.")
    ] = "pretty"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least severe line that is logged.")
    ] = "info"
    tls_cert: Annotated[
        str, Meta(description="PEM file with the certificate chain; HTTPS with tls_key.", extra=_PATH)
    ] = ""
    tls_key: Annotated[str, Meta(description="PEM file with the certificate's private key.", extra=_PATH)] = (
        ""
    )
    ca_file: Annotated[
        str,
        Meta(
            description="PEM file with a private certificate authority that other nodes' addresses use.",
            extra=_PATH,
        ),
    ] = ""
    outgoing: Annotated[
        Literal["public", "listed"],
        Meta(
            description="Which addresses that others name are called without standing in allow_addresses: those "
            "that are reached from everywhere, or none. Loopback counts as listed for a node that is only there."
        ),
    ] = "public"
    allow_addresses: Annotated[
        list[str],
        Meta(
            description="Addresses, CIDR blocks or host names (*.domain for all below it), each with :port if it "
            "counts, that are called although they are private, or not reached from everywhere."
        ),
    ] = []
    proxy: Annotated[
        Literal["none", "environment"],
        Meta(
            description="Whether other nodes are called through the proxy that HTTP_PROXY, HTTPS_PROXY or "
            "ALL_PROXY names, but for those in NO_PROXY and loopback. It resolves names in allow_addresses."
        ),
    ] = "none"
    connections: Annotated[int, Meta(ge=1, description="Clients that may be connected at once.")] = 8192
    connections_per_address: Annotated[
        int,
        Meta(
            ge=1,
            description="Clients that may be connected at once from one address (IPv6: one /64), unless it is a "
            "trusted proxy's.",
        ),
    ] = 512
    websockets_per_address: Annotated[
        int, Meta(ge=1, description="WebSockets that strangers at one address may have open at once.")
    ] = 256
    stranger_rate: Annotated[
        float,
        Meta(
            gt=0,
            description="Requests a second from strangers at one address; what comes faster waits, or is refused. "
            "This machine's own are not counted.",
        ),
    ] = 50.0
    account_rate: Annotated[
        float,
        Meta(gt=0, description="Requests a second of one user, worker or node; what comes faster waits."),
    ] = 500.0
    memory: Annotated[
        int,
        Meta(
            ge=16 << 20,
            description="Bytes that what clients send may take together, before it is handled and while it is.",
        ),
    ] = 1 << 30
    hosts: Annotated[
        list[str],
        Meta(
            description="Names that this node answers to, beside that in its address, this machine's own and "
            "addresses of the network; requests for others are refused (421)."
        ),
    ] = []
    metrics: Annotated[
        Literal["loopback", "token", "open"],
        Meta(
            description="Who may read /metrics: this machine only; who has metrics_token or is a user who "
            "sees the dashboard; everybody."
        ),
    ] = "loopback"
    metrics_token: Annotated[
        str, Meta(description='Bearer token that reads /metrics with metrics = "token".', extra=_SECRET)
    ] = ""
    plain_http: Annotated[
        Literal["warn", "accept"],
        Meta(
            description="Say so when another machine is called over plain http, or accept it without a word."
        ),
    ] = "warn"
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
        Seconds,
        Meta(
            description="Seconds in which the head of an HTTP request must have come; of the first one, from "
            "when it was taken."
        ),
    ] = 15.0
    slowest_body: Annotated[
        int,
        Meta(
            ge=1,
            description="Bytes a second with which bodies of requests must come at least, averaged over the idle "
            "timeout.",
        ),
    ] = 500
    sandbox: Annotated[
        Literal["required", "permissive"],
        Meta(
            description="What becomes of plans, sessions, environments and conversions where this machine lacks a "
            "protection against them: refused (required), or run without it (permissive: for development only)."
        ),
    ] = "required"
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


class WorkerSettings(NodeSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A Worker: takes part in a Domain's trainings on its owner's data, and runs plans it is handed."""

    port: Port = 5002
    domain: Annotated[str, Meta(description="URL of the Domain to join.")] = ""
    data: Annotated[
        str,
        Meta(
            description="The owner's data: CSV, Parquet, .npz, .safetensors, or a folder with one for each class.",
            extra=_PATH,
        ),
    ] = ""
    schema: Annotated[
        str,
        Meta(
            description="JSON file with what the columns are: name to unit and categories, as of datasets.",
            extra=_PATH,
        ),
    ] = ""
    encoding: Encoding = "utf-8"
    delimiter: Delimiter = ""
    decimal: Decimal = "."
    thousands: Thousands = ""
    missing: Annotated[
        list[str], Meta(description="Further text that stands for a missing value in a CSV.")
    ] = []
    columns: Annotated[
        list[str],
        Meta(description="Columns that trainings take which declare none, in the order of their model."),
    ] = []
    target: Annotated[
        str, Meta(description="Column (or array) of the labels, for trainings that declare none.")
    ] = ""
    classes: Annotated[
        list[str],
        Meta(description="Words of labels in the order of the model, for trainings that declare none."),
    ] = []
    standardise: Annotated[
        Literal["none", "local", "file"],
        Meta(
            description="Scale features to mean 0, variance 1 for trainings that declare no inputs: by local"
            " statistics, or by those in a file."
        ),
    ] = "none"
    statistics: Annotated[
        str, Meta(description="JSON file with the lists mean and std, for standardise = file.", extra=_PATH)
    ] = ""
    trainings: Annotated[
        list[str],
        Meta(description="Look only at trainings that match NAME/VERSION (* matches); it approves none."),
    ] = []
    trust: Annotated[
        Literal["nobody", "domain", "owner"],
        Meta(
            description="Whose approval lets a training run, beside `grid worker review`: nobody's, "
            "the Domain's named reviewers', or also the Domain owner's own."
        ),
    ] = "nobody"
    pins: Annotated[
        str,
        Meta(
            description="File of pins for confidential trainings (see `grid worker trust`); with pins, nothing is"
            ' sent in the clear. "": pins.json in the home, where there is one; else no confidential training.',
            extra=_PATH,
        ),
    ] = ""
    clip_norm: Annotated[
        float,
        Meta(ge=0, description="Clip what leaves, as a difference to the model, to this L2 norm; 0: no."),
    ] = 0.0
    noise_multiplier: Annotated[
        float,
        Meta(ge=0, description="Add exact Gaussian noise of this times clip_norm to what leaves; 0: no."),
    ] = 0.0
    privacy_budget: Annotated[
        float,
        Meta(
            ge=0,
            description="Run no step of private training (DP-SGD) that would tell more than this epsilon, at delta"
            " 1e-6, of a row of the data, over all trainings and restarts; 0: counted, not limited.",
        ),
    ] = 0.0
    min_rows: Annotated[int, Meta(ge=1, description="Report nothing that fewer rows are behind.")] = 1
    max_samples: Annotated[
        int, Meta(ge=0, description="Claim at most so many samples as a report's weight; 0: as many as used.")
    ] = 0
    max_reports: Annotated[
        int, Meta(ge=0, description="Report to a training at most so often, over all restarts; 0: no limit.")
    ] = 0
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
    plan_executor: Annotated[
        Literal["torch", "onnx"],
        Meta(
            description="What runs plans: torch, or onnxruntime (extra onnx); plans that ONNX cannot say exactly"
            " are refused then."
        ),
    ] = "torch"
    plan_memory: Annotated[
        int, Meta(ge=256 << 20, description="Bytes of memory that the process which runs plans may use.")
    ] = 8 << 30
    plan_operations: PlanOperations = PLAN.max_ops
    plan_bytes: PlanBytes = PLAN.max_bytes
    plan_elements: PlanElements = PLAN.max_numel
    plan_flops: PlanFlops = PLAN.max_flops
    plan_output_bytes: PlanOutputBytes = PLAN.max_output_bytes
