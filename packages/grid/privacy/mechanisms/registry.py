"""Mechanisms by name: those that come with Grid, and those of installed packages.

A package brings one with an entry point in the group ``grid.privacy_mechanisms`` that refers to a subclass of
:class:`~grid.privacy.mechanisms.interface.Mechanism`, which is made without arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from grid.extensions.parameters import Parameters, parse_parameters
from grid.extensions.registry import Extensions
from grid.privacy.accounting.events import Event
from grid.privacy.mechanisms.clipping import Clipping
from grid.privacy.mechanisms.discrete_laplace import DiscreteLaplace
from grid.privacy.mechanisms.gaussian import Gaussian
from grid.privacy.mechanisms.interface import Mechanism, Noise
from syft_ext.errors import InvalidConfig

__all__ = ["MECHANISMS", "ChosenMechanism", "choose_mechanism", "vector_mechanism"]


def _refused(reason: str, parameter: str = "") -> InvalidConfig:
    return InvalidConfig(reason, field=parameter)


MECHANISMS: Extensions[Mechanism] = Extensions(
    "grid.privacy_mechanisms",
    "privacy mechanism",
    Mechanism,  # type: ignore[type-abstract]
    (Clipping(), Gaussian(), DiscreteLaplace()),
    _refused,
)


@dataclass(frozen=True, slots=True)
class ChosenMechanism:
    """A mechanism with its parameters: as :class:`Mechanism`, without having to say them each time."""

    mechanism: Mechanism
    parameters: Parameters

    def measure(self, part: NDArray[Any]) -> float:
        return self.mechanism.measure(part)

    def clip(self, part: NDArray[Any], measured: float) -> None:
        self.mechanism.clip(part, measured, self.parameters)

    def noise(self, key: bytes | None = None) -> Noise:
        return self.mechanism.noise(self.parameters, key)

    def event(self) -> Event:
        return self.mechanism.event(self.parameters)


def choose_mechanism(name: str, **values: Any) -> ChosenMechanism:
    """The mechanism of this name, with these parameters. Raises :class:`InvalidConfig`, naming the parameter."""
    mechanism = MECHANISMS.get(name)
    parameters = parse_parameters(
        mechanism.parameters, values, f"the privacy mechanism {mechanism.name}", _refused
    )
    return ChosenMechanism(mechanism, parameters)


def vector_mechanism(clip_norm: float, noise_multiplier: float | None) -> ChosenMechanism:
    """What a site's policy with these numbers does to vectors; without a noise multiplier it only clips."""
    if noise_multiplier is None:
        return choose_mechanism("clipping", clip_norm=clip_norm)
    return choose_mechanism("gaussian", clip_norm=clip_norm, noise_multiplier=noise_multiplier)
