"""The settings of a key host."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from grid.config.settings import NodeSettings, Port, Seconds

__all__ = ["KeyHostSettings"]


class KeyHostSettings(NodeSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A key host: holds the keys of confidential rounds, and counts what is spent, for policies that its operator
    approved."""

    port: Port = 5003
    epochs: Annotated[
        str,
        Meta(
            description="Folder of the epoch keys, which seal the rounds' seeds: on a disk that no backup or"
            " snapshot takes; HOME/epochs when empty.",
            extra={"path": True},
        ),
    ] = ""
    epoch_token: Annotated[
        str,
        Meta(
            description="A token that holds the epoch keys instead (PKCS#11, RFC 7512):"
            " pkcs11:token=NAME?module-path=LIBRARY&pin-source=file:PATH."
        ),
    ] = ""
    epoch_interval: Annotated[
        Seconds, Meta(description="Seconds after which rounds are sealed under a new epoch key.")
    ] = 86_400.0
    max_policies: Annotated[
        int,
        Meta(
            ge=1,
            description="Policies that wait for the operator's word; where more are handed in, the oldest goes.",
        ),
    ] = 64
    max_rounds: Annotated[
        int, Meta(ge=1, description="Rounds of one Domain that may be open or granted here at once.")
    ] = 1024
    simulator: Annotated[
        bool, Meta(description="Approve policies that take simulated evidence, which protects nothing.")
    ] = False
