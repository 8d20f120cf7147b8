"""Private tensors at a Domain: what they publish, what persons and tables pay, and whom they leave out."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, update

import syft_ext as sy
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.service import AuditService
from grid.catalogue.restored import put_right
from grid.catalogue.schemas import ledger_service, query_service, statistics_service, tensor_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.policy_service import PolicyService
from grid.governance.service import GrantService
from grid.node.metadata import MetadataService
from grid.privacy.accounting.zcdp import epsilon_of_rho, rho_of_epsilon
from grid.privacy.budget.ledger import MARKS, Allowance, Charge, charge, ledgers_of, parts_of_epsilon
from grid.privacy.budget.ledger_tables import PrivacyCharge, PrivacyLedger, PrivacyLedgerMember
from grid.privacy.budget.subjects import RELEASED
from grid.spending.record import Spent
from grid.storage.objects.tables import ObjectPermission
from grid.storage.sql.database import Database
from syft_ext.dp.columns import ColumnOf
from syft_ext.errors import BadRequest, Forbidden, GridError, TooLarge
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.datasets import Asset, Column, CreateDataset, UpdateDataset
from syft_ext.messages.grants import CreateGrant
from syft_ext.messages.objects import PutObject
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.private_queries import AskQuery
from syft_ext.messages.private_tensors import Published
from syft_ext.sources.frames import content_of
from syft_ext.transport import Connection
from tests.accounts.people import House

SERVICES: tuple[Any, ...] = (
    MetadataService, AuditService, *ACCOUNTS, *CATALOGUE, PolicyService, statistics_service, ledger_service,
    query_service, tensor_service, GrantService,
)  # fmt: skip
SCHEMA = [Column(name="x", low=0.0, high=1.0), Column(name="patient", rows_per_person=2), Column(name="free")]
WARD, LAB = np.arange(0, 1500), np.arange(1000, 2500)
"""Patients of the two tables: 500 are in both."""


_OF_SUBJECTS = PrivacyLedger.id.not_in(select(PrivacyLedgerMember.ledger_id))


class Site:
    """A Domain with two tables about some of the same people; everybody's ``x`` is 1: sums count people."""

    def __init__(self, house: House) -> None:
        self.house, self.owner = house, house.set_up()
        self.ann, ann = house.add_user(self.owner, "ann@lab.org")
        self.bob, bob = house.add_user(self.owner, "bob@lab.org")
        self.askers = [ann.id, bob.id]
        self.tables: list[str] = []
        for name, patients in (("ward", WARD), ("lab", LAB)):
            self.table(name, patients, SCHEMA)

    def table(self, name: str, patients: Any, schema: list[Column]) -> None:
        """Another table, of which both may have statistics."""
        rows = {"x": np.ones(len(patients)), "patient": patients, "free": np.zeros(len(patients))}
        content = content_of(rows, {}, name)
        table = self.owner.call(PutObject(kind="tensors"), list(map(bytes, content.pieces()))).id
        self.owner.call(CreateDataset(name=name, assets=[Asset(name="a", object_id=table, columns=schema)]))
        self.tables.append(table)
        with self.house.node.db.transaction() as session:
            session.add_all(
                ObjectPermission(object_id=table, scope="statistics", verify_key=user) for user in self.askers
            )

    def policy(self, **fields: Any) -> None:
        self.owner.call(SetPolicy(policy=SitePolicy(**fields)))

    def column(self, who: Connection, table: int, name: str = "x", domain: str = "north") -> ColumnOf:
        client: Any = SimpleNamespace(id=domain, name=domain, call=who.call)
        return ColumnOf(lambda: client, domain, domain, self.tables[table], name)

    def x(self, who: Connection, table: int, **options: Any) -> sy.dp.PrivateTensor:
        return sy.dp.annotate(self.column(who, table), **options)

    def subjects(self) -> dict[int, int]:
        """How many people have spent how much."""
        with self.house.node.db.read() as session:
            rows = session.scalars(select(PrivacyLedger.spent).where(_OF_SUBJECTS)).all()
        spent, many = np.unique(rows, return_counts=True)
        return dict(zip(spent.tolist(), many.tolist(), strict=True))


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path / "home", database_url, services=SERVICES)
    yield house
    house.node.stop()


@pytest.fixture
def site(tmp_path: Path, sqlite_url: str) -> Iterator[Site]:
    house = House(tmp_path / "home", sqlite_url, services=SERVICES)
    yield Site(house)
    house.node.stop()


