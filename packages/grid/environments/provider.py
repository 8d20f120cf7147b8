"""What makes environments: the interface, and the catalogue of what they may be made of.

A provider knows nothing of users, rows or permissions: it starts and ends what has an id, and tells how it is.
The local one (:mod:`grid.environments.local`) starts processes on the Domain's machine. One for a cloud has the
same methods, and an entry point (:mod:`grid.environments.registry`); ``handle`` is where it keeps what finds a
machine again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from syft_ext.errors import InvalidConfig
from syft_ext.messages.environments import InstanceType

__all__ = ["EnvironmentHealth", "Handle", "Provider", "parse_types"]

Handle = dict[str, Any]
"""What a provider finds an environment by, as JSON: written down by the node, read by the provider only."""


@dataclass(frozen=True, slots=True)
class EnvironmentHealth:
    """How an environment is now.

    Attributes:
        alive: it runs. reason: why it does not, in words for its user; "" when nobody knows.
        cpu_seconds: used since it began, or until it ended if that is known. memory: resident bytes.
    """

    alive: bool
    reason: str = ""
    cpu_seconds: float = 0.0
    memory: int = 0


class Provider(Protocol):
    """Makes and ends environments. Methods may be called from several threads, for different ids."""

    name: str

    def create(self, environment_id: str, instance: InstanceType) -> Handle:
        """Start one and return when it can be connected to, which may take minutes.

        Raises :class:`GridError` saying why it did not start; :meth:`destroy` then removes what is left.
        """

    def status(self, environment_id: str, handle: Handle) -> EnvironmentHealth:
        """How it is now, also when an earlier process of the node created it: it is adopted by this."""

    def endpoint(self, environment_id: str, handle: Handle) -> Path:
        """The Unix socket on which its compute host listens. A provider of distant machines forwards one."""

    def destroy(self, environment_id: str, handle: Handle | None) -> None:
        """End it and remove all that belongs to it; idempotent. ``handle`` is None when none was written down."""

    def tidy(self, environment_id: str) -> None:
        """Remove what an environment that has ended left behind; idempotent."""

    def running(self) -> Iterable[str]:
        """The ids of all that runs or has left something behind, also what no row of the node tells of."""

    def close(self) -> None:
        """The node stops. What it made goes on."""


_FIELDS = {"threads": int, "memory": int, "cpu_seconds": int, "seconds": float}
_RANGES = {
    "threads": (1, 1024),
    "memory": (64 << 20, 1 << 50),
    "cpu_seconds": (1, 1 << 40),
    "seconds": (1, 1 << 40),
}


def parse_types(texts: Iterable[str], provider: str) -> dict[str, InstanceType]:
    """The catalogue, by name, from lines ``NAME threads=N memory=BYTES cpu_seconds=N seconds=N``.

    Raises :class:`InvalidConfig` naming the line that is wrong.
    """
    types: dict[str, InstanceType] = {}
    for text in texts:
        name, *pairs = text.split() or [""]
        values: dict[str, Any] = {}
        for pair in pairs:
            key, _, value = pair.partition("=")
            try:
                values[key] = _FIELDS[key](value)
            except (KeyError, ValueError):
                raise InvalidConfig(f"environment_types: {text!r}: {pair!r} is not understood") from None
        if values.keys() != _FIELDS.keys() or name in types or not 0 < len(name) <= 64:
            raise InvalidConfig(
                f"environment_types: {text!r} needs a name of its own and {', '.join(_FIELDS)}"
            )
        for key, (low, high) in _RANGES.items():
            if not low <= values[key] <= high:
                raise InvalidConfig(f"environment_types: {text!r}: {key} is {low} to {high}")
        types[name] = InstanceType(name=name, provider=provider, **values)
    return types
