"""What an operator can set about a node's front."""

from __future__ import annotations

from dataclasses import dataclass

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
        websocket_memory: what the messages of all WebSockets together may take, while they arrive and
            while they are handled.
        websocket_concurrency: requests of one WebSocket that are handled at the same time.
        idle_timeout: a connection on which nothing comes, or on which a client takes nothing, for so long is
            closed.
        head_timeout: time in which the whole head of a request must come.
        slowest_body: bytes a second with which a body must come at least, after up to ``idle_timeout`` of
            arrears.
    """

    max_json: int = 8 << 20
    max_upload: int = 16 << 30
    max_websocket_message: int = 64 << 20
    max_event: int = 16 << 20
    origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    ping_interval: float = 20.0
    websocket_memory: int = 1 << 30
    websocket_concurrency: int = 32
    idle_timeout: float = 75.0
    head_timeout: float = 30.0
    slowest_body: int = 500
