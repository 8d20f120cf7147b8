"""What noisy statistics cost their users, and that they end with the budget."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.schemas import statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.policy_service import PolicyService
from grid.node.metadata import MetadataService
from grid.privacy.budget.service import BudgetService
from grid.storage.objects.tables import ObjectPermission
from syft_ext.client.policy import Budgets
from syft_ext.errors import Conflict, Forbidden, NotFound
from syft_ext.messages.budget import GetBudget, GrantBudget, ListBudgets
from syft_ext.messages.datasets import Asset, Column, CreateDataset
from syft_ext.messages.objects import PutObject
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.statistics import Begin
from syft_ext.tensors import encode_tensors
from tests.accounts.people import House


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    services = (MetadataService, *ACCOUNTS, *CATALOGUE, PolicyService, BudgetService, statistics_service)
    house = House(tmp_path / "home", database_url, services=services)
    yield house
    house.node.stop()


def test_what_is_measured_first_is_paid_for_until_nothing_is_left(house: House) -> None:
    owner = house.set_up()
    ann, ann_view = house.add_user(owner, "ann@lab.org")
    bob, bob_view = house.add_user(owner, "bob@lab.org")
    content = encode_tensors({"x": torch.arange(1000.0), "free": torch.ones(1000)})
    table = owner.call(PutObject(kind="tensors"), [content]).id
    columns = [Column(name="x", low=0.0, high=1000.0), Column(name="free")]
    owner.call(CreateDataset(name="d", assets=[Asset(name="a", object_id=table, columns=columns)]))
    with house.node.db.transaction() as session:
        for view in (ann_view, bob_view):
            session.add(ObjectPermission(object_id=table, scope="statistics", verify_key=view.id))
    owner.call(SetPolicy(policy=SitePolicy(statistics_epsilon=0.1)))
    count = Begin(object_id=table, statistics=["count"], columns=["x"])
    with pytest.raises(Forbidden, match=r"costs 0\.2 .* 0 is left"):  # the rows, and the column's values
        ann.call(count)
    owner.call(GrantBudget(user_id=ann_view.id, granted=0.6))
    dry = ann.call(Begin(object_id=table, statistics=["count"], columns=["x"], dry=True))
    assert (dry.units, dry.epsilon) == (2, 0.2) and not dry.columns
    assert ann.call(GetBudget()).spent == 0
    replies = [ann.call(count) for _ in range(5)]
    assert len({reply.columns[0].count[0] for reply in replies}) == 1, "asked again, the same number"
    assert abs(replies[0].columns[0].count[0] - 1000) < 60 and replies[0].noise == 10.0
    assert [reply.epsilon for reply in replies] == [0.2, 0.0, 0.0, 0.0, 0.0]
    assert [reply.units for reply in replies] == [2, 0, 0, 0, 0]
    budget = ann.call(GetBudget())
    assert (budget.granted, budget.spent, budget.left) == (0.6, 0.2, 0.4)  # to the last billionth
    mean = Begin(object_id=table, statistics=["mean"], columns=["x"])
    with pytest.raises(Forbidden, match="0 is left"):
        bob.call(mean)  # who has no budget asks nothing new
    found = ann.call(mean)  # its powers of two, its bounds, and a sum: four units
    assert found.epsilon == 0.4 and abs(found.columns[0].mean[0] - 500) < 30
    assert ann.call(GetBudget()).left == 0.0
    with pytest.raises(Forbidden, match="0 is left"):
        ann.call(Begin(object_id=table, statistics=["std"], columns=["x"]))
    assert bob.call(mean).columns[0].mean == found.columns[0].mean, "what is known costs nobody anything"
    with pytest.raises(Conflict, match="spent already"):
        owner.call(GrantBudget(user_id=ann_view.id, granted=0.5))


def test_who_grants(house: House) -> None:
    owner = house.set_up()
    ann, view = house.add_user(owner, "ann@lab.org")
    officer, other = house.add_user(owner, "eve@x.org", "Compliance Officer")
    with pytest.raises(Forbidden):
        ann.call(GrantBudget(user_id=other.id, granted=1.0))
    with pytest.raises(Forbidden, match="themselves"):
        officer.call(GrantBudget(user_id=other.id, granted=1.0))
    with pytest.raises(NotFound):
        officer.call(GrantBudget(user_id="0" * 32, granted=1.0))
    officer.call(GrantBudget(user_id=view.id, granted=0.5))
    assert [(b.user_id, b.left) for b in owner.call(ListBudgets()).budgets] == [(view.id, 0.5)]


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_bounds_that_are_none_are_refused(low: float, high: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "x", "low": low, "high": high}, Column)


def test_the_sdk_grants_and_shows(house: House) -> None:
    owner = house.set_up()
    ann, view = house.add_user(owner, "ann@lab.org")
    clients: list[Any] = [SimpleNamespace(name="hospital", call=who.call) for who in (owner, ann)]
    reviewer, own = (Budgets(client) for client in clients)
    assert own.get().left == 0.0
    assert reviewer.grant(view.id, 0.25).granted == 0.25
    assert [budget.user_id for budget in reviewer.all()] == [view.id]
    assert repr(own) == "privacy budget at hospital: ε 0.25 left of 0.25"