def test_subjects_that_words_name_are_the_same_in_tables_that_number_them_otherwise(site: Site) -> None:
    for name, words in (("north", ["ann", "bob", "cy"]), ("south", ["dan", "cy"])):
        named = Column(name="patient", rows_per_person=1, categories=words)
        site.table(name, np.arange(len(words)), [SCHEMA[0], named])
    for place in (2, 3):
        site.x(site.ann, place).sum().publish(0.1)
    cost = min(site.subjects())
    assert site.subjects() == {cost: 3, 2 * cost: 1}, "cy is in both"


def test_sums_and_means_with_noise_that_covers_a_person(site: Site) -> None:
    x = site.x(site.ann, 0, lower=0.0, upper=1.0, subjects="patient")
    assert (x.lower, x.upper, len(x), x.summed) == ([0.0], [1.0], 1, False)
    scaled = (2 * x - 1).clip(-0.5, 1.0)
    assert (scaled.lower, scaled.upper) == ([-0.5], [1.0])
    total = scaled.sum()
    # 2 rows of a person, each within ±1: Δ = 2, and σ = Δ / √2ρ.
    sigma = 2 / math.sqrt(2 * rho_of_epsilon(1.0))
    price = total.price(1.0)
    assert price.deviation == pytest.approx(sigma, rel=1e-5) and price.values == []
    published = total.publish(1.0)
    assert abs(float(published) - 1500) < 8 * sigma and published.deviation == price.deviation
    assert published.shares == pytest.approx([rho_of_epsilon(1.0) / rho_of_epsilon(6.0)])
    again = site.x(site.bob, 0, lower=0.0, upper=1.0)
    assert list(((2 * again - 1).clip(-0.5, 1.0).sum()).publish(1.0)) == list(published), (
        "told again, for nothing"
    )
    assert site.subjects() == {parts_of_epsilon(1.0): 1500}
    mean = x.mean().publish(2.0)
    assert abs(float(mean) - 1.0) < 8 * mean.deviation + 1e-9 and mean.deviation < 0.02
    both = sy.dp.stack(x, -x).sum() @ [[1.0], [-2.0]]
    assert abs(float(both.publish(2.0)) - 4500) < 300
    assert not published.noise_only and not mean.noise_only
    other = x.sum() + 3 * site.x(site.ann, 1).sum() - 500
    assert abs(float(other.publish(1.0)) - 5500) < 400


@pytest.mark.parametrize(
    ("what", "values", "only"),
    [
        ("sum", [19.0, -3.0], True),
        ("sum", [21.0, -3.0], False),
        ("mean", [4.0, 19.0], True),  # how many rows there are is noise
        ("mean", [4.0, 21.0], False),
    ],
)
def test_what_is_nothing_but_noise_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, what: str, values: list[float], only: bool
) -> None:
    reply = Published(values=values, deviation=10.0, epsilon=1.0, shares=[0.1])
    monkeypatch.setattr(sy.dp.PrivateTensor, "_ask", lambda *args, **options: reply)
    x = site.x(site.ann, 0, lower=0.0, upper=1.0)
    published = (x.sum() if what == "sum" else x.mean()).publish(1.0)
    assert published.noise_only is only and ("which is all that they are" in repr(published)) is only


def test_who_is_in_two_tables_pays_once_for_each_release_and_is_left_out_when_used_up(site: Site) -> None:
    four, two = parts_of_epsilon(4.0), parts_of_epsilon(2.0)
    assert 2 * four <= parts_of_epsilon(6.0) < 2 * four + two
    ward, lab = site.x(site.ann, 0).sum(), site.x(site.ann, 1).sum()
    for each in (ward.publish(4.0), lab.publish(4.0)):
        assert abs(float(each) - 1500) < 10 * each.deviation
    assert site.subjects() == {four: 2000, 2 * four: 500}
    both = (ward + lab).publish(2.0)
    # 500 people are in both tables and have nothing left: they count in neither.
    assert abs(float(both) - 2000) < 10 * both.deviation < 300
    assert site.subjects() == {four + two: 2000, 2 * four: 500}
    with site.house.node.db.read() as session:
        names = set(session.scalars(select(PrivacyLedger.id).where(_OF_SUBJECTS)))
        assert len(names) == 2500 and not names & {str(each) for each in WARD}
        charged = session.scalars(select(PrivacyCharge.cost).where(PrivacyCharge.kind == "tensor"))
        assert sorted(charged) == [two, two, four, four], "each table's ledger, once for each release"


def test_what_queries_told_of_a_table_counts_for_its_people(site: Site) -> None:
    query = AskQuery(object_id=site.tables[0], query="count", column="x", epsilon=0.9)
    site.ann.call(query)
    ward, lab = site.x(site.ann, 0).sum(), site.x(site.ann, 1).sum()
    lab.publish(3.0)
    both = (ward + lab).publish(1.0)
    left = parts_of_epsilon(6.0) - parts_of_epsilon(3.0) - int(0.9**2 / 2 * 1e12)
    expected = 2000 if parts_of_epsilon(1.0) > left else 3000
    assert abs(float(both) - expected) < 10 * both.deviation


