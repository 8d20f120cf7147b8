"""Two hospitals, and a registry as a dealer: Domains over real sockets, tables with people in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from syft_ext.client.requests import DataRequest, Requests
from syft_ext.messages import intersections as m
from syft_ext.messages.datasets import Asset, Column, CreateDataset
from syft_ext.messages.policy import SitePolicy
from syft_ext.nodes.intersection import Intersection, TableSide, intersect
from tests.compute.lab import Lab, Person
from tests.mpc.three_sites import Client

__all__ = ["Hospitals"]


class Hospitals:
    """Sue asks; the owners of each Domain decide. ``dealer``: with a third Domain."""

    def __init__(self, folder: Path, *, dealer: bool = False, database_url: str = "") -> None:
        names = ["north", "south", *(["registry"] if dealer else [])]
        self.labs = [Lab(folder / name, database_url if name == "north" else "") for name in names]
        self.clients = [Client(lab.sue, name) for lab, name in zip(self.labs, names, strict=True)]

    def fresh(self) -> None:
        """Clients that have seen nothing, policies that demand nothing."""
        self.clients = [
            Client(lab.sue, client.name) for lab, client in zip(self.labs, self.clients, strict=True)
        ]
        for lab in self.labs:
            lab.policy(SitePolicy())

    def table(
        self, place: int, columns: dict[str, torch.Tensor], schema: list[Column] | None = None, **lists: Any
    ) -> str:
        """A table of the owner's that Sue may find; with a schema, in a dataset."""
        lab = self.labs[place]
        object_id = lab.owner.put(columns, kind="tensors", finders=[lab.sue.id], **lists)
        if schema is not None:
            asset = Asset(name="people", object_id=object_id, columns=schema)
            lab.owner.call(CreateDataset(name=f"people {object_id[:8]}", assets=[asset]))
        return object_id

    def words(self, place: int, ids: list[str], unit: str = "") -> str:
        """A table whose ids are words."""
        known = sorted(set(ids)) or ["nobody"]
        codes = torch.tensor([known.index(each) for each in ids], dtype=torch.int64)
        column = Column(name="id", dtype="int64", unit=unit, categories=known)
        return self.table(place, {"id": codes}, [column])

    def ask(
        self,
        tables: tuple[str, str],
        *,
        kind: Any = "integer",
        minimum: int = 1,
        most: int | tuple[int, int] = 64,
        column: str = "id",
        rows: tuple[Any, Any] = (None, None),
        duplicates: Any = "refuse",
        **options: Any,
    ) -> Intersection:
        many = most if isinstance(most, tuple) else (most, most)
        clients: list[Any] = self.clients[:2]
        sides = [
            TableSide(clients[place], tables[place], column, many[place], rows[place], duplicates)
            for place in (0, 1)
        ]
        return intersect(sides, kind=kind, minimum=minimum, **options)

    def decided(self, request: DataRequest, place: int) -> DataRequest:
        client: Any = Client(self.labs[place].owner, "owner")
        return Requests(client).get(request.id)

    def approve(self, found: Intersection, **conditions: Any) -> Intersection:
        for place, request in enumerate(found.requests):
            self.decided(request, place).approve(**conditions)
        return found

    def members(self, place: int) -> list[Any]:
        from grid.intersections.service import IntersectionService

        return list(self.labs[place].node.service(IntersectionService)._members._members.values())

    def quiet(self) -> bool:
        return all(self.members(place) == [] for place in range(len(self.labs)))

    def tested(self, place: int, object_id: str, who: Person | None = None) -> dict[str, int]:
        person = who or self.labs[place].owner
        view: m.IntersectionBudgetView = person.call(m.GetIntersectionBudget(object_id=object_id))
        return {each.who: each.spent for each in view.tested}

    def close(self) -> None:
        for lab in self.labs:
            lab.close()
