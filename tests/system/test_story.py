"""The story over real nodes: register, search, mock, request, review, approve with conditions, run, fetch,
revoke, audit. As its four people would type it; what each may not do is tried, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import syft_ext as sy
from tests.conftest import throw_away_database
from tests.nodes import NodeProcess

OWNER, OFFICER, SUE, SAM = (f"{name}@story.example" for name in ("owner", "officer", "sue", "sam"))
PASSWORD = "correct horse battery staple"
REFUSED = (sy.errors.Forbidden, sy.errors.NotFound)
ROWS = 100
TABLE = pd.DataFrame({"age": np.linspace(20, 80, ROWS, dtype=np.float32), "dose": np.arange(ROWS) % 7})
AGES = torch.tensor(TABLE["age"]).double()  # a Domain keeps numbers in 64 bits


class Town:
    """A hospital's Domain on one of the engines, and the Network that knows it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        owner = {"GRID_OWNER_EMAIL": OWNER, "GRID_OWNER_PASSWORD": PASSWORD}
        self.nodes: list[NodeProcess] = []
        for kind, url in (("network", ""), ("domain", database_url)):
            environment = {**owner, **({"DATABASE_URL": url} if url else {})}
            arguments = ["--port", "0", "--name", kind]
            self.nodes.append(NodeProcess(kind, folder / kind, arguments, environment=environment))
        self.network, self.domain = (node.url for node in self.nodes)

    def close(self) -> None:
        for node in self.nodes:
            node.stop()

    def network_as(self, email: str) -> sy.NetworkClient:
        client = sy.login(self.network, email, PASSWORD)
        assert isinstance(client, sy.NetworkClient)
        return client

    def domain_as(self, email: str) -> sy.DomainClient:
        client = sy.login(self.domain, email, PASSWORD)
        assert isinstance(client, sy.DomainClient)
        return client


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def town(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    with throw_away_database() if request.param == "postgresql" else nullcontext("") as url:
        town = Town(tmp_path, url)
        yield town
        town.close()


@sy.make_plan
def dose_effect(
    ages: torch.Tensor = torch.ones(ROWS, dtype=torch.float64),
    doses: torch.Tensor = torch.ones(ROWS, dtype=torch.int64),
) -> torch.Tensor:
    """Slope and intercept of age over dose, by least squares."""
    x, y = doses.float(), ages.float()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return torch.stack([slope, y.mean() - slope * x.mean()])


@pytest.mark.slow
def test_from_registering_to_auditing(town: Town) -> None:
    # The owner: accounts, the Network, a policy, a dataset with a mock.
    owner, registry = town.domain_as(OWNER), town.network_as(OWNER)
    owner.associations.request(town.network)
    registry.associations.accept("domain")
    roles = {SUE: "User", SAM: "User", OFFICER: "Compliance Officer"}
    ids = {
        email: owner.users.create(email=email, password=PASSWORD, role=role).id
        for email, role in roles.items()
    }
    for email in (SUE, SAM):
        registry.users.create(email=email, password=PASSWORD)
    owner.policy.set(min_rows=10)
    cohort = owner.datasets.create(
        name="cohort",
        assets={"patients": TABLE},
        mock="generate",
        description="ages and doses",
        tags=["trial"],
        schema={"age": {"unit": "years", "low": 0, "high": 120}},
        statistics={"age": ["mean"]},
    )
    private = cohort["patients"].object_id

    # The scientists find it through the Network, with what was published of it and nothing else.
    (hit,) = town.network_as(SUE).search("doses", tags=["trial"], columns=["age"])
    found = hit["patients"]
    assert (hit.name, found.object_id, found.columns) == ("cohort", private, ["age", "dose"])
    told = found.statistics["age"]["mean"]
    assert told is not None and told != 50.0 and abs(told - 50.0) < 30.0, "a hundred rows, and noise of ten"
    sue = hit.domain(SUE, PASSWORD)
    sam = town.network_as(SAM).search("doses")[0].domain(SAM, PASSWORD)
    for scientist in (sue, sam):
        with pytest.raises(REFUSED):
            _ = scientist.datasets["cohort"]["patients"].data
        with pytest.raises(REFUSED):
            scientist.datasets["cohort"]["patients"].pointer()

    # Sue tries the plan on the mock; what runs there runs on the real thing, if somebody lets it.
    mock = sue.datasets["cohort"]["patients"].mock
    assert dose_effect(mock["age"], mock["dose"]).shape == (2,) and not torch.equal(mock["age"], AGES)
    fit = sue.requests.create_plan(
        dose_effect, {"ages": (found, "age"), "doses": (found, "dose")}, "does age matter?"
    )
    work = sam.datasets["cohort"]["patients"].request("the spread of ages", "compute")
    assert (fit.state, work.state) == ("pending", "pending")
    with pytest.raises(sy.errors.Forbidden):
        fit.run()
    with pytest.raises(sy.errors.GridError):
        fit.approve()  # nobody decides on their own request

    # The officer reads before deciding, and sets conditions.
    officer = town.domain_as(OFFICER)
    assert {each.view.user for each in officer.requests.in_state("pending")} == {SUE, SAM}
    shown = officer.requests.get(fit.id)
    assert "returns:" in shown.plan.text() and [each.object_id for each in shown.plan.inputs] == [private] * 2
    assert shown.cost is not None and shown.cost.output_bytes == 8
    shown.approve("two numbers", uses=2, expires_in=3600.0, max_output_bytes=64)
    officer.requests.get(work.id).approve("Sam fetches nothing by this", uses=1, expires_in=3600.0)
    assert fit.wait(30).state == work.wait(30).state == "approved"

    # Sue runs what was approved, as often as it was.
    expected = dose_effect(AGES, torch.tensor(TABLE["dose"]))
    torch.testing.assert_close(fit.run(), expected)

    # Sam computes where the data are, and fetches the one number that somebody allowed.
    ages = sam.datasets["cohort"]["patients"].pointer()["age"]
    spread = (ages - ages.mean()).square().mean().sqrt()
    with pytest.raises(sy.errors.Forbidden):
        spread.get_copy()
    asked = spread.request("one number for the paper")
    officer.requests.get(asked.id).approve(uses=1, max_output_bytes=128)
    torch.testing.assert_close(spread.get(), AGES.std(correction=0))
    with pytest.raises(sy.errors.Forbidden):
        ages.get_copy()

    # Revoked: Sue's second use and Sam's next operation are refused; what Sam holds is worth nothing.
    officer.requests.get(fit.id).revoke()
    with pytest.raises(sy.errors.Forbidden):
        fit.run()
    officer.requests.get(work.id).revoke()
    with pytest.raises(REFUSED):
        _ = ages + 1
        sam.location.barrier()
    sam.location.close()

    # Who did what, by which grant.
    owner = town.domain_as(OWNER)
    assert owner.audit.verify().intact
    plan_grant, compute_grant = fit.refresh().view.grant_id, work.refresh().view.grant_id
    fetched = asked.refresh().view.grant_id
    done = {
        (entry.operation, entry.actor_name, entry.outcome, grant)
        for entry in owner.audit.search(limit=1000)
        for grant in (*entry.grants, "")
    }
    assert None not in (plan_grant, compute_grant, fetched)
    for expected_entry in (
        ("datasets.create", OWNER, "ok", ""),
        ("requests.create_plan", SUE, "ok", ""),
        ("requests.create", SAM, "ok", ""),
        ("requests.approve", OFFICER, "ok", plan_grant),
        ("requests.approve", OFFICER, "ok", compute_grant),
        ("requests.run", SUE, "ok", plan_grant),
        ("compute.run", SAM, "ok", compute_grant),
        ("requests.approve", OFFICER, "ok", fetched),
        ("requests.revoke", OFFICER, "ok", plan_grant),
        ("requests.revoke", OFFICER, "ok", compute_grant),
        ("requests.run", SUE, "forbidden", ""),
        ("compute.fetch", SAM, "forbidden", ""),
    ):
        assert expected_entry in done, expected_entry
    assert any(
        {entry.actor for entry in owner.audit.search(grant_id=str(grant))} & {ids[SUE], ids[SAM]}
        for grant in (plan_grant, compute_grant, fetched)
    )
    states = {grant.id: grant.state for grant in owner.grants.all()}
    assert states == {plan_grant: "revoked", compute_grant: "revoked", fetched: "used up"}