def test_two_who_race_for_the_last_of_a_ledger(house: House) -> None:
    site = Site(house)
    site.x(site.ann, 0).sum().publish(2.0)
    last = epsilon_of_rho((parts_of_epsilon(6.0) - parts_of_epsilon(2.0)) / 1e12 * 0.999999)
    barrier, outcomes = threading.Barrier(2), list[Any]()

    def race(tensor: sy.dp.PrivateTensor) -> None:
        barrier.wait()
        try:
            outcomes.append(float(tensor.publish(last)))
        except GridError as error:
            outcomes.append(error)

    tensors = [site.x(site.ann, 0).sum(), 2 * site.x(site.bob, 0).sum()]
    threads = [threading.Thread(target=race, args=[each]) for each in tensors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(each).__name__ for each in outcomes) == ["Forbidden", "float"]
    with house.node.db.read() as session:
        spent = max(session.scalars(select(PrivacyLedger.spent)))
    assert spent <= parts_of_epsilon(6.0) and list(site.subjects()) == [spent]


def test_three_who_race_over_three_tables_in_every_order(house: House) -> None:
    """Everybody is in at least one table, some in two, some in all three; tables are named in circles."""
    site = Site(house)
    ring = [
        np.arange(0, 900),
        np.arange(600, 1500),
        np.concatenate([np.arange(0, 100), np.arange(700, 1500)]),
    ]
    for number, patients in enumerate(ring):
        site.table(f"ring {number}", patients, SCHEMA)
    each = 3.0
    cost, total = parts_of_epsilon(each), parts_of_epsilon(6.0)
    assert 3 * cost <= total < 4 * cost
    barrier, outcomes = threading.Barrier(6), list[Any]()

    def race(number: int) -> None:
        who = (site.ann, site.bob)[number % 2]
        first, second = (2 + (number + step) % 3 for step in (0, 1))
        if number >= 3:
            first, second = second, first
        tensor = site.x(who, first).sum() * (1 + number) + site.x(who, second).sum()
        barrier.wait()
        try:
            outcomes.append((first, second, number, tensor.publish(each)))
        except GridError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=race, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [found for found in outcomes if isinstance(found, tuple)]
    assert all(isinstance(found, Forbidden) for found in outcomes if not isinstance(found, tuple))
    assert len(done) == 4, (
        "each table's ledger has room for three, each release takes two, and each pair asks twice"
    )
    # Whoever was in any table of a release paid for it once, as long as they had so much.
    spent = dict.fromkeys(range(1500), 0)
    for first, second, _, _ in done:
        for person in {*ring[first - 2].tolist(), *ring[second - 2].tolist()}:
            spent[person] += 1
    many, people = np.unique([min(3, count) for count in spent.values()], return_counts=True)
    expected = {int(count) * cost: int(number) for count, number in zip(many, people, strict=True) if count}
    assert site.subjects() == expected
    assert max(site.subjects()) <= total


def test_a_table_that_joins_two_others_has_one_ledger_with_them(site: Site) -> None:
    """Its versions have the contents of both: who is in both pays once, and what queries told counts once."""
    rows = site.tables
    third = site.owner.call(
        CreateDataset(name="all", assets=[Asset(name="a", object_id=rows[0], columns=SCHEMA)])
    )
    later = [Asset(name="a", object_id=rows[1], columns=SCHEMA)]
    query = AskQuery(object_id=rows[0], query="count", column="x", epsilon=0.5)
    site.ann.call(query)
    site.owner.call(UpdateDataset(dataset_id=third.id, assets=later))
    # Whoever is in both tables was told of once by the query, and not once for each table of its ledger.
    asked = int(0.5**2 / 2 * 1e12)
    last = epsilon_of_rho((parts_of_epsilon(6.0) - asked) / 1e12 * 0.999999)
    both = (site.x(site.ann, 0).sum() + site.x(site.ann, 1).sum()).publish(last)
    assert abs(float(both) - 3000) < 10 * both.deviation
    (spent,) = site.subjects()
    with site.house.node.db.read() as session:
        assert max(session.scalars(select(PrivacyLedger.spent))) <= parts_of_epsilon(6.0)
        charged = session.scalars(select(PrivacyCharge.cost).where(PrivacyCharge.kind == "tensor")).all()
    assert charged == [spent], "one ledger, once"


