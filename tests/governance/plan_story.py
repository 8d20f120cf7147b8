"""Two owners of data, a scientist with plans, an officer."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch

from syft_ext.client.requests import DataRequest, Requests
from syft_ext.messages.accounts import CreateRole
from syft_ext.messages.objects import PutObject
from syft_ext.plans import Plan, make_plan
from syft_ext.tensors import encode_tensors
from syft_ext.transport import Connection
from tests.accounts.people import House

ROWS = 12


@make_plan
def mean_of_rows(xs: Any = torch.zeros(ROWS, 3), scale: Any = torch.tensor(1.0)) -> Any:
    """The mean of each column, scaled."""
    return (xs * scale).mean(0)


@make_plan(name="mean_of_rows")
def other_mean(xs: Any = torch.zeros(ROWS, 3), scale: Any = torch.tensor(1.0)) -> Any:
    return (xs * scale).mean(0) + xs[0]


@make_plan
def product(xs: Any = torch.zeros(ROWS, 3), ys: Any = torch.zeros(ROWS)) -> Any:
    return {"slope": ys @ xs, "count": torch.tensor(1.0) * ys.sum()}


class PlanStory:
    def __init__(self, house: House) -> None:
        self.house = house
        self.owner = house.set_up()
        self.owner.call(CreateRole(name="Data owner", can_upload_data=True))  # and triages nothing
        self.ann, self.ann_view = house.add_user(self.owner, "ann@hospital.org", "Data owner")
        self.bob, self.bob_view = house.add_user(self.owner, "bob@clinic.org", "Data owner")
        self.sue, self.sue_view = house.add_user(self.owner, "sue@lab.org")
        self.officer, self.officer_view = house.add_user(
            self.owner, "officer@hospital.org", "Compliance Officer"
        )
        self.eve, self.eve_view = house.add_user(self.owner, "eve@elsewhere.org")
        self.xs = torch.arange(3.0 * ROWS).reshape(ROWS, 3)
        self.ys = torch.linspace(-1, 1, ROWS)
        self.table = self.put(self.ann, self.xs)
        self.labels = self.put(self.bob, self.ys)

    def put(self, who: Connection, tensor: torch.Tensor, **fields: Any) -> str:
        fields = {"kind": "tensor", "finders": [self.sue_view.id], **fields}
        return str(who.call(PutObject(**fields), [encode_tensors({"": tensor})]).id)

    def requests(self, who: Connection) -> Requests:
        """The SDK's requests of somebody."""
        return Requests(client_of(who))

    def ask(self, plan: Plan = mean_of_rows, inputs: Any = None, **fields: Any) -> DataRequest:
        return self.requests(self.sue).create_plan(plan, inputs or {"xs": self.table}, "a study", **fields)

    def seen_by(self, who: Connection, request: DataRequest) -> DataRequest:
        return self.requests(who).get(request.id)


def client_of(connection: Connection) -> Any:
    return SimpleNamespace(
        name="hospital", call=connection.call, open=connection.open, explained=lambda: nullcontext()
    )
