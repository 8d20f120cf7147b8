"""Protocols by name: a file with an engine, its line here, and its facts in the terms that owners read."""

from __future__ import annotations

from syft_ext.messages.shared_terms import PROTOCOLS
from syft_ext.mpc.beaver import Beaver
from syft_ext.mpc.demands import Correlations, DemandList
from syft_ext.mpc.engine import ShareEngine
from syft_ext.mpc.falcon import Falcon
from syft_ext.mpc.falcon_abort import FalconAbort
from syft_ext.mpc.ring import KEY_BYTES

__all__ = ["dealt_engine", "dry_engine", "replicated_engine"]

_DEALT = {("Beaver", "semi-honest"): Beaver}
_REPLICATED = {("Falcon", "semi-honest"): Falcon, ("Falcon", "malicious"): FalconAbort}
assert {(name, each) for name, facts in PROTOCOLS.items() for each in facts.securities} == (
    _DEALT.keys() | _REPLICATED.keys()
)


def dealt_engine(
    protocol: str, security: str, index: int, precision: int, supply: Correlations, coins: bytes
) -> ShareEngine:
    """A party of a protocol with a dealer, whose correlations are in ``supply``."""
    return _DEALT[protocol, security](index, precision, supply, coins)


def replicated_engine(
    protocol: str, security: str, index: int, precision: int, keys: tuple[bytes, bytes], coins: bytes
) -> ShareEngine:
    """A party of a protocol without one; ``keys``: of its own component, which the party before has too, and of
    the next."""
    return _REPLICATED[protocol, security](index, precision, keys, coins)


def dry_engine(protocol: str, security: str, precision: int) -> tuple[ShareEngine, DemandList]:
    """An engine without values, and what it will have asked of a dealer."""
    demands, zero = DemandList(), bytes(KEY_BYTES)
    if PROTOCOLS[protocol].dealer:
        return _DEALT[protocol, security](0, precision, demands, zero, dry=True), demands
    return _REPLICATED[protocol, security](0, precision, (zero, zero), zero, dry=True), demands
