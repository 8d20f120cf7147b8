"""Who sets the site's policy, and that it acts on the very next operation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from grid.access.tables import Grant
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.schemas import statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.policy_service import PolicyService
from grid.node.metadata import MetadataService
from syft_ext.client.policy import Policy
from syft_ext.errors import BadRequest, Forbidden, GridError, TooLarge
from syft_ext.ids import new_id
from syft_ext.messages.objects import GetObject, PutObject
from syft_ext.messages.policy import GetPolicy, SetPolicy, SitePolicy
from syft_ext.messages.statistics import Begin
from syft_ext.tensors import encode_tensors
from tests.accounts.people import House


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    services = (MetadataService, *ACCOUNTS, *CATALOGUE, PolicyService, statistics_service)
    house = House(tmp_path / "home", database_url, services=services)
    yield house
    house.node.stop()


def test_only_the_owner_sets_the_policy_and_everybody_reads_it(house: House) -> None:
    owner = house.set_up()
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    ann, _ = house.add_user(owner, "ann@x.org")
    view = ann.call(GetPolicy())
    assert (view.policy, view.changed_at, view.changed_by) == (SitePolicy(), 0.0, "")
    for who in (admin, ann):
        with pytest.raises(Forbidden):
            who.call(SetPolicy(policy=SitePolicy(min_rows=5)))
    assert ann.call(GetPolicy()).policy == SitePolicy()
    house.node.clock.advance(10)  # type: ignore[attr-defined]
    owner.call(SetPolicy(policy=SitePolicy(min_rows=5)))
    view = ann.call(GetPolicy())
    assert view.policy == SitePolicy(min_rows=5)
    assert view.changed_at == house.node.clock.now() and view.changed_by
    house.restart()
    assert house.log_in().call(GetPolicy()).policy == SitePolicy(min_rows=5)


def test_it_acts_on_the_very_next_operation(house: House) -> None:
    owner = house.set_up()
    content = encode_tensors({"x": torch.arange(4.0)})
    table = owner.call(PutObject(kind="tensors"), [content]).id
    mean = Begin(object_id=table, statistics=["mean"], columns=["x"])
    assert owner.call(mean).columns[0].mean == [1.5]
    owner.call(SetPolicy(policy=SitePolicy(min_rows=5)))
    assert owner.call(mean).columns[0].mean == [None], "four rows are kept back"
    owner.call(SetPolicy(policy=SitePolicy(allowed_operations=["statistics.count"])))
    with pytest.raises(Forbidden, match="policy"):
        owner.call(mean)
    owner.call(SetPolicy(policy=SitePolicy()))
    assert owner.call(mean).columns[0].mean == [1.5]


def test_the_sdk_changes_what_is_named(house: House) -> None:
    client: Any = SimpleNamespace(name="hospital", call=house.set_up().call)
    policy = Policy(client)
    policy.set(min_rows=7)
    assert policy.set(allowed_operations=["statistics.mean"]).policy == SitePolicy(
        min_rows=7, allowed_operations=["statistics.mean"]
    )
    assert "min_rows" in repr(policy)
    for wrong in ({"min_rowz": 1}, {"min_rows": 0}):
        with pytest.raises(BadRequest):
            policy.set(**wrong)
    assert policy.get().policy.min_rows == 7
    assert policy.replace({"min_rows": 2}).policy == SitePolicy(min_rows=2)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_mean_nothing_are_refused(house: House, value: float) -> None:
    owner = house.set_up()
    for name in (
        "statistics_epsilon",
        "statistics_total",
        "trainings_total",
        "clip_norm",
        "noise_multiplier",
    ):
        with pytest.raises(BadRequest):
            owner.call(SetPolicy(policy=SitePolicy(**{"clip_norm": 1.0, name: value})))
    with pytest.raises(BadRequest, match="clip_norm"):
        owner.call(SetPolicy(policy=SitePolicy(noise_multiplier=1.0)))
    assert owner.call(GetPolicy()).changed_at == 0.0


#: Each field of the policy: a value, and the refusal with which it meets a mean of four rows (or their
#: download by a grant) that goes through without it.
ACTS: dict[str, tuple[Any, type[GridError]]] = {
    "allowed_operations": (["statistics.count"], Forbidden),
    "max_output_bytes": (10, TooLarge),
    "statistics_epsilon": (1.0, Forbidden),  # nobody granted the user a budget
}


#: Where the other fields are shown to act.
ELSEWHERE = {
    "min_rows": "../statistics/test_ledger.py",
    "statistics_total": "../statistics/test_ledger.py",
    "intersection_ids": "../intersections/test_domains.py",
    "strict": "../statistics/test_ledger.py",
    "required_approvals": "test_requests.py",
    "clip_norm": "test_plan_requests.py",
    "noise_multiplier": "test_plan_requests.py",
    "mechanism": "test_mechanism.py",
    "min_participants": "../federated/cycles/test_policy.py",
    "trainings": "../federated/consent/test_reviews.py",
    "participation": "../federated/consent/test_participants.py",
    "max_samples": "../federated/consent/test_participants.py",
    "trained_models": "../federated/consent/test_reading.py",
    "trainings_total": "../federated/cycles/test_charging.py",
}


def test_every_field_acts(house: House) -> None:
    assert {*ACTS, *ELSEWHERE} == set(SitePolicy.__struct_fields__)
    for name, file in ELSEWHERE.items():
        assert f"{name}=" in (Path(__file__).parent / file).read_text()
    owner = house.set_up()
    ann, view = house.add_user(owner, "ann@x.org")
    content = encode_tensors({"x": torch.arange(4.0)})
    table = owner.call(PutObject(kind="tensors"), [content]).id
    with house.node.db.transaction() as session:
        session.add(
            Grant(id=new_id(), scope="read", user_id=view.id, object_id=table, granted_by="owner",
                  created_at=house.node.clock.now())
        )  # fmt: skip
    mean = Begin(object_id=table, statistics=["mean"], columns=["x"])

    def both() -> None:
        ann.call(mean)
        ann.call(GetObject(object_id=table))

    both()
    for name, (value, refusal) in ACTS.items():
        owner.call(SetPolicy(policy=SitePolicy(**{name: value})))
        with pytest.raises(refusal):
            both()
    owner.call(SetPolicy(policy=SitePolicy()))
    both()
