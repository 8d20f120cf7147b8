"""Who may have statistics of what: lists, grants and their uses, revocation, policy. On both engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from grid.access.tables import Grant, ObjectSource, PolicyRow
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.schemas import statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.node.metadata import MetadataService
from grid.statistics.analyses import Analyses
from grid.statistics.service import StatisticsService
from grid.storage.objects.tables import ObjectPermission
from syft_ext.errors import Conflict, Forbidden, GridError, NotFound
from syft_ext.ids import new_id
from syft_ext.messages.datasets import Asset, CreateDataset, ListDatasets, UpdateDataset
from syft_ext.messages.objects import GetObject, PutObject
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin, Continue, DescribeTable, Partials, RankQuery
from syft_ext.tensors import encode_tensors
from syft_ext.transport import Connection
from tests.accounts.people import House, check_every_operation

VALUES = np.arange(100.0)
RANKS = [RankQuery(column="x", start=0, shift=50)]


@dataclass
class Site:
    """A Domain with one table of its owner's, and two scientists without any permission."""

    house: House
    owner: Connection
    ann: Connection
    ann_id: str
    bob: Connection
    bob_id: str
    table: str

    @property
    def now(self) -> float:
        return self.house.node.clock.now()

    def rows(self, *rows: Any) -> None:
        with self.house.node.db.transaction() as session:
            session.add_all(rows)

    def grant(self, user_id: str = "", **fields: Any) -> str:
        made = {"scope": "statistics", "object_id": self.table, "granted_by": "owner", **fields}
        grant = Grant(id=new_id(), user_id=user_id or self.ann_id, created_at=self.now, inputs={}, plan_id="",
                      **made)  # fmt: skip
        grant_id = grant.id
        self.rows(grant)
        return grant_id

    def change(self, grant_id: str, **fields: Any) -> None:
        with self.house.node.db.transaction() as session:
            row = session.get_one(Grant, grant_id)
            for name, value in fields.items():
                setattr(row, name, value)

    def uses(self, grant_id: str) -> int | None:
        with self.house.node.db.read() as session:
            return session.get_one(Grant, grant_id).uses_left

    def set_policy(self, policy: SitePolicy) -> None:
        with self.house.node.db.transaction() as session:
            row = session.get(PolicyRow, 1)
            document = msgspec.to_builtins(policy)
            if row is None:
                session.add(PolicyRow(id=1, document=document, changed_at=self.now, changed_by="owner"))
            else:
                row.document = document

    def list_for(self, user_id: str, *scopes: str) -> None:
        self.rows(*(ObjectPermission(object_id=self.table, scope=s, verify_key=user_id) for s in scopes))

    def begin(self, who: Connection, *statistics: Any, table: str = "") -> Partials:
        reply: Partials = who.call(
            Begin(object_id=table or self.table, statistics=list(statistics) or ["mean"], columns=["x"])
        )
        return reply


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    services = (MetadataService, *ACCOUNTS, *CATALOGUE, statistics_service)
    house = House(tmp_path / "home", database_url, services=services)
    owner = house.set_up()
    ann, ann_view = house.add_user(owner, "ann@lab.org")
    bob, bob_view = house.add_user(owner, "bob@lab.org")
    content = encode_tensors({"x": torch.from_numpy(VALUES), "g": torch.arange(100) % 2})
    table = owner.call(PutObject(kind="tensors"), [content]).id
    yield Site(house, owner, ann, ann_view.id, bob, bob_view.id, table)
    house.node.stop()


def test_the_owner_and_those_on_the_lists(site: Site) -> None:
    assert site.begin(site.owner).columns[0].mean == [VALUES.mean()]
    for call in (
        DescribeTable(object_id=site.table),
        Begin(object_id=site.table, statistics=["mean"], columns=["x"]),
    ):
        with pytest.raises(NotFound):
            site.ann.call(call)
    site.list_for(site.ann_id, "search")
    with pytest.raises(
        Forbidden, match=r"you may see this, not have statistics of it; ask: \.request\('why', 'statistics'\)"
    ):
        site.begin(site.ann)
    site.list_for(site.ann_id, "statistics")
    assert site.begin(site.ann).columns[0].mean == [VALUES.mean()]
    assert [c.name for c in site.ann.call(DescribeTable(object_id=site.table)).columns] == ["x", "g"]
    with pytest.raises(NotFound):
        site.begin(site.bob)


