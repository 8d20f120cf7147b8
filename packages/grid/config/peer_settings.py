"""What nodes are set that bring peers together which cannot connect to each other: Networks and Domains."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from grid.config.settings import HubSettings

__all__ = ["PeerSettings"]


class PeerSettings(HubSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Servers that peers find each other by (RFC 8445), and how much one caller may ask for."""

    stun_servers: Annotated[
        list[str],
        Meta(description="STUN servers that tell peers how others see them: stun:HOST or stun:HOST:PORT."),
    ] = []
    turn_servers: Annotated[
        list[str],
        Meta(
            description="TURN servers that carry for peers whom nothing else joins: turn:HOST:PORT, turns: for "
            "TLS, with ?transport=tcp where UDP is blocked. They share turn_secret with this node."
        ),
    ] = []
    turn_secret: Annotated[
        str,
        Meta(
            description="What turn_servers check credentials by: coturn's static-auth-secret.",
            extra={"secret": True},
        ),
    ] = ""
    turn_lifetime: Annotated[
        int,
        Meta(
            ge=60,
            le=86_400,
            description="Seconds that TURN credentials are good for. What was begun with them goes on.",
        ),
    ] = 600
    signals_per_key: Annotated[
        int,
        Meta(ge=1, description="Offers, and sets of TURN credentials, that one key may ask for in a minute."),
    ] = 12
    signals_per_address: Annotated[
        int,
        Meta(
            ge=1,
            description="Offers, and sets of TURN credentials, that all callers of one address (IPv6: one /64) "
            "may ask for in a minute. This machine's own are not counted.",
        ),
    ] = 120
    offers_waiting: Annotated[
        int, Meta(ge=1, le=4096, description="Offers that may wait for their answers at once.")
    ] = 64
