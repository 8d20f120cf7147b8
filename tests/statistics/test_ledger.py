"""The ledger of a table: one for all its versions and users, through races, crashes and restored databases."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.accounts.service import SERVICES as ACCOUNTS
from grid.catalogue.schemas import ledger_service, statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.policy_service import PolicyService
from grid.node.metadata import MetadataService
from grid.privacy.accounting.zcdp import epsilon_of_rho, rho_of_epsilon
from grid.privacy.budget.ledger import PARTS, Allowance, Charge, balance_of, charge, ledger_of
from grid.privacy.budget.ledger_tables import PrivacyCharge, PrivacyLedger, PrivacyLedgerMember
from grid.statistics.guarded import desk as desk_module
from grid.statistics.guarded.tables import StatisticsMeasurement
from grid.storage.objects.tables import ObjectPermission
from grid.storage.sql.database import Database
from syft_ext.errors import BadRequest, Conflict, Forbidden, GridError, InternalError, NotFound
from syft_ext.messages.datasets import Asset, Column, CreateDataset, DeleteDataset, UpdateAsset
from syft_ext.messages.ledger import GetLedger, GrantLedger
from syft_ext.messages.objects import PutObject
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.statistics import Begin, Continue, DescribeTable, Logistic
from syft_ext.sources.frames import content_of
from syft_ext.statistics.ledgers import Ledgers
from syft_ext.transport import Connection
from tests.accounts.people import House

SERVICES = (MetadataService, *ACCOUNTS, *CATALOGUE, PolicyService, statistics_service, ledger_service)
K = 10


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path / "home", database_url, services=SERVICES)
    yield house
    house.node.stop()


def put(owner: Connection, **columns: Any) -> str:
    content = content_of(columns, {}, "t")
    return str(owner.call(PutObject(kind="tensors"), list(map(bytes, content.pieces()))).id)


def people(seed: int, rows: int = 3000) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "age": random.integers(20, 90, rows),
        "sex": random.integers(0, 2, rows),
        "ill": (random.random(rows) < 0.4).astype(np.int64),
    }


SCHEMA = [
    Column(name="age", low=0.0, high=120.0),
    Column(name="sex", categories=["f", "m"]),
    Column(name="ill", low=0.0, high=1.0),
]


class Site:
    """A guarded Domain with a dataset of its owner's, of which ann and bob may have statistics."""

    def __init__(self, house: House, **policy: Any) -> None:
        self.house, self.owner = house, house.set_up()
        self.ann, ann = house.add_user(self.owner, "ann@lab.org")
        self.bob, bob = house.add_user(self.owner, "bob@lab.org")
        self._users = [ann.id, bob.id]
        self.table = self.add(people(1))
        asset = Asset(name="visits", object_id=self.table, columns=SCHEMA)
        self.dataset = self.owner.call(CreateDataset(name="patients", assets=[asset]))
        self.policy(min_rows=K, **policy)

    def add(self, rows: dict[str, Any]) -> str:
        table = put(self.owner, **rows)
        with self.house.node.db.transaction() as session:
            for user in self._users:
                session.add(ObjectPermission(object_id=table, scope="statistics", verify_key=user))
        return table

    def policy(self, **fields: Any) -> None:
        self.owner.call(SetPolicy(policy=SitePolicy(**fields)))

    def ask(
        self, who: Connection, *statistics: Any, table: str = "", columns: Any = "age", **more: Any
    ) -> Any:
        return who.call(
            Begin(
                object_id=table or self.table,
                statistics=list(statistics),
                columns=[columns] if isinstance(columns, str) else columns,
                **more,
            )
        )

    @property
    def ledgers(self) -> list[PrivacyLedger]:
        with self.house.node.db.read() as session:
            return list(session.scalars(select(PrivacyLedger)))


@pytest.fixture
def site(house: House) -> Site:
    return Site(house)


def units(ledger: PrivacyLedger) -> float:
    return ledger.spent * 2 * K * K / PARTS


def test_rho_and_epsilon_are_inverses() -> None:
    for epsilon in (0.001, 0.5, 6.0, 100.0):
        assert epsilon_of_rho(rho_of_epsilon(epsilon)) == pytest.approx(epsilon, rel=1e-12)
    assert rho_of_epsilon(6.0) == pytest.approx(0.5396, abs=1e-4)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(BadRequest):
            rho_of_epsilon(wrong)
    with pytest.raises(BadRequest):
        epsilon_of_rho(1.0, 0.0)


