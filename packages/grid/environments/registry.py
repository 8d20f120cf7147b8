"""The providers that a Domain's settings may name: those that come with Grid, and those of installed packages.

A package brings one with an entry point in the group ``grid.environment_providers``; it refers to what
:data:`Maker` says:

    [options.entry_points]
    grid.environment_providers =
        my-cloud = my_package.provider:make

Only a provider that is asked for by name is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from grid.environments.local import LocalProvider
from grid.environments.provider import Provider
from syft_ext.errors import InvalidConfig
from syft_ext.registry import Registry

__all__ = ["GROUP", "PROVIDERS", "Maker", "make_providers", "provider_named", "provider_names"]

GROUP = "grid.environment_providers"

Maker = Callable[[Path, float], Provider]
"""Makes a provider, from the node's home and the lease in seconds. Its ``name`` is that of the entry point."""


def _local(home: Path, lease: float) -> Provider:
    return LocalProvider(home / "environments", lease)


#: Those that come with Grid, by their names in the settings.
PROVIDERS: dict[str, Maker] = {"local": _local}
_MAKERS: Registry[Maker] = Registry(
    "environment provider", GROUP, PROVIDERS, make=lambda maker: maker, keep=False
)


def provider_names() -> list[str]:
    """All names that the settings may have now: Grid's own first."""
    return _MAKERS.names()


def provider_named(name: str, home: Path, lease: float) -> Provider:
    """The provider of this name.

    Raises :class:`InvalidConfig` when there is none, when more than one has the name, or when a package's
    cannot be loaded.
    """
    provider = _MAKERS.find(name)(home, lease)
    if provider.name != name:
        raise InvalidConfig(f"the environment provider {name!r} calls itself {provider.name!r}")
    return provider


def make_providers(
    chosen: str, used: Iterable[str], home: Path, lease: float, *, permissive: bool = False
) -> dict[str, Provider]:
    """The providers of a Domain, by name: those of Grid, the ``chosen`` one ("" for none), and of those that
    are ``used`` by environments that run the ones that are still installed: somebody must look after these.

    ``permissive`` is for those that make processes on this machine.
    """
    names = {*PROVIDERS, chosen, *set(used).intersection(provider_names())} - {""}
    made = {name: provider_named(name, home, lease) for name in sorted(names)}
    for provider in made.values():
        if isinstance(provider, LocalProvider):
            provider.permissive = permissive
    return made
