"""Mechanisms by name: those that come with Grid, and those of installed packages.

A package brings one with an entry point in the group ``grid.privacy_mechanisms`` that refers to a subclass of
:class:`~grid.privacy.mechanisms.interface.Mechanism`, which is made without arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from numpy.typing import NDArray

from grid.extensions.parameters import Parameters, parse_parameters
from grid.extensions.registry import Extensions
from grid.privacy.accounting.events import Event
from grid.privacy.mechanisms.clipping import Clipping
from grid.privacy.mechanisms.discrete_gaussian import DiscreteGaussian
from grid.privacy.mechanisms.discrete_laplace import DiscreteLaplace
from grid.privacy.mechanisms.interface import Mechanism, Noise, Parts
from syft_ext.errors import InvalidConfig, Unavailable

__all__ = ["MECHANISMS", "ChosenMechanism", "choose_mechanism", "demanded_mechanism", "vector_mechanism"]


def _refused(reason: str, parameter: str = "") -> InvalidConfig:
    return InvalidConfig(reason, field=parameter)


MECHANISMS: Extensions[Mechanism] = Extensions(
    "grid.privacy_mechanisms",
    "privacy mechanism",
    Mechanism,  # type: ignore[type-abstract]
    (Clipping(), DiscreteGaussian(), DiscreteLaplace()),
    _refused,
)


@dataclass(frozen=True, slots=True)
class ChosenMechanism:
    """A mechanism with its parameters: as :class:`Mechanism`, without having to say them each time."""

    mechanism: Mechanism
    parameters: Parameters

    def bound(self) -> float:
        return self.mechanism.bound(self.parameters)

    def measure(self, parts: Parts) -> Any:
        return self.mechanism.measure(parts, self.parameters)

    def clip(self, part: NDArray[Any], measured: Any) -> NDArray[Any]:
        return self.mechanism.clip(part, measured, self.parameters)

    def restore(self, values: NDArray[Any]) -> NDArray[Any]:
        return self.mechanism.restore(values, self.parameters)

    def noise(self, key: bytes | None = None) -> Noise:
        return self.mechanism.noise(self.parameters, key)

    def event(self) -> Event:
        return self.mechanism.event(self.parameters)

    def statement(self) -> bytes:
        """Name and parameters, for the key of a release: under another rule the noise is another."""
        return msgspec.json.encode((self.mechanism.name, self.parameters))


def choose_mechanism(name: str, **values: Any) -> ChosenMechanism:
    """The mechanism of this name, with these parameters. Raises :class:`InvalidConfig`, naming the parameter."""
    mechanism = MECHANISMS.get(name)
    parameters = parse_parameters(
        mechanism.parameters, values, f"the privacy mechanism {mechanism.name}", _refused
    )
    mechanism.check(parameters)
    return ChosenMechanism(mechanism, parameters)


def vector_mechanism(
    clip_norm: float, noise_multiplier: float | None, name: str = "discrete_gaussian"
) -> ChosenMechanism:
    """What a site's policy with these numbers does to vectors; without a noise multiplier it only clips.

    Raises :class:`InvalidConfig`, naming the field, for a mechanism that is not installed, is not for vectors, or
    whose noise is not exact or cannot be made again.
    """
    if noise_multiplier is None:
        return choose_mechanism("clipping", clip_norm=clip_norm)
    chosen = choose_mechanism(name, clip_norm=clip_norm, noise_multiplier=noise_multiplier)
    kind = chosen.mechanism
    if kind.sensitivity != "l2":
        raise _refused(f"the privacy mechanism {name} is not for vectors", "mechanism")
    if not (kind.exact and kind.numbers == "int64"):
        raise _refused(f"the noise of {name} is not exact: it could be taken off", "mechanism")
    if not kind.repeatable:
        raise _refused(f"the noise of {name} cannot be made again: it could be averaged away", "mechanism")
    return chosen


def demanded_mechanism(clip_norm: float, noise_multiplier: float | None, name: str) -> ChosenMechanism:
    """As :func:`vector_mechanism`, for what a policy named when it was set.

    Raises :class:`Unavailable` where the package that brings it is not installed any more: it may come back.
    """
    try:
        return vector_mechanism(clip_norm, noise_multiplier, name)
    except InvalidConfig as error:
        raise Unavailable(
            f"the noise that the site's policy demands cannot be made: {error.detail}"
        ) from error
