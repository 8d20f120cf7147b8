"""Private set intersection from the side of whoever asks: a request to both owners, runs, and what they keep."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from syft_ext.client.requests import DataRequest
from syft_ext.errors import BadRequest, GridError
from syft_ext.messages import intersections as m
from syft_ext.messages.intersection_terms import IntersectionSide, IntersectionTerms, common_rows
from syft_ext.messages.objects import DeleteObject
from syft_ext.messages.shared_runs import CarriedFrames, MemberView
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.node_client import NodeClient
    from syft_ext.mpc.seals import Frame

__all__ = ["Intersection", "MatchedTables", "MatchedTensor", "TableSide", "forget", "intersect"]


@dataclass(frozen=True)
class TableSide:
    """One Domain's table.

    Attributes:
        client: of the Domain. table: an asset, an object, or its id there.
        column: the ids. most: so many different ids at most: others are told of exactly so many.
        rows: tensor → columns of the rows to keep for computations on shares; at both sides, or at none.
        duplicates: "refuse" a table in which an id names several rows, or take the "first".
    """

    client: NodeClient
    table: Any
    column: str
    most: int
    rows: Mapping[str, Sequence[str]] | None = None
    duplicates: Literal["refuse", "first"] = "refuse"

    @property
    def object_id(self) -> str:
        """Of the table."""
        found = self.table if isinstance(self.table, str) else None
        found = found or getattr(self.table, "object_id", None) or getattr(self.table, "id", None)
        if not isinstance(found, str):
            raise BadRequest(f"a table at the Domain is needed, not {type(self.table).__name__}")
        return found


@dataclass(frozen=True)
class MatchedTensor:
    """A tensor of rows in common at one Domain: the object, its name in there, and of which rows (``common``)."""

    object_id: str
    name: str
    common: str


@dataclass(frozen=True)
class MatchedTables:
    """What came of a run.

    Attributes:
        size: how many ids are in common.
        objects: of each Domain, in the order of the sides: the object of the rows that it keeps, "" for none. Row
            i of one belongs to row i of the other.
        clients: of the Domains. rows: tensor → columns of each object.
        common: names these rows, in terms of computations on shares and of split networks.
    """

    size: int
    objects: tuple[str, str]
    clients: tuple[NodeClient, NodeClient]
    rows: tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]]
    common: str

    def tensor(self, place: int, name: str) -> tuple[NodeClient, MatchedTensor]:
        """An input of :meth:`Session.request`: one of the tensors that the Domain at ``place`` keeps.

        Raises :class:`BadRequest` where it keeps none of this name.
        """
        if name not in self.rows[place]:
            known = ", ".join(map(readable, self.rows[place])) or "none"
            raise BadRequest(f"there are no rows of {readable(name)} there; there are: {known}")
        return self.clients[place], MatchedTensor(self.objects[place], name, self.common)


class Intersection:
    """One intersection that was asked of both Domains: ``requests``, in the order of the sides.

    ``agreement`` is the digest that both owners approve.
    """

    def __init__(
        self,
        sides: Sequence[TableSide],
        terms: IntersectionTerms,
        reader: Any,
        requests: Sequence[DataRequest],
    ) -> None:
        self.sides, self.terms, self.requests = list(sides), terms, list(requests)
        self.agreement = terms.digest()
        self._reader = reader

    def __repr__(self) -> str:
        where = " and ".join(readable(side.client.name) for side in self.sides)
        return f"<Intersection of tables at {where}; when both owners have approved: .run()>"

    def run(self) -> MatchedTables:
        """Compare. Takes a use of each approval, and from each budget the ids of the other side.

        If a party is lost, refuses or leaves the protocol, the run ends at both, and nothing is told; raises what
        that party answered, :class:`TooFewInCommon` where fewer ids are in common than the terms let be told.
        """
        from syft_ext.intersection.reader import carry_between
        from syft_ext.mpc.seals import frames_of
        from syft_ext.mpc.statements import agreed_keys

        run = secrets.token_hex(16)
        members: list[_IntersectionMember] = []
        kept: list[tuple[NodeClient, str]] = []
        try:
            for request, side in zip(self.requests, self.sides, strict=True):
                message = m.JoinIntersection(request_id=request.id, run=run)
                members.append(_IntersectionMember(side.client, side.client.call(message)))
            statements = [each.view.statement for each in members]
            keys, transcript = agreed_keys(statements, self.terms, run, self.agreement)
            for member in members:
                member.call(m.BeginIntersection(session_id=member.view.session_id, statements=statements))
            carry_between([member.advance for member in members])
            frames: list[Frame] = []
            for member in members:
                reply: m.FinishedIntersection = member.call(
                    m.FinishIntersection(session_id=member.view.session_id)
                )
                kept.append((member.client, reply.object_id))
                frames += frames_of(reply.frames)
            size = self._reader.size(frames, keys, transcript)
        except BaseException:
            for member in members:
                member.end()
            for client, object_id in kept:  # of no use without the other's
                forget(client, object_id)
            raise
        (one, first), (two, second) = kept
        rows = self.terms.sides[0].rows, self.terms.sides[1].rows
        common = common_rows(self.agreement, run)
        return MatchedTables(size, (first, second), (one, two), rows, common)


def intersect(
    sides: Sequence[TableSide],
    *,
    kind: Literal["integer", "text"],
    minimum: int,
    unit: str = "",
    normalisation: Literal["exact", "folded"] = "exact",
    reason: str = "",
) -> Intersection:
    """Ask two Domains how many ids a table of each has in common; nothing runs before both owners approved.

    Args:
        sides: two of them, at different Domains.
        kind, unit, normalisation: what the ids are, at both: a Domain whose column is something else refuses.
        minimum: where fewer are in common, nobody is told anything else.
    """
    from syft_ext.intersection.reader import IntersectionReader

    reader = IntersectionReader()
    terms = IntersectionTerms(
        parties=[side.client.verify_key for side in sides],
        sides=[
            IntersectionSide(
                column=side.column,
                most=side.most,
                rows={name: list(columns) for name, columns in (side.rows or {}).items()},
                duplicates=side.duplicates,
            )
            for side in sides
        ],
        kind=kind,
        unit=unit,
        normalisation=normalisation,
        minimum=minimum,
        reader=reader.key,
    )
    terms.check()
    asked = []
    for side in sides:
        message = m.CreateIntersectionRequest(object_id=side.object_id, terms=terms, reason=reason)
        asked.append(DataRequest(side.client, side.client.call(message)))
    return Intersection(sides, terms, reader, asked)


class _IntersectionMember:
    """A member at its Domain."""

    def __init__(self, client: NodeClient, view: MemberView) -> None:
        self.client, self.view = client, view
        self.call: Callable[..., Any] = client.call

    def advance(self, frames: list[Frame]) -> tuple[list[Frame], bool]:
        from syft_ext.mpc.seals import frames_of, packed_frames

        data = packed_frames(frames)
        message = m.AdvanceIntersection(session_id=self.view.session_id)
        reply: CarriedFrames = self.call(message, [data] if data else ())
        return frames_of(reply.frames), reply.finished

    def end(self) -> None:
        """What is gone already is as good."""
        try:
            self.call(m.EndIntersection(session_id=self.view.session_id))
        except (GridError, OSError):
            return


def forget(client: NodeClient, object_id: str) -> None:
    """Delete what a run kept that ended badly; a Domain that does not answer keeps what nobody reads."""
    if not object_id:
        return
    try:
        client.call(DeleteObject(object_id=object_id))
    except (GridError, OSError):
        return
