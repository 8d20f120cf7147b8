"""What an operator can set about a node's front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["WebSettings"]


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Limits and openings of the web front. Sizes are bytes, times seconds.

    Attributes:
        max_json: largest JSON request body.
        max_upload: largest upload or payload, over REST and over the message plane.
        max_websocket_message: largest frame of the message plane over a WebSocket. It is held in memory
            while it is handled: bulk belongs on HTTP, which streams.
        max_event: largest JSON event on ``/ws``, and largest download answered there in base64.
        origins: browser origins (``https://host[:port]``) beside the node's own that may open WebSockets
            and read REST answers (CORS). Empty: none.
        trusted_proxies: addresses and CIDR blocks of the reverse proxies in front of the node: their word on
            where a request came from is taken (``X-Forwarded-For``). Empty: nobody's.
        ping_interval: a silent WebSocket peer is pinged after so long, and dropped after as long again.
        memory: bytes that all bodies, frames and messages of clients together may take, while they arrive and
            while they are handled; no more than half of it for one account, or for all strangers together.
        websocket_concurrency: requests of one WebSocket that are handled at the same time.
        idle_timeout: a connection on which nothing comes, or on which a client takes nothing, for so long is
            closed.
        head_timeout: time in which the whole head of a request must come; of a connection's first request, from
            when it was taken.
        slowest_body: bytes a second with which a body must come at least, after up to ``idle_timeout`` of
            arrears.
        connections: clients that may be connected at once.
        connections_per_address: of them, from one address (IPv6: one /64), unless it is a trusted proxy's.
        websockets_per_address: WebSockets of one address of strangers, behind a trusted proxy by what it says.
        stranger_rate: requests a second that strangers at one address may make, after two seconds' worth at once.
            What comes faster waits, and is refused when it would wait too long. Not for this machine's own.
        account_rate: the same for one account (a user, a worker, a node). Refusals count for several requests.
        hosts: names that the node answers to, as they stand in ``Host``; addresses are always taken. None: any.
        metrics: who may read ``/metrics``: this machine ("loopback"), who has the token ("token"), all ("open").
        metrics_token: what "token" asks for, beside the access token of a user who may see the dashboard.
    """

    max_json: int = 8 << 20
    max_upload: int = 16 << 30
    max_websocket_message: int = 64 << 20
    max_event: int = 16 << 20
    origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    ping_interval: float = 20.0
    memory: int = 1 << 30
    websocket_concurrency: int = 32
    idle_timeout: float = 75.0
    head_timeout: float = 15.0
    slowest_body: int = 500
    connections: int = 8192
    connections_per_address: int = 512
    websockets_per_address: int = 256
    stranger_rate: float = 50.0
    account_rate: float = 500.0
    hosts: tuple[str, ...] | None = None
    metrics: Literal["loopback", "token", "open"] = "loopback"
    metrics_token: str = ""