def test_one_ledger_for_all_users_and_versions(site: Site) -> None:
    assert site.ledgers == []
    dry = site.ask(site.ann, "mean", dry=True)
    assert (dry.units, dry.left) == (5, 107) and site.ledgers == [], "asking the price costs nothing"
    first = site.ask(site.ann, "mean")
    assert first.units == 5 and first.noise == 10.0, "rows, bounds (2), values, a sum"
    assert first.left == 102
    again = site.ask(site.bob, "mean")
    assert (again.units, again.columns[0].mean) == (0, first.columns[0].mean)
    (ledger,) = site.ledgers
    assert units(ledger) == pytest.approx(5)

    second = site.add(people(2))
    site.owner.call(UpdateAsset(dataset_id=site.dataset.id, asset="visits", object_id=second))
    newer = site.ask(site.bob, "mean", table=second)
    assert newer.units == 5 and newer.columns[0].mean != first.columns[0].mean
    (ledger,) = site.ledgers
    assert units(ledger) == pytest.approx(10), "rows in both versions pay twice"
    view = site.ann.call(DescribeTable(object_id=second))
    assert view.guarded and (view.noise, view.total, view.left) == (10.0, 107, 97)

    copy = site.add(people(1))  # the same rows again, as another object: the same content
    assert site.ask(site.ann, "count", table=copy).units == 0
    assert units(site.ledgers[0]) == pytest.approx(10) and len(site.ledgers) == 1


def test_what_was_asked_apart_becomes_one_ledger_when_it_turns_out_to_be_one_table(site: Site) -> None:
    site.ask(site.ann, "mean")
    later = site.add(people(3))
    site.ask(site.bob, "count", table=later)
    assert sorted(round(units(ledger)) for ledger in site.ledgers) == [2, 5]
    site.owner.call(UpdateAsset(dataset_id=site.dataset.id, asset="visits", object_id=later))
    assert site.ask(site.ann, "count", table=later).units == 0
    (ledger,) = site.ledgers
    assert round(units(ledger)) == 7
    site.owner.call(DeleteDataset(dataset_id=site.dataset.id))
    assert round(site.ask(site.ann, "missing", table=site.table).left) == 100, "what was told stays told"
    with site.house.node.db.read() as session:
        assert set(session.scalars(select(PrivacyLedgerMember.ledger_id))) == {ledger.id}
        assert sum(session.scalars(select(PrivacyCharge.cost))) == ledger.spent


def test_it_ends_and_what_was_asked_goes_on(site: Site) -> None:
    first = site.ask(site.ann, "mean", by=["sex"])
    with pytest.raises(
        Forbidden, match=r"told what its owner lets out: \d+ of 107 units are spent and this"
    ) as caught:
        for by in (["ill"], ["ill", "sex"], []):
            for precision in range(1, 30):
                site.ask(site.bob, "std", "quantile", by=by, precision=precision)
    assert caught.value.extra["left"] < caught.value.extra["cost"]
    spent = site.ledgers[0].spent
    assert spent <= rho_of_epsilon(6.0) * PARTS
    assert site.ask(site.bob, "mean", by=["sex"]).columns[0].mean == first.columns[0].mean
    assert site.ledgers[0].spent == spent
    dry = site.ask(site.ann, "std", precision=60, dry=True)
    assert dry.units > dry.left, "a price may be asked that nobody can pay"


def test_the_owner_sees_and_grants(site: Site) -> None:
    site.ask(site.ann, "mean", by=["sex"])
    with pytest.raises(Forbidden, match="to its owner"):
        site.ann.call(GetLedger(object_id=site.table))
    with pytest.raises(Forbidden):
        site.ann.call(GrantLedger(object_id=site.table, epsilon=100.0))
    with pytest.raises(NotFound):
        site.owner.call(GetLedger(object_id="0" * 32))
    client: Any = SimpleNamespace(name="hospital", call=site.owner.call)
    ledger = Ledgers(client)[site.table]
    assert ledger.total == pytest.approx(6.0, abs=1e-6) and ledger.view.granted is None
    assert 0 < ledger.used < 0.1 and 0 < ledger.spent < 2
    assert [(each.user, each.what) for each in ledger.view.charges] == [
        ("ann@lab.org", "mean of age by sex"),
        ("ann@lab.org", "mean of age by sex"),  # the number of rows is paid for by itself
    ]
    assert "ann@lab.org" in repr(ledger) and "of 6, by the site's policy" in repr(ledger)
    assert ledger.grant(12.0).total == pytest.approx(12.0, abs=1e-6)
    assert site.ann.call(DescribeTable(object_id=site.table)).total == pytest.approx(371, abs=3)
    with pytest.raises(Conflict, match="spent already"):
        ledger.grant(0.1)
    site.house.restart()
    owner = site.house.log_in()
    assert owner.call(GetLedger(object_id=site.table)).granted == pytest.approx(12.0, abs=1e-6)


