"""The settings of a Domain."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from grid.config.peer_settings import PeerSettings
from grid.config.plans import PLAN, PlanBytes, PlanElements, PlanFlops, PlanOperations, PlanOutputBytes
from grid.config.settings import Port, Seconds

__all__ = ["DomainSettings"]

VerifyKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]

_INSTANCE_TYPES = (
    "small threads=1 memory=2147483648 cpu_seconds=14400 seconds=86400",
    "medium threads=2 memory=8589934592 cpu_seconds=86400 seconds=172800",
    "large threads=4 memory=17179869184 cpu_seconds=345600 seconds=345600",
)


class DomainSettings(PeerSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A Domain: governs data and models, runs trainings, provisions Workers."""

    port: Port = 5001
    keep_line: Annotated[
        bool,
        Meta(
            description="Keep a line to the Network, not an address: for a Domain that nobody can connect to."
        ),
    ] = False
    trusted_networks: Annotated[
        list[VerifyKey],
        Meta(
            description="Verify keys of Networks that are believed about where the callers are whom they carry: "
            "login attempts are then counted by that address. The callers of others count by Network and address."
        ),
    ] = []
    peers: Annotated[
        bool,
        Meta(description="Take peers by WebRTC, in processes beside this one; needs grid-platform[webrtc]."),
    ] = False
    peer_gateways: Annotated[
        int,
        Meta(
            ge=1, le=64, description="Processes that end sessions of peers; each takes a processor at most."
        ),
    ] = 1
    peers_per_gateway: Annotated[
        int, Meta(ge=1, le=1000, description="Sessions of peers that one gateway ends at a time.")
    ] = 50
    peers_per_key: Annotated[
        int, Meta(ge=1, description="Sessions on which one account, worker or node calls.")
    ] = 8
    peers_per_address: Annotated[
        int,
        Meta(
            ge=1,
            description="Sessions that come from one address (IPv6: one /64). Where none is free, whoever has "
            "most gives one up. This machine's own are not counted.",
        ),
    ] = 40
    peer_memory: Annotated[
        int,
        Meta(
            ge=1 << 20,
            description="Bytes that came to one gateway, and that this node has not taken yet; beyond, those who "
            "sent most are sent away.",
        ),
    ] = 128 << 20
    peer_idle: Annotated[
        Seconds,
        Meta(description="Seconds after which a session of a peer in which nothing was said is closed."),
    ] = 300.0
    authentication_endpoints: Annotated[
        list[str],
        Meta(
            description="URLs that trainings may name to have workers' tokens checked there, word for word; no "
            "other is called."
        ),
    ] = []
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
    plan_processes: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="Users whose plans this node checks and runs at once, each in a process of their own.",
        ),
    ] = 4
    plan_memory: Annotated[
        int,
        Meta(ge=1 << 30, description="Bytes of memory that all processes for plans may use, in equal parts."),
    ] = 16 << 30
    plan_idle: Annotated[
        Seconds, Meta(description="Seconds after which a user's process in which no plan ran is ended.")
    ] = 300.0
    plan_operations: PlanOperations = PLAN.max_ops
    plan_bytes: PlanBytes = PLAN.max_bytes
    plan_elements: PlanElements = PLAN.max_numel
    plan_flops: PlanFlops = PLAN.max_flops
    plan_output_bytes: PlanOutputBytes = PLAN.max_output_bytes
    job_queue: Annotated[
        str,
        Meta(
            description='URL of the queue of background work: "local:", this process, or what an installed '
            "package brings (entry point group grid.job_queues)."
        ),
    ] = "local:"
    checkpoints_kept: Annotated[
        int,
        Meta(
            ge=0,
            description="Models that are kept of each training, the latest ones, beside the one that was hosted; "
            "at least 2. 0: all of them.",
        ),
    ] = 20
    aggregates_kept: Annotated[
        Seconds, Meta(description="Seconds that sealed outputs of rounds are kept once released.")
    ] = 604_800.0
    history_kept: Annotated[
        int,
        Meta(
            ge=0,
            description="Transitions that are kept of each training, the latest ones, with the assignments that "
            "they are about; for metrics see cycles_kept. 0: all of them.",
        ),
    ] = 100_000
    cycles_kept: Annotated[
        int,
        Meta(ge=0, description="Cycles that are kept of each training, with their metrics. 0: all of them."),
    ] = 10_000
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
