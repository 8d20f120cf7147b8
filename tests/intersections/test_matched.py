"""Rows that an intersection left: nobody reads them, whatever is granted; approved plans on shares take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression as PooledLogistic

import syft_ext as sy
from grid.access.decision import governs
from grid.storage.objects.tables import ObjectRow
from syft_ext.client.plan_requests import create_plan_request
from syft_ext.errors import BadRequest, Conflict, Forbidden, GridError, NotFound, OperationFailed
from syft_ext.messages import requests as r
from syft_ext.messages.grants import CreateGrant
from syft_ext.messages.objects import DescribeObject, GetObject, UpdateObject
from syft_ext.messages.private_queries import AskQuery
from syft_ext.nodes.intersection import MatchedTables, MatchedTensor
from syft_ext.nodes.shared_session import Session
from syft_ext.tensors import decode_tensors
from tests.intersections.hospitals import Hospitals
from tests.intersections.test_vertical_plans import rounding

PEOPLE = 48
BOUNDS = {"age": (0.0, 100.0), "bmi": (10.0, 50.0), "crp": (0.0, 10.0), "cost": (-10.0, 20.0)}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospitals]:
    sites = Hospitals(tmp_path_factory.mktemp("hospitals"), dealer=True)
    yield sites
    sites.close()


@pytest.fixture(scope="module")
def people() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """North knows age and bmi, South a laboratory value and a cost; each has people whom the other has not."""
    rng = np.random.default_rng(4)
    north, south = rng.permutation(PEOPLE + 12), rng.permutation(np.arange(12, PEOPLE + 30))
    age, bmi = rng.uniform(20, 90, 100), rng.uniform(17, 40, 100)
    crp = rng.uniform(0, 9, 100)
    cost = 0.1 * age - 0.2 * bmi + 0.7 * crp + rng.normal(0, 0.5, 100)
    age[12] = np.nan

    def columns(ids: NDArray[np.int64], **values: NDArray[np.float64]) -> dict[str, torch.Tensor]:
        found = {name: torch.tensor(each[ids], dtype=torch.float32) for name, each in values.items()}
        return {"id": torch.tensor(ids), **found}

    return columns(north, age=age, bmi=bmi), columns(south, crp=crp, cost=cost)


@pytest.fixture(scope="module")
def tables(sites: Hospitals, people: Any) -> tuple[str, str]:
    return sites.table(0, people[0]), sites.table(1, people[1])


@pytest.fixture(scope="module")
def matched(sites: Hospitals, tables: tuple[str, str]) -> MatchedTables:
    rows = ({"x": ["age", "bmi"]}, {"x": ["crp"], "y": ["cost"]})
    return sites.approve(sites.ask(tables, most=100, minimum=10, rows=rows)).run()


def stored(sites: Hospitals, place: int, object_id: str) -> dict[str, torch.Tensor]:
    """As it lies on the node's disk."""
    node = sites.labs[place].node
    with node.db.read() as session:
        digest = session.get_one(ObjectRow, object_id).blob_digest
    return decode_tensors(bytes(node.blobs.map(digest)))


def test_both_keep_the_same_people_in_one_order(
    sites: Hospitals, people: Any, matched: MatchedTables
) -> None:
    assert matched.size == PEOPLE - 1  # one of them has no age at North
    own = [stored(sites, place, matched.objects[place]) for place in (0, 1)]
    assert {name: list(each.shape) for name, each in own[0].items()} == {"x": [PEOPLE - 1, 2]}
    assert {name: list(each.shape) for name, each in own[1].items()} == {"x": [47, 1], "y": [47, 1]}
    ids = []
    for place, column in ((0, "age"), (1, "crp")):
        values = people[place][column].tolist()
        by_value = dict(zip(values, people[place]["id"].tolist(), strict=True))
        ids.append([by_value[value] for value in own[place]["x"][:, 0].tolist()])
    assert ids[0] == ids[1] != sorted(ids[0]) and len(set(ids[0])) == 47