def test_a_strict_site(house: House) -> None:
    """Four units: no count is ever known better than to half of ``min_rows``."""
    site = Site(house, strict=True)
    assert site.ask(site.ann, "count").left == 2
    with pytest.raises(Forbidden, match="2 of 4 units are spent and this asks for 3"):
        site.ask(site.ann, "mean")
    with pytest.raises(Conflict, match="strict"):
        site.owner.call(GrantLedger(object_id=site.table, epsilon=6.0))
    assert site.ask(site.ann, "count", by=["sex"]).left == 1
    site.policy(min_rows=K, statistics_total=0.2)
    with pytest.raises(Forbidden):
        site.ask(site.ann, "std")
    site.policy(min_rows=K, statistics_total=20.0)
    assert site.ask(site.ann, "std").units == 4


def test_another_policy_measures_anew(site: Site) -> None:
    """Less noise is another measurement, with noise of its own; what was spent stays spent."""
    first = site.ask(site.ann, "count")
    site.policy(min_rows=5, statistics_total=60.0)
    second = site.ask(site.ann, "count")
    assert second.units == 1 and second.noise == 5.0, "the rows are counted as well as they ever are"
    assert site.ledgers[0].spent == int(2 * PARTS / 200 + PARTS / 50)
    counts = {first.columns[0].count[0], second.columns[0].count[0]}
    for rows in range(6, 14):  # two draws are equal once in twenty-five times; ten of them, never
        site.policy(min_rows=rows, statistics_total=60.0)
        counts.add(site.ask(site.ann, "count").columns[0].count[0])
    assert len(counts) > 1
    site.policy(min_rows=1)
    assert site.ask(site.ann, "count").columns[0].count == [3000], "not guarded: exact"


def test_a_site_that_says_noise_and_no_number_of_rows(house: House) -> None:
    """``statistics_epsilon = 1`` is a σ of 1 for small tables: dear, and yet a count of a large one is cheap."""
    site = Site(house)
    site.policy(statistics_epsilon=1.0)
    from grid.privacy.budget.service import add_budget

    with house.node.db.transaction() as session:
        for user in site._users:
            add_budget(session, user, 100 * 10**9, by="o" * 32, now=1.0)
    reply = site.ask(site.ann, "count")
    assert (reply.units, reply.epsilon, reply.noise) == (2, 2.0, 3.0)
    assert site.ledgers[0].spent == pytest.approx(PARTS / 200 + PARTS / 18, abs=2)


