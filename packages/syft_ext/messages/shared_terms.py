"""What owners agree to before a plan is computed on shares: who takes part, on what, and who is told what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from blake3 import blake3

from syft_ext.errors import BadRequest
from syft_ext.readable import readable

__all__ = ["PROTOCOLS", "ProtocolFacts", "SharedInput", "SharedTerms"]

Key = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]


@dataclass(frozen=True, slots=True)
class ProtocolFacts:
    """How many parties a protocol has, whether a dealer besides, and against whom it is (``securities``)."""

    parties: int
    dealer: bool
    securities: tuple[str, ...]


PROTOCOLS = {
    "Beaver": ProtocolFacts(2, True, ("semi-honest",)),
    "Falcon": ProtocolFacts(3, False, ("semi-honest", "malicious")),
}
"""By name, as :mod:`syft_ext.mpc.registry` has them."""


class SharedInput(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An input of the plan that is shared.

    Attributes:
        party: whose it is, as a place in the list of parties.
        shape, bound: its sizes, and the largest size of its numbers: its owner's host refuses larger ones.
        common: which rows of an intersection it is of, if it is
            (:func:`~syft_ext.messages.intersection_terms.common_rows`). Both Domains bring inputs of the same
            rows: each one's owner is asked for its own table, of which the other's rows tell.
    """

    name: _Name
    party: Annotated[int, msgspec.Meta(ge=0, le=15)]
    shape: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]], msgspec.Meta(max_length=16)]
    bound: Annotated[float, msgspec.Meta(gt=0, le=1 << 40)]
    common: Key | None = None


class SharedTerms(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The terms of one computation on shares; with the plan and its public values they are what is approved.

    Attributes:
        protocol: by name: "Beaver", two parties and a dealer; "Falcon", three parties, of which two are honest.
        security: "semi-honest": all follow the protocol; "malicious": if one does not, the run ends and nothing is
            opened.
        precision: bits behind the point.
        parties, dealer: verify keys of nodes; a dealer, where the protocol has one, is none of the parties.
        steps: how often the plan runs. carried: output → input of the next step, which stays shared.
        opened: outputs of the last step that are opened, to the holder of ``reader`` (X25519) and nobody else.
    """

    protocol: Literal["Beaver", "Falcon"]
    security: Literal["semi-honest", "malicious"] = "semi-honest"
    precision: Annotated[int, msgspec.Meta(ge=8, le=20)]
    parties: Annotated[list[Key], msgspec.Meta(min_length=2, max_length=3)]
    dealer: Key | None = None
    inputs: Annotated[list[SharedInput], msgspec.Meta(min_length=1, max_length=4096)]
    steps: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    carried: Annotated[dict[_Name, _Name], msgspec.Meta(max_length=4096)] = {}
    opened: Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=4096)]
    reader: Key

    @property
    def members(self) -> list[str]:
        """Verify keys of the nodes that take part: parties in order, then the dealer, if there is one."""
        return [*self.parties] if self.dealer is None else [*self.parties, self.dealer]

    def check(self) -> None:
        """Raise :class:`BadRequest` for terms that contradict themselves."""
        facts = PROTOCOLS[self.protocol]
        if len(self.parties) != facts.parties or (self.dealer is not None) != facts.dealer:
            dealt = "a dealer" if facts.dealer else "no dealer"
            raise BadRequest(f"{self.protocol} has {facts.parties} parties and {dealt}", field="shared")
        if self.security not in facts.securities:
            raise BadRequest(f"{self.protocol} is not {self.security}", field="shared")
        if len(set(self.members)) != len(self.members):
            raise BadRequest("parties and dealer are different nodes, none named twice", field="shared")
        names = [each.name for each in self.inputs]
        if len(set(names)) != len(names) or len(set(self.opened)) != len(self.opened):
            raise BadRequest("an input or output is named twice", field="shared")
        if any(each.party >= len(self.parties) for each in self.inputs):
            raise BadRequest("an input is of no party", field="shared")
        halves = {(each.common, each.party) for each in self.inputs if each.common}
        if any(sum(common == each for each, _ in halves) != 2 for common, _ in halves):
            raise BadRequest("rows in common are brought by two parties, each its own half", field="shared")
        if not set(self.carried.values()) <= set(names) or len(set(self.carried.values())) != len(
            self.carried
        ):
            raise BadRequest("an output is carried to no shared input", field="shared")
        if self.steps > 1 and not self.carried:
            raise BadRequest("a plan that carries nothing runs once", field="shared")

    def digest(self, plan_id: str, values: str) -> str:
        """Of the terms with the plan and the public values: 64 hex digits. What is approved is what runs."""
        encoded = msgspec.msgpack.encode([self, plan_id, values], order="deterministic")
        return blake3(encoded, derive_key_context="grid 2026-11 computation on shares").hexdigest()

    def __str__(self) -> str:
        shared = ", ".join(
            f"{readable(each.name)} of party {each.party}, up to {each.bound:g}"
            + (f", rows in common {each.common}" if each.common else "")
            for each in self.inputs
        )
        # Keys in full: who holds two of these nodes sees everything, and a few digits of a key can be hit.
        nodes = [f"party {place} is {key}" for place, key in enumerate(self.parties)]
        if self.dealer is not None:
            nodes.append(f"the dealer {self.dealer}")
        return (
            f"on shares ({self.protocol}, {self.security}, {self.precision} bits, {self.steps} steps): {shared}; "
            f"{', '.join(nodes)}; "
            f"opened to {self.reader}: {', '.join(map(readable, self.opened))}"
        )
