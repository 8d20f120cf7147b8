"""The story over a real node: register, search, mock, request, approve, fetch, analyse, revoke, audit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import syft_ext as sy
from demo.processes import NodeProcess
from tests.conftest import throw_away_database

OWNER, PASSWORD = "owner@story.example", "correct horse battery staple"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def node(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NodeProcess]:
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "user"))
    environment = {"GRID_OWNER_EMAIL": OWNER, "GRID_OWNER_PASSWORD": PASSWORD}
    with throw_away_database() if request.param == "postgresql" else nullcontext("") as url:
        if url:
            environment["DATABASE_URL"] = url
        with NodeProcess("domain", tmp_path / "domain", ["--port", "0"], environment=environment) as node:
            yield node


def test_from_registering_to_auditing(node: NodeProcess) -> None:
    def as_user(email: str) -> sy.DomainClient:
        client = sy.login(node.url, email, PASSWORD)
        assert isinstance(client, sy.DomainClient)
        return client

    owner = as_user(OWNER)
    people = {"sue": "User", "sam": "User", "officer": "Compliance Officer"}
    ids = {
        name: owner.users.create(email=f"{name}@story.example", password=PASSWORD, role=role).id
        for name, role in people.items()
    }
    table = pd.DataFrame({"age": np.arange(20.0, 80.0), "sick": np.arange(60) % 2})
    mock = pd.DataFrame({"age": [30.0, 50.0], "sick": [0, 1]})
    owner.datasets.create(
        name="cohort", assets={"patients": table}, mock={"patients": mock}, description="a study of ages"
    )

    sue, sam = as_user("sue@story.example"), as_user("sam@story.example")
    (found,) = sue.search("ages")
    assert found.name == "cohort"
    asset = sue.datasets["cohort"]["patients"]
    assert list(asset.mock) == ["age", "sick"] and len(asset.mock["age"]) == 2
    object_id = asset.view.object_id
    with pytest.raises(sy.GridError):
        sue.store.get(object_id)

    # An object that a dataset names may be asked for, without being on its lists.
    reading = sue.requests.create(object_id, "to fit a model", "read")
    means = sam.requests.create(object_id, "for a table", "statistics")
    officer = as_user("officer@story.example")
    assert len(officer.requests.in_state("pending")) == 2
    officer.requests.get(reading.id).approve("for this study", uses=1, expires_in=3600.0)
    officer.requests.get(means.id).accept()
    assert reading.wait(30).state == "approved" and means.wait(30).state == "approved"

    assert sue.store.get(object_id)["age"].tolist() == table["age"].tolist()
    with pytest.raises(sy.errors.GridError):  # the one use is spent
        sue.store.get(object_id)
    result = sam.analyze(sam.datasets["cohort"]["patients"], ["mean"], columns=["age"])
    assert result["mean", "age"] == pytest.approx(table["age"].mean(), rel=1e-12)
    with pytest.raises(sy.errors.GridError):  # statistics are no content
        sam.store.get(object_id)

    officer.requests.get(means.id).revoke()
    with pytest.raises(sy.errors.GridError):
        sam.analyze(sam.datasets["cohort"]["patients"], ["mean"], columns=["age"])

    owner = as_user(OWNER)
    assert owner.audit.verify().intact
    entries = [(e.operation, e.actor, e.outcome) for e in owner.audit.all() if object_id in e.objects]
    for expected in (
        ("requests.create", ids["sue"], "ok"),
        ("requests.approve", ids["officer"], "ok"),
        ("objects.get", ids["sue"], "ok"),
        ("statistics.begin", ids["sam"], "ok"),
        ("requests.revoke", ids["officer"], "ok"),
    ):
        assert expected in entries
    assert [grant.state for grant in sorted(owner.grants.all(), key=lambda g: g.scope)] == [
        "used up",
        "revoked",
    ]