def test_a_dataset_that_shows_a_table_says_what_to_ask_for(site: Site) -> None:
    """Whoever is shown an asset is told what is so; whoever is not learns nothing."""
    asset = Asset(name="t", object_id=site.table)
    site.owner.call(CreateDataset(name="open", assets=[asset]))
    describe = DescribeTable(object_id=site.table)
    for call in (describe, Begin(object_id=site.table, statistics=["mean"], columns=["no such column"])):
        with pytest.raises(Forbidden, match=r"you may see this.*request"):
            site.ann.call(call)
    with pytest.raises(Forbidden, match=r"not read it; ask"):
        site.ann.call(GetObject(object_id=site.table))
    with pytest.raises(NotFound, match=r"^there is no such object$"):
        site.ann.call(DescribeTable(object_id="f" * 32))
    (dataset,) = site.owner.call(ListDatasets()).datasets
    site.owner.call(UpdateDataset(dataset_id=dataset.id, published=["description"]))
    with pytest.raises(NotFound, match=r"^there is no such object$"):
        site.ann.call(describe)
    site.owner.call(
        UpdateDataset(
            dataset_id=dataset.id, published=["assets"], visibility="private", viewers=[site.bob_id]
        )
    )
    with pytest.raises(NotFound):
        site.ann.call(describe)
    with pytest.raises(Forbidden):
        site.bob.call(describe)


def test_columns_that_are_not_there_are_no_way_to_learn_of_a_table(site: Site) -> None:
    with pytest.raises(NotFound):
        site.ann.call(Begin(object_id=site.table, statistics=["mean"], columns=["no such column"]))


@pytest.mark.parametrize("scope", ["statistics", "read"])
def test_a_use_is_spent_once_for_all_rounds(site: Site, scope: str) -> None:
    grant = site.grant(scope=scope, uses_left=2)
    begun = site.begin(site.ann, "quantile")
    assert site.uses(grant) == 1
    for _ in range(3):
        site.ann.call(Continue(analysis_id=begun.analysis_id, ranks=RANKS))
    assert site.uses(grant) == 1
    last = site.begin(site.ann, "quantile")
    assert site.uses(grant) == 0
    site.ann.call(Continue(analysis_id=last.analysis_id, ranks=RANKS))  # the last use is still being used
    with pytest.raises(NotFound):
        site.begin(site.ann)


def test_what_fails_costs_nothing(site: Site) -> None:
    grant = site.grant(uses_left=1)
    for message in (
        Begin(object_id=site.table, statistics=["mean"], columns=["nothing"]),
        Begin(object_id=site.table, statistics=["mean"], columns=["x"], by=["x"]),
        Begin(object_id=site.table, statistics=["linear_regression"], columns=["x"]),
    ):
        with pytest.raises(GridError):
            site.ann.call(message)
    site.set_policy(SitePolicy(allowed_operations=["statistics.count"]))
    with pytest.raises(Forbidden, match="does not allow"):
        site.begin(site.ann)
    site.ann.call(DescribeTable(object_id=site.table))
    site.set_policy(SitePolicy(statistics_epsilon=1.0))
    with pytest.raises(Forbidden, match="of your privacy budget"):
        site.begin(site.ann)
    site.set_policy(SitePolicy(min_rows=10, strict=True))
    with pytest.raises(Forbidden, match="told what its owner lets out"):  # at most four units
        site.begin(site.ann, "std")
    assert site.uses(grant) == 1


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_grant_that_ends_ends_the_rounds_too(site: Site, end: str) -> None:
    grant = site.grant(expires_at=site.now + 1000.0)
    begun = site.begin(site.ann, "quantile")
    site.ann.call(Continue(analysis_id=begun.analysis_id, ranks=RANKS))
    if end == "revoked":
        site.change(grant, revoked_at=site.now)
    else:
        site.change(grant, expires_at=site.now - 1)
    for message in (
        Continue(analysis_id=begun.analysis_id, ranks=RANKS),
        Begin(object_id=site.table, statistics=["mean"], columns=["x"]),
        DescribeTable(object_id=site.table),
    ):
        with pytest.raises(NotFound):
            site.ann.call(message)


