"""What two owners agree to before a split network is trained, or predicts: which two plans, and what crosses
between them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from blake3 import blake3

from syft_ext.errors import BadRequest
from syft_ext.readable import readable

__all__ = ["ACTIVATIONS", "GRADIENTS", "PREDICTIONS", "Crossing", "SplitTerms"]

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]

ACTIVATIONS = "activations"
"""The bottom plan's output and the top plan's input: what crosses in each batch."""
GRADIENTS = "gradients"
"""The top plan's output and the bottom plan's input: what crosses back in training."""
PREDICTIONS = "predictions"
"""The top plan's output for each row, which stays at its Domain, in prediction."""
_FLOAT = 4


class Crossing(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is done to each row before it crosses, by the host that sends it.

    Attributes:
        clip: its largest L2 norm, on a grid of norm · 2⁻²⁴; None: rows cross as they are.
        noise_multiplier: deviation of the discrete Gaussian noise in each number, in clipping norms; None: none.
    """

    clip: Annotated[float, msgspec.Meta(gt=1e-6, le=1e6)] | None = None
    noise_multiplier: Annotated[float, msgspec.Meta(ge=1e-3, le=1e6)] | None = None

    def rho(self, rows: int) -> float | None:
        """Of so many rows that cross: any two contents put each of them at most two norms apart, so that each is
        (2/z²)-zCDP for all that was put in (M. Bun, T. Steinke 2016); None: nothing is claimed."""
        return None if self.noise_multiplier is None else 2 * rows / self.noise_multiplier**2


class SplitTerms(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The terms of one run of a split network over rows that an intersection left at two Domains.

    Attributes:
        parties: verify keys of the Domains, in the order of the intersection. top: which of them has the top plan,
            and the label; the other one has the bottom plan.
        plans, values: of each party: the digest of its plan, and of the public values with it, "" without.
        task: "train": parameters that the plans return go into the next batch, and stay at their Domain in the
            end; "predict": "predictions" stay at the top's.
        common: which rows of an intersection (:func:`~syft_ext.messages.intersection_terms.common_rows`).
        rows: how many.
        batch, epochs, seed: rows at a time; how often all are gone through; what the order of each time follows
            from. It is of places in the kept rows, which nobody chose, and says nothing of ids.
        width: numbers of a row that crosses, each of 32 bits.
        activations, gradients: what is done to what crosses, one way and the other.
        opened: outputs of the top plan that are opened to the holder of ``reader`` (X25519): of single numbers the
            mean of each epoch; in prediction also rows.
    """

    parties: Annotated[list[Digest], msgspec.Meta(min_length=2, max_length=2)]
    top: Literal[0, 1]
    plans: Annotated[list[Digest], msgspec.Meta(min_length=2, max_length=2)]
    values: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")]],
        msgspec.Meta(min_length=2, max_length=2),
    ]
    task: Literal["train", "predict"]
    common: Digest
    rows: _Count
    batch: _Count
    epochs: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 53) - 1)] = 0
    width: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    activations: Crossing = msgspec.field(default_factory=Crossing)
    gradients: Crossing = msgspec.field(default_factory=Crossing)
    opened: Annotated[list[_Name], msgspec.Meta(max_length=64)] = []
    reader: Digest

    @property
    def members(self) -> list[str]:
        """The nodes that take part, in order; whoever it is opened to comes behind them."""
        return self.parties

    @property
    def trains(self) -> bool:
        """Whether gradients cross back, and parameters change."""
        return self.task == "train"

    @property
    def batches(self) -> int:
        """In all epochs."""
        return -(-self.rows // self.batch) * self.epochs

    def sent(self, party: int) -> Crossing | None:
        """What is done to what this party sends to the other; None where nothing crosses from it."""
        if party != self.top:
            return self.activations
        return self.gradients if self.trains else None

    def rho(self, party: int) -> float | None:
        """What a run tells of this party's data to the other one, in zCDP; None: nothing is claimed."""
        crossing = self.sent(party)
        return None if crossing is None else crossing.rho(self.rows * self.epochs)

    def crossing_bytes(self, party: int) -> int:
        """That this party sends to the other one, in all batches."""
        return 0 if self.sent(party) is None else _FLOAT * self.width * self.rows * self.epochs

    def check(self) -> None:
        """Raise :class:`BadRequest` for terms that contradict themselves."""
        if len(set(self.parties)) != 2:
            raise BadRequest("a split network is of two different Domains", field="split")
        if self.batch > self.rows:
            raise BadRequest("a batch has more rows than there are", field="split")
        if self.task == "predict" and self.epochs != 1:
            raise BadRequest("a prediction goes through the rows once", field="split")
        if any(each.noise_multiplier and not each.clip for each in (self.activations, self.gradients)):
            raise BadRequest("noise is for rows that are clipped: say to what norm", field="split")
        if self.task == "predict" and self.gradients != Crossing():
            raise BadRequest("no gradients cross in a prediction", field="split")
        if len(set(self.opened)) != len(self.opened) or {ACTIVATIONS, GRADIENTS} & set(self.opened):
            raise BadRequest(
                "an output is opened twice, or is what crosses between the parties", field="split"
            )

    def digest(self) -> str:
        """64 hex digits. What is approved is what runs."""
        encoded = msgspec.msgpack.encode(self, order="deterministic")
        return blake3(encoded, derive_key_context="grid 2026-12 split network").hexdigest()

    def __str__(self) -> str:
        plans = "; ".join(
            f"party {place} is {key}, with the {'top' if place == self.top else 'bottom'} plan {plan}"
            for place, (key, plan) in enumerate(zip(self.parties, self.plans, strict=True))
        )
        times = f"{self.epochs} times through " if self.trains else ""
        crossing = [self._crossing(1 - self.top, ACTIVATIONS)]
        if self.trains:
            crossing.append(self._crossing(self.top, GRADIENTS))
        stays = "the parameters of each party" if self.trains else f"the {PREDICTIONS} of party {self.top}"
        names = ", ".join(map(readable, self.opened))
        opened = f"opened to {self.reader}: {names}" if names else "nothing is opened to anybody"
        rows = f"{self.rows:,} rows in common {self.common} in batches of {self.batch:,}"
        return (
            f"a split network, {self.task}: {times}{rows} ({self.batches:,} batches; order from {self.seed}); "
            f"{plans}; {'; '.join(crossing)}; {stays} stay there, as an object that nobody reads; {opened}"
        )

    def _crossing(self, party: int, name: str) -> str:
        crossing = self.sent(party)
        assert crossing is not None
        text = (
            f"{name} cross from party {party} to party {1 - party}: f32[{self.batch}, {self.width}] in each "
            f"batch, {self.crossing_bytes(party):,} bytes in all"
        )
        if crossing.clip is None:
            return f"{text}, as they are: they tell of the rows, and nothing is promised"
        text += f", each row clipped to a norm of {crossing.clip:g}"
        if crossing.noise_multiplier is None:
            return f"{text}, without noise: they tell of the rows, and nothing is promised"
        deviation = crossing.noise_multiplier * crossing.clip
        return (
            f"{text}, with noise of deviation {deviation:g} in each number: ρ = {self.rho(party):.4g} (zCDP) for "
            f"all that party {party} puts in, against party {1 - party}"
        )