Try = Callable[[Hospitals, str], object]
DETOURS: dict[str, Try] = {
    "read": lambda sites, it: sites.labs[0].sue.connection.download(GetObject(object_id=it)),
    "its owner reads": lambda sites, it: sites.labs[0].owner.connection.download(GetObject(object_id=it)),
    "compute": lambda sites, it: fetched(sites.labs[0].owner, it),
    "query": lambda sites, it: sites.labs[0].owner.call(
        AskQuery(object_id=it, query="count", column="x[0]", epsilon=0.1)
    ),
    "statistics": lambda sites, it: sites.labs[0].sue.call(
        AskQuery(object_id=it, query="count", column="x[0]", epsilon=0.1)
    ),
    "readers": lambda sites, it: sites.labs[0].owner.share(it, readers=[sites.labs[0].sue.id]),
    "programmers": lambda sites, it: sites.labs[0].sue.share(it, programmers=[sites.labs[0].sue.id]),
    "grant": lambda sites, it: sites.labs[0].owner.call(
        CreateGrant(object_id=it, user_id=sites.labs[0].sue.id, scope="read")
    ),
    "request": lambda sites, it: sites.labs[0].owner.call(
        r.ApproveRequest(request_id=sites.labs[0].sue.call(r.CreateRequest(object_id=it, scope="read")).id)
    ),
    "again": lambda sites, it: sites.approve(sites.ask((it, it), column="x[0]")),
}


def fetched(person: Any, object_id: str) -> Any:
    remote = person.open()
    try:
        value = remote.load(object_id, "x")
        return remote.fetch(value)
    finally:
        remote.close()


@pytest.mark.parametrize("name", DETOURS)
def test_no_detour_opens_them(
    sites: Hospitals, tables: tuple[str, str], matched: MatchedTables, name: str
) -> None:
    """Even with the right to read the table that they are rows of."""
    lab = sites.labs[0]
    lab.owner.call(UpdateObject(object_id=tables[0], readers=[lab.sue.id, lab.owner.id]))
    with pytest.raises((Forbidden, NotFound, BadRequest, Conflict, GridError)):
        DETOURS[name](sites, matched.objects[0])
    with pytest.raises(Forbidden):
        lab.sue.connection.download(GetObject(object_id=matched.objects[0]))


def test_who_asked_learns_of_it_what_they_were_told(sites: Hospitals, matched: MatchedTables) -> None:
    view = sites.labs[0].sue.call(DescribeObject(object_id=matched.objects[0]))
    assert view.kind == "matched" and view.shape is None and not view.may_read
    lab = sites.labs[0]
    with lab.node.db.read() as session:  # who governed it could publish statistics of it, or a mock
        assert not any(governs(session, each.id, matched.objects[0]) for each in (lab.owner, lab.sue))
    with pytest.raises(NotFound):
        sites.labs[0].sam.call(DescribeObject(object_id=matched.objects[0]))


@sy.make_plan(symbols={})
def first_row(left: Any = torch.zeros(PEOPLE - 1, 2)) -> Any:
    return left[0]


def test_no_plan_of_one_domain_alone_takes_them(sites: Hospitals, matched: MatchedTables) -> None:
    client: Any = sites.clients[0]
    with pytest.raises(Forbidden, match="computed with on shares"):
        create_plan_request(client, first_row, {"left": (matched.objects[0], "x")}, "", {})
    # Nor one on shares with another Domain.
    parties: Any = [sites.clients[0], sites.clients[2]]
    dealer: Any = sites.clients[1]
    session = Session(parties, dealer)
    with pytest.raises(Forbidden, match="computed with on shares"):
        session.request(first_row, {"left": (parties[0], (matched.objects[0], "x"))}, bounds={"": 100.0})


@sy.make_plan(symbols={})
def sums(left: Any = torch.zeros(PEOPLE - 1, 2), right: Any = torch.zeros(PEOPLE - 1, 1)) -> Any:
    return left.sum() + right.sum()