def test_a_person_that_an_old_version_does_not_name(site: Site) -> None:
    """Nobody knows how many rows of a person are in it: nothing is answered, until it is not guarded any more."""
    who = {**people(6), "who": np.arange(3000) // 2}
    newer = site.add(who)
    columns = [*SCHEMA, Column(name="who", rows_per_person=2)]
    change = UpdateAsset(dataset_id=site.dataset.id, asset="visits", object_id=newer, columns=columns)
    site.owner.call(change)
    assert site.ask(site.ann, "count", table=newer).noise == 20.0
    for message in (
        DescribeTable(object_id=site.table),
        Begin(object_id=site.table, statistics=["count"], columns=["age"]),
    ):
        with pytest.raises(Conflict, match="who the rows belong to"):
            site.ann.call(message)
    site.policy(min_rows=1)
    assert site.ann.call(DescribeTable(object_id=site.table)).person == ""
    assert site.ask(site.ann, "count").columns[0].count == [3000]


def test_calls_that_race_for_the_last_of_it(site: Site) -> None:
    """However many ask at once, no more is spent than there is, and one question is paid for once."""
    site.ask(site.ann, "count")
    questions = [
        ("mean", {}), ("mean", {}), ("missing", {"columns": "ill"}), ("std", {"by": ["sex"]}),
        ("quantile", {"by": ["ill"]}), ("quantile", {"by": ["ill"]}), ("sum", {"precision": 9}),
        ("sum", {"precision": 9}),
    ]  # fmt: skip
    left = units(site.ledgers[0])
    site.owner.call(GrantLedger(object_id=site.table, epsilon=epsilon_of_rho((left + 14) / 2 / K / K)))
    outcomes: list[Any] = [None] * len(questions)

    def ask(place: int) -> None:
        statistic, more = questions[place]
        try:
            outcomes[place] = site.ask(site.ann if place % 2 else site.bob, statistic, **more)
        except Forbidden as error:
            outcomes[place] = error

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in outcomes
    (ledger,) = site.ledgers
    assert units(ledger) <= left + 14.0001
    with site.house.node.db.read() as session:
        rows = session.scalars(select(StatisticsMeasurement)).all()
        assert sum(row.cost for row in rows) == ledger.spent
        assert sum(session.scalars(select(PrivacyCharge.cost))) == ledger.spent
    answered = [outcome for outcome in outcomes if not isinstance(outcome, GridError)]
    assert 0 < sum(reply.units for reply in answered) <= 14


def test_the_last_unit_of_two_nodes(site: Site) -> None:
    """The conditional update, from two transactions of one database."""
    db = site.house.node.db
    allowance = Allowance(default=100)

    def take(cost: int) -> bool:
        with db.transaction() as session:
            ledger = ledger_of(session, ["content:x", "object:y"], now=1.0)
            return charge(session, ledger, cost, allowance, Charge("y" * 32, "u" * 32, 1.0, "test"))

    taken = [take(60), take(60), take(40), take(1)]
    assert taken == [True, False, True, False]
    with db.read() as session:
        balance = balance_of(session, ["object:y"], allowance)
        assert (balance.total, balance.spent, balance.left) == (100, 100, 0)


def test_two_nodes_at_once(tmp_path: Path, database_url: str) -> None:
    """Both make the ledger, and race for the last of it: there is one, and nothing is spent twice."""
    house = House(tmp_path / "home", database_url, services=SERVICES)
    house.node.stop()
    nodes = [Database(database_url) for _ in range(2)]
    taken: list[bool] = []
    start = threading.Barrier(8)

    def take(place: int) -> None:
        def once(session: Session) -> bool:
            members = ["content:x", f"object:{place % 2}"]
            ledger = ledger_of(session, members, now=float(place))
            return charge(
                session, ledger, 10, Allowance(default=100), Charge("y" * 32, "u" * 32, 1.0, f"{place}")
            )

        start.wait()
        taken.extend(nodes[place % 2].run(once) for _ in range(3))

    threads = [threading.Thread(target=take, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 14 + [True] * 10
    with nodes[0].read() as session:
        assert session.scalars(select(PrivacyLedger.spent)).all() == [100]
        assert len(session.scalars(select(PrivacyCharge)).all()) == 10
    for node in nodes:
        node.close()


def test_a_restored_database_gives_the_same_numbers(tmp_path: Path, sqlite_url: str) -> None:
    """There is no second draw to average with: noise follows from the secret, the content and the question."""
    house = House(tmp_path / "home", sqlite_url, services=SERVICES)
    site = Site(house)
    site.ask(site.ann, "count")
    house.node.stop()
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    homes, backup = tmp_path / "home", tmp_path / "backup"

    def copy(source: Path, target: Path) -> None:
        """Home and database together, as a backup has them: an older database alone is refused."""
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)

    copy(homes, backup / "home")
    (backup / "database").mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy2(file, backup / "database" / file.name)
    found = []
    for _ in range(2):
        house.open()
        site.ann = house.log_in("ann@lab.org")
        found.append(site.ask(site.ann, "mean", "std", "quantile", by=["sex"]))
        house.node.stop()
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        for file in (backup / "database").iterdir():
            shutil.copy2(file, path.parent / file.name)
        copy(backup / "home", homes)
    first, second = found
    assert first.units == second.units > 5, "the copy does not know that it was asked"
    assert (first.columns, first.groups) == (second.columns, second.groups)
    house.open()
    house.node.stop()


def test_a_crash_between_the_keeping_and_the_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was paid for is there, once; asked again, it is told, and costs nothing."""
    pay = desk_module.GuardedDesk._pay

    def crash(self: Any, *arguments: Any, **options: Any) -> int:
        pay(self, *arguments, **options)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(desk_module.GuardedDesk, "_pay", crash)
        with pytest.raises(InternalError):
            site.ask(site.ann, "mean")
    spent = site.ledgers[0].spent
    assert spent > 0
    after = site.ask(site.ann, "mean")
    assert after.units == 4, "the rows were paid for before the crash, the rest is now"

    def lost(self: Any, *arguments: Any, **options: Any) -> int:
        raise RuntimeError("killed before the commit")

    before = site.ledgers[0].spent
    with monkeypatch.context() as patch:
        patch.setattr(desk_module.GuardedDesk, "_pay", lost)
        with pytest.raises(InternalError):
            site.ask(site.ann, "std")
    assert site.ledgers[0].spent == before, "what was not told costs nothing"
    with site.house.node.db.transaction() as session:  # numbers are a cache: the same can be made again
        for row in session.scalars(select(StatisticsMeasurement)):
            row.payload = None
    again = site.ask(site.ann, "mean")
    assert (again.units, again.columns[0].mean) == (0, after.columns[0].mean)
    assert site.ledgers[0].spent == before


def test_a_refusal_by_noisy_numbers_is_paid_for(site: Site) -> None:
    """That a regression would be made of noise is a function of noisy numbers: whoever hears it has been told."""
    few = site.add({name: values[:40] for name, values in people(5).items()})
    with pytest.raises(Forbidden, match="under this site's noise"):
        site.ask(site.ann, "linear_regression", table=few, columns=["age", "sex"], target="ill")
    (ledger,) = [each for each in site.ledgers if each.spent]
    assert units(ledger) == pytest.approx(13), "rows, bounds of three columns without a schema, products"
    with pytest.raises(Forbidden, match="under this site's noise"):
        site.ask(site.bob, "linear_regression", table=few, columns=["age", "sex"], target="ill")
    assert [units(each) for each in site.ledgers if each.spent] == [pytest.approx(13)]


def test_points_of_a_logistic_regression_are_reserved(site: Site) -> None:
    begun = site.ask(site.ann, "logistic_regression", columns=["age", "sex"], target="ill")
    assert begun.units == 16, "rows, bounds (2), products (3), and five points of two units"
    spent = site.ledgers[0].spent

    def point(slope: float, analysis: Any = begun) -> Any:
        wanted = Logistic(coefficients=[0.0, slope, 0.1], center=[55.0, 0.5], scale=[20.0, 0.5])
        return site.ann.call(Continue(analysis_id=analysis.analysis_id, logistic=wanted)).logistic

    answers = [point(0.1 * step) for step in range(5)]
    assert answers[0].likelihood is None and len(answers[0].noise) == 9
    assert point(0.0).gradient == answers[0].gradient, "asked again"
    with pytest.raises(Forbidden, match="5 points"):
        point(0.7)
    with pytest.raises(BadRequest, match="rows would be certain"):
        point(1e6)
    with pytest.raises(BadRequest, match="finite"):
        point(float("inf"))
    assert site.ledgers[0].spent == spent, "all of it was paid for at the beginning"
    again = site.ask(site.ann, "logistic_regression", columns=["age", "sex"], target="ill")
    assert again.units == 0
    assert point(0.2, again).gradient == answers[2].gradient
    assert site.ledgers[0].spent == spent
    point(0.9, again)  # a sixth point of these columns
    assert units(site.ledgers[0]) == pytest.approx(units_of_spent(spent) + 2)


def units_of_spent(spent: int) -> float:
    return spent * 2 * K * K / PARTS


def test_a_grant_is_used_by_an_answer_and_not_by_a_refusal(site: Site) -> None:
    carol, view = site.house.add_user(site.owner, "carol@lab.org")
    from grid.access.tables import Grant
    from syft_ext.ids import new_id

    with site.house.node.db.transaction() as session:
        session.add(
            Grant(id="c" * 32, scope="statistics", user_id=view.id, object_id=site.table, granted_by=new_id(),
                  created_at=0.0, inputs={}, plan_id="", uses_left=1)
        )  # fmt: skip
    for refused in ({"by": ["nothing"]}, {"columns": "nothing"}, {"precision": 90}):
        with pytest.raises(GridError):
            site.ask(carol, "std", **refused)
    # The dear one had the rows counted, for its price follows from that.
    assert site.ask(carol, "mean", dry=True).units == 4
    assert site.ask(carol, "mean").units == 4
    with pytest.raises(Forbidden, match="not have statistics of it"):  # the dataset still shows it
        site.ask(carol, "count")
