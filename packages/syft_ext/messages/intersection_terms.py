"""What owners agree to before two Domains find out how many people are in a table of each: with whom, by which
column, and what becomes known."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from blake3 import blake3

from syft_ext.errors import BadRequest
from syft_ext.readable import readable

__all__ = ["MOST_IDS", "IntersectionFacts", "IntersectionSide", "IntersectionTerms", "common_rows"]

Key = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
MOST_IDS = 1 << 20
"""Of one table: what is sent of them at once has to fit a payload."""


class IntersectionSide(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One party's side.

    Attributes:
        column: the ids.
        most: so many different ids at most. Others are told of exactly so many: made-up ones, which match nothing,
            fill up. It is what the other side's budget is charged.
        rows: tensor → columns: what is kept of the rows of common ids, for computations on shares with the other
            party. Rows without a value of any of these take no part. Empty at both: nothing is kept.
        duplicates: whether a table in which an id names several rows is refused, or the first of them counts.
    """

    column: _Name
    most: Annotated[int, msgspec.Meta(ge=1, le=MOST_IDS)]
    rows: Annotated[
        dict[_Name, Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=1000)]],
        msgspec.Meta(max_length=64),
    ] = {}
    duplicates: Literal["refuse", "first"] = "refuse"


class IntersectionTerms(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The terms of one intersection: what both owners approve, alike.

    Attributes:
        parties: verify keys of the two Domains. sides: theirs, in this order.
        kind, unit: what the ids are, at both: whole numbers, or words; and their unit as the owners' schemas have
            it. A Domain whose column is something else refuses.
        normalisation: "exact", or "folded": words without case, outer and repeated blanks, and forms of letters
            (Unicode NFKC).
        minimum: where fewer ids are in common, nobody is told anything else.
        reader: who is told how many, a key of X25519.
    """

    parties: Annotated[list[Key], msgspec.Meta(min_length=2, max_length=2)]
    sides: Annotated[list[IntersectionSide], msgspec.Meta(min_length=2, max_length=2)]
    kind: Literal["integer", "text"]
    unit: Annotated[str, msgspec.Meta(max_length=4096, pattern=r"^[^\x00]*$")] = ""
    normalisation: Literal["exact", "folded"] = "exact"
    minimum: Annotated[int, msgspec.Meta(ge=1, le=MOST_IDS)]
    reader: Key

    @property
    def members(self) -> list[str]:
        """The nodes that take part, in order; whoever it is opened to comes behind them."""
        return self.parties

    @property
    def keeps_rows(self) -> bool:
        """Whether both parties keep rows: each then learns which of its own ids are in common."""
        return bool(self.sides[0].rows)

    def check(self) -> None:
        """Raise :class:`BadRequest` for terms that contradict themselves."""
        if len(set(self.parties)) != 2:
            raise BadRequest("an intersection is of two different Domains", field="terms")
        if bool(self.sides[0].rows) != bool(self.sides[1].rows):
            raise BadRequest("rows are kept by both parties, or by none", field="terms")
        if self.kind == "integer" and self.normalisation != "exact":
            raise BadRequest("whole numbers have one form only: exact", field="terms")
        if self.minimum > min(side.most for side in self.sides):
            raise BadRequest(
                "so many ids can never be in common: the minimum is above a side's", field="terms"
            )

    def digest(self) -> str:
        """64 hex digits. What is approved is what runs."""
        encoded = msgspec.msgpack.encode(self, order="deterministic")
        return blake3(encoded, derive_key_context="grid 2026-12 intersection of two tables").hexdigest()

    def __str__(self) -> str:
        sides = [
            f"party {place} is {key}: up to {side.most:,} ids of {readable(side.column)}"
            + "".join(
                f", keeps {readable(name)} = {', '.join(map(readable, columns))}"
                for name, columns in side.rows.items()
            )
            + (", the first row of an id" if side.duplicates == "first" else ", one row for each id")
            for place, (key, side) in enumerate(zip(self.parties, self.sides, strict=True))
        ]
        unit = f" in {readable(self.unit)}" if self.unit else ""
        known = (
            "each party learns which of its own ids are in common, and keeps these rows"
            if self.keeps_rows
            else "neither party learns which ids are in common"
        )
        return (
            f"how many ids ({self.kind}{unit}, {self.normalisation}) are in both tables; {'; '.join(sides)}; "
            f"{known}; the number is opened to {self.reader}, and nothing below {self.minimum:,}"
        )


def common_rows(agreement: str, run: str) -> str:
    """Names the rows that one run under the terms of this digest leaves at both Domains: 64 hex digits."""
    said = f"{agreement} {run}".encode()
    return blake3(said, derive_key_context="grid 2026-12 rows in common").hexdigest()


class IntersectionFacts(msgspec.Struct, kw_only=True):
    """What a reviewer decides on.

    Attributes:
        agreement: the terms' digest, which both owners approve.
        party: which side is this node's.
        problem: why the table is not what the terms say; such a request cannot be approved.
    """

    terms: IntersectionTerms
    agreement: str
    party: int
    problem: str = ""