def test_the_other_domain_brings_its_half_of_the_same_rows(
    sites: Hospitals, tables: tuple[str, str], matched: MatchedTables
) -> None:
    """Or nobody would ask the owner of its table, of which the rows here tell."""
    parties: Any = sites.clients[:2]
    session = Session(parties, sites.clients[2])  # type: ignore[arg-type]
    left, right = matched.tensor(0, "x"), matched.tensor(1, "x")
    session.request(sums, {"left": left, "right": right}, bounds={"": 100.0})
    own = sites.table(1, {"x": torch.zeros(PEOPLE - 1, 1)})
    rows = ({"x": ["age", "bmi"]}, {"x": ["crp"], "y": ["cost"]})
    again = sites.approve(sites.ask(tables, most=100, minimum=10, rows=rows)).run()

    plain = [(each, "x") for each in matched.objects]

    def of_these(object_id: str, place: int = 1) -> Any:
        return parties[place], MatchedTensor(object_id, "x", matched.common)

    cases: list[tuple[type[GridError], str, Any]] = [
        (Forbidden, "the terms say which", {"left": (parties[0], plain[0]), "right": (parties[1], plain[1])}),
        (BadRequest, "each its own half", {"left": (parties[0], plain[0]), "right": right}),
        (BadRequest, "each its own half", {"left": left, "right": (parties[1], (own, "x"))}),
        (Forbidden, "and is not", {"left": left, "right": of_these(own)}),
        (Forbidden, "the terms say which", {"left": left, "right": of_these(again.objects[1])}),
        (BadRequest, "each its own half", {"left": left, "right": again.tensor(1, "x")}),
    ]
    for number, (error, said, inputs) in enumerate(cases):  # bounds: what is asked twice is refused for that
        with pytest.raises(error, match=said):
            session.request(sums, inputs, bounds={"": 101.0 + number})
    with pytest.raises(BadRequest, match="there are: x"):
        matched.tensor(0, "y")


def regression(sites: Hospitals) -> Any:
    parties: Any = sites.clients[:2]
    dealer: Any = sites.clients[2]
    return sy.vertical.LinearRegression(Session(parties, dealer))


def test_a_regression_on_the_columns_of_both(sites: Hospitals, people: Any, matched: MatchedTables) -> None:
    asked = regression(sites).request(matched, BOUNDS, "a study")
    assert repr(asked).startswith("<Regression on age, bmi, crp;")
    for place, request in enumerate(asked.requests):
        assert request.view.objects != [matched.objects[place]]  # the table's owner is asked
        sites.decided(request, place).approve()
    found = asked.run()
    own = [stored(sites, place, matched.objects[place]) for place in (0, 1)]
    design = torch.cat([own[0]["x"], own[1]["x"], torch.ones(47, 1)], dim=1).double().numpy()
    right = np.linalg.lstsq(design, own[1]["y"].double().numpy(), rcond=None)[0].ravel()
    scale = np.array([50.0, 20.0, 5.0]) / 15.0  # of scaled columns, whose coefficients are alike in size
    off = (np.array(list(found.coefficients.values())) - right[:3]) * scale
    assert np.abs(off).max() < 1e-3 and list(found.coefficients) == ["age", "bmi", "crp"]
    assert found.rows == 47
    means = design[:, :3].mean(axis=0) @ np.array(list(found.coefficients.values())) + found.intercept
    assert abs(means - design.mean(axis=0) @ right) < 1e-3 * 15


def test_a_regression_without_one_answer_opens_nothing_else(sites: Hospitals, matched: MatchedTables) -> None:
    """Within bounds of thousands of years, everybody is of one age."""
    asked = regression(sites).request(matched, {**BOUNDS, "age": (0.0, 4000.0)})
    for place, request in enumerate(asked.requests):
        sites.decided(request, place).approve()
    with pytest.raises(OperationFailed, match="no one answer"):
        asked.run()


def test_a_logistic_regression_on_the_columns_of_both(sites: Hospitals) -> None:
    rng = np.random.default_rng(5)
    age, crp = rng.uniform(20, 90, 60), rng.uniform(0, 9, 60)
    dear = (0.1 * (age - 55) + 0.5 * (crp - 5) + rng.logistic(size=60) > 0).astype(float)
    ids = torch.arange(60)
    north = sites.table(0, {"id": ids, "age": torch.tensor(age, dtype=torch.float32)})
    columns = {"crp": torch.tensor(crp, dtype=torch.float32), "dear": torch.tensor(dear).float()}
    south = sites.table(1, {"id": ids, **columns})
    rows = ({"x": ["age"]}, {"x": ["crp"], "y": ["dear"]})
    matched = sites.approve(sites.ask((north, south), most=100, minimum=10, rows=rows)).run()
    parties: Any = sites.clients[:2]
    model = sy.vertical.LogisticRegression(Session(parties, sites.clients[2]))  # type: ignore[arg-type]
    asked = model.request(matched, {"age": (20.0, 90.0), "crp": (0.0, 9.0), "dear": (0, 1)})
    for place, request in enumerate(asked.requests):
        sites.decided(request, place).approve()
    found = asked.run()
    scaled = np.stack([(age - 55) / 35, (crp - 4.5) / 4.5], axis=1)
    pooled = PooledLogistic(C=np.inf, tol=1e-10, max_iter=1000).fit(scaled, dear)
    off = np.array(list(found.coefficients.values())) * [35, 4.5] - pooled.coef_.ravel()
    assert (np.abs(off) < rounding(scaled, np.append(pooled.coef_, pooled.intercept_))[:2]).all()