def test_ledgers_that_another_lineage_joins_are_found_anew(database: Database) -> None:
    lineages = [["content:x", "object:1"], ["content:y", "object:2"], ["content:x", "content:y", "object:3"]]
    for order in itertools.permutations(lineages):
        with database.transaction() as session:
            found = ledgers_of(session, order, now=1.0)
            assert len({each.id for each in found}) == 1
            for each in found:
                assert charge(session, each, 1, Allowance(10), Charge("o", "u", 1.0, "w"))
            session.rollback()


def test_a_restored_database_counts_what_it_does_not_know_against_everybody(site: Site) -> None:
    site.x(site.ann, 0).sum().publish(5.0)
    released = parts_of_epsilon(5.0)
    facts = {"members": [RELEASED], "spent": 2 * released, "granted": 2 * released, "exact_digest": None}
    with site.house.node.db.transaction() as session:
        session.execute(update(PrivacyLedger).where(_OF_SUBJECTS).values(spent=0))
        for changed in (1, 0):
            assert put_right(session, Spent(marks={MARKS: {"0" * 32: facts}}), False) == changed
    found = site.x(site.ann, 1).sum().publish(4.0)
    assert abs(float(found)) < 10 * found.deviation, "nobody has so much left"
    with site.house.node.db.transaction() as session:
        put_right(session, Spent(), True)
        session.execute(update(PrivacyLedger).where(~_OF_SUBJECTS).values(spent=0, granted=None))
    found = site.x(site.ann, 1).sum().publish(0.01)
    assert abs(float(found)) < 10 * found.deviation


def test_what_is_refused(site: Site) -> None:
    x = site.x(site.ann, 0)
    for lower, upper in ((-1.0, 1.0), (0.0, 2.0), (1.0, 0.0)):
        with pytest.raises(BadRequest, match="within its owner's"):
            site.x(site.ann, 0, lower=lower, upper=upper)
    with pytest.raises(BadRequest, match="gives no bounds"):
        sy.dp.annotate(site.column(site.ann, 0, "free"))
    with pytest.raises(BadRequest, match="names whom a row is about"):
        site.x(site.ann, 0, subjects="free").sum().publish(0.1)
    for rows in (
        lambda: x.publish(0.1),
        lambda: x + site.x(site.ann, 1),
        lambda: x * x,
        lambda: x.sum().lower,
    ):
        with pytest.raises(BadRequest):
            rows()
    with pytest.raises(BadRequest, match="at one Domain"):
        x.sum() + sy.dp.annotate(site.column(site.ann, 1, domain="south")).sum()
    with pytest.raises(BadRequest, match="depends on no row"):
        (0 * x).sum().publish(0.1)
    stranger, _ = site.house.add_user(site.owner, "eve@lab.org")
    with pytest.raises(GridError):
        site.x(stranger, 0)
    site.policy(allowed_operations=["queries.count"])
    with pytest.raises(Forbidden, match=r"does not allow queries\.private_tensor"):
        x.sum().publish(0.1)
    assert site.subjects() == {}, "nobody paid for any of this"
    entries = site.owner.call(ListAudit(operation="private_tensors.publish")).entries
    assert any(each.detail.get("tables") == site.tables[0] for each in entries)


def test_no_more_leaves_at_once_than_grants_and_the_policy_say(site: Site) -> None:
    x = site.x(site.ann, 0)
    two = sy.dp.stack(x, 1 - x).sum()
    site.policy(max_output_bytes=15)
    with pytest.raises(TooLarge, match="site's policy"):
        two.publish(0.1)
    x.sum().publish(0.1)
    site.policy(max_output_bytes=7)
    query = AskQuery(object_id=site.tables[0], query="count", column="x", epsilon=0.1)
    with pytest.raises(TooLarge, match="site's policy"):
        site.ann.call(query)
    site.policy()
    eve, user = site.house.add_user(site.owner, "eve@lab.org")
    grant = {"object_id": site.tables[0], "user_id": user.id, "scope": "statistics"}
    site.owner.call(CreateGrant(**grant, max_output_bytes=15))
    eves = site.x(eve, 0)
    with pytest.raises(TooLarge, match="your grant"):
        sy.dp.stack(eves, 1 - eves).sum().publish(0.1)
    eves.sum().publish(0.2)
    eve.call(query)


def test_the_guard_stands_before_private_tensors(site: Site) -> None:
    site.policy(min_rows=20)
    with pytest.raises(Forbidden, match="smaller epsilon"):
        site.x(site.ann, 0).sum().publish(4.0)
    found = site.x(site.ann, 0).sum().publish(1.0)
    assert abs(float(found) - 1500) < 10 * found.deviation
    with site.house.node.db.read() as session:
        kinds = set(session.scalars(select(PrivacyCharge.kind)))
    assert kinds == {"statistics", "tensor"}
    site.policy(min_rows=5000)
    with pytest.raises(Forbidden):
        site.x(site.ann, 1).sum().publish(0.0005)