def test_an_analysis_is_its_users_own_and_ends(site: Site) -> None:
    for user in (site.ann_id, site.bob_id):
        site.grant(user)
    begun = site.begin(site.ann, "quantile")
    with pytest.raises(NotFound, match="no such analysis"):
        site.bob.call(Continue(analysis_id=begun.analysis_id, ranks=RANKS))
    service = site.house.node.service(StatisticsService)
    analysis = service._analyses._open[begun.analysis_id]
    assert analysis.expires_at == Analyses.expiry(site.now)
    analysis.expires_at = site.now
    with pytest.raises(NotFound, match="over"):
        site.ann.call(Continue(analysis_id=begun.analysis_id, ranks=RANKS))
    ids = [site.begin(site.ann, "quantile").analysis_id for _ in range(9)]
    with pytest.raises(NotFound):  # the oldest gave way
        site.ann.call(Continue(analysis_id=ids[0], ranks=RANKS))
    site.ann.call(Continue(analysis_id=ids[8], ranks=RANKS))


def test_derived_tables_need_every_source(site: Site) -> None:
    content = encode_tensors({"x": torch.ones(5)})
    other = site.owner.call(PutObject(kind="tensors", description="other"), [content]).id
    derived = site.owner.call(PutObject(kind="tensors", finders=[site.ann_id]), [content]).id
    site.rows(*(ObjectSource(object_id=derived, source_id=source) for source in (site.table, other)))
    first = site.grant(scope="read", uses_left=1)
    site.rows(ObjectPermission(object_id=other, scope="statistics", verify_key=site.ann_id))
    with pytest.raises(Forbidden):  # whoever computed it chose what a mean of it tells: read is needed
        site.begin(site.ann, "quantile", table=derived)
    assert site.uses(first) == 1
    site.rows(ObjectPermission(object_id=other, scope="read", verify_key=site.ann_id))
    begun = site.begin(site.ann, "quantile", table=derived)
    assert site.uses(first) == 0
    site.ann.call(Continue(analysis_id=begun.analysis_id, ranks=RANKS))
    with site.house.node.db.transaction() as session:  # the list that the other source rested on
        row = session.get_one(ObjectPermission, (other, "read", site.ann_id))
        session.delete(row)
    with pytest.raises(Forbidden):
        site.ann.call(Continue(analysis_id=begun.analysis_id, ranks=RANKS))


def test_a_new_policy_acts_on_the_next_round(site: Site) -> None:
    begun = site.begin(site.owner, "quantile")
    site.owner.call(Continue(analysis_id=begun.analysis_id, ranks=RANKS))
    site.set_policy(SitePolicy(min_rows=2))
    with pytest.raises(Conflict, match="begin again"):
        site.owner.call(Continue(analysis_id=begun.analysis_id, ranks=RANKS))
    with pytest.raises(Forbidden, match="value of one row; by the site's policy ask quantile 0"):
        site.begin(site.owner, "min")
    assert site.begin(site.owner, "count").noise == 2.0
    site.set_policy(SitePolicy(min_rows=101, statistics_total=100.0))
    assert site.begin(site.owner).columns[0].mean == [None], "kept back, and not refused"
    site.set_policy(SitePolicy(allowed_operations=["statistics.mean"]))
    site.begin(site.owner, "mean")
    message = Begin(object_id=site.table, statistics=["mean"], columns=["x"], by=["g"])
    with pytest.raises(Forbidden, match=r"statistics\.group_by"):
        site.owner.call(message)


def test_what_the_audit_log_will_say(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    grant = site.grant()
    noted: list[Any] = []
    call = site.house.node.map.call
    monkeypatch.setattr(site.house.node.map, "call", lambda c, m: (noted.append(c.notes), call(c, m))[1])
    begun = site.begin(site.ann, "quantile", "count")
    site.ann.call(Continue(analysis_id=begun.analysis_id, ranks=RANKS))
    for notes in noted:
        assert list(notes.objects) == [site.table] and list(notes.grants) == [grant]
        assert notes.detail == {"statistics": "quantile,count", "columns": "x"}


def test_every_operation_needs_its_permission(tmp_path: Path, sqlite_url: str) -> None:
    house = House(tmp_path / "home", sqlite_url, services=(MetadataService, *ACCOUNTS, statistics_service))
    check_every_operation(house)
    house.node.stop()