def test_after_the_intersection_is_revoked_they_are_of_no_use(
    sites: Hospitals, tables: tuple[str, str]
) -> None:
    rows = ({"x": ["age"]}, {"x": ["crp"], "y": ["cost"]})
    found = sites.approve(sites.ask(tables, most=100, minimum=10, rows=rows))
    again = found.run()
    asked = regression(sites).request(again, BOUNDS)
    for place, request in enumerate(asked.requests):
        sites.decided(request, place).approve()
    sites.decided(found.requests[1], 1).revoke()
    with pytest.raises(Forbidden, match="was revoked"):
        asked.run()
    with pytest.raises(Forbidden, match="was revoked"):
        regression(sites).request(again, BOUNDS, "another")


def test_an_intersection_that_is_revoked_while_a_plan_runs_keeps_its_results(
    sites: Hospitals, tables: tuple[str, str]
) -> None:
    rows = ({"x": ["age"]}, {"x": ["crp"], "y": ["cost"]})
    found = sites.approve(sites.ask(tables, most=100, minimum=10, rows=rows))
    asked = regression(sites).request(found.run(), BOUNDS)
    for place, request in enumerate(asked.requests):
        sites.decided(request, place).approve()

    def revoke(message: Any) -> None:
        if type(message).__name__ == "FinishSharedRun":
            sites.decided(found.requests[1], 1).revoke()

    sites.clients[1].before = revoke  # type: ignore[assignment]
    try:
        with pytest.raises(Forbidden, match="intersection that these rows are of was revoked"):
            asked.run()
    finally:
        sites.clients[1].before = lambda message: None


def test_a_run_that_one_side_refuses_leaves_no_rows(sites: Hospitals, tables: tuple[str, str]) -> None:
    rows = ({"x": ["bmi"]}, {"x": ["crp"]})
    found = sites.approve(sites.ask(tables, most=100, minimum=10, rows=rows))
    before = kept(sites)

    def revoke(message: Any) -> None:
        if type(message).__name__ == "FinishIntersection":
            sites.decided(found.requests[1], 1).revoke()

    sites.clients[1].before = revoke  # type: ignore[assignment]
    try:
        with pytest.raises(Forbidden):
            found.run()
    finally:
        sites.clients[1].before = lambda message: None
    assert kept(sites) == before


def kept(sites: Hospitals) -> list[int]:
    counts = []
    for lab in sites.labs:
        with lab.node.db.read() as session:
            counts.append(session.query(ObjectRow).filter(ObjectRow.kind == "matched").count())
    return counts


def test_what_a_regression_takes(sites: Hospitals, matched: MatchedTables) -> None:
    model = regression(sites)
    with pytest.raises(BadRequest, match="between what bounds"):
        model.request(matched, {"age": (0.0, 1.0)})
    with pytest.raises(BadRequest, match="less than its upper"):
        model.request(matched, {**BOUNDS, "age": (3.0, 3.0)})
    logistic = sy.vertical.LogisticRegression(model.session)
    with pytest.raises(BadRequest, match="0 or 1"):
        logistic.request(matched, BOUNDS)
    other: Any = [sites.clients[1], sites.clients[0]]
    dealer: Any = sites.clients[2]
    with pytest.raises(BadRequest, match="in its order"):
        sy.vertical.LinearRegression(Session(other, dealer)).request(matched, BOUNDS)
    with pytest.raises(BadRequest):
        sy.vertical.LinearRegression(model.session, ridge=-1.0)
    with pytest.raises(BadRequest):
        sy.vertical.LogisticRegression(model.session, steps=0)
