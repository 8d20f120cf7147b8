"""The settings of a Network."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from grid.config.peer_settings import PeerSettings
from grid.config.settings import Port

__all__ = ["NetworkSettings"]


class NetworkSettings(PeerSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A Network: knows Domains, searches them, carries messages to them."""

    port: Port = 5000
    search_deadline: Annotated[
        float, Meta(gt=0, le=60, description="Seconds after which a search answers with what has come in.")
    ] = 2.0
    relayed: Annotated[
        int, Meta(ge=0, description="Connections of callers that are carried to one Domain at a time.")
    ] = 256
    relayed_per_address: Annotated[
        int, Meta(ge=0, description="Connections that are carried for callers of one address at a time.")
    ] = 64
