"""Requests for plans, rules and budget from a terminal and over REST, at a Domain as deployed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from syft_ext.tensors import decode_tensors, encode_tensors
from tests.apps.conftest import grid
from tests.attacks.site import OWNER, PASSWORD, Site
from tests.governance.plan_story import ROWS, mean_of_rows, other_mean

XS = torch.arange(3.0 * ROWS).reshape(ROWS, 3)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


@pytest.fixture(scope="module")
def table(site: Site) -> str:
    return site.put(site.ann, encode_tensors({"": XS}), kind="tensor", searchable="true")


class Terminal:
    """Somebody's shell, logged in."""

    def __init__(self, site: Site, home: Path, email: str) -> None:
        self.home, self.url = str(home), site.domain.url
        login = grid("login", self.url, "--email", email, GRID_USER_HOME=self.home, GRID_PASSWORD=PASSWORD)
        assert login.code == 0, login.err

    def __call__(self, *arguments: str, json: bool = False) -> object:
        form = ("--format", "json") if json else ()
        result = grid(*arguments, "--url", self.url, *form, GRID_USER_HOME=self.home)
        assert result.code == 0, result.err
        return result.json if json else result.out


def test_from_a_terminal(site: Site, table: str, tmp_path: Path) -> None:
    eve, owner = Terminal(site, tmp_path / "eve", "eve@x.org"), Terminal(site, tmp_path / "owner", OWNER)
    for name, plan in (("first.plan", mean_of_rows), ("second.plan", other_mean)):
        (tmp_path / name).write_bytes(plan.dumps())
    ask = ("--input", f"xs={table}", "--value", "scale=2", "--reason", "a study")
    made = eve("requests", "plan", str(tmp_path / "first.plan"), *ask, json=True)
    assert isinstance(made, dict) and made["state"] == "pending"
    shown = str(owner("requests", "show", made["id"]))
    assert "mean.dim" in shown and "FLOP, peak" in shown and "a study" in shown
    assert owner("requests", "approve", made["id"], "--uses", "2") == "approved\n"
    output = tmp_path / "out.safetensors"
    ran = eve("requests", "run", made["id"], "--output", str(output), "--keep", json=True)
    assert isinstance(ran, dict) and ran["uses left"] == 1 and len(ran["object"]) == 32
    assert torch.equal(decode_tensors(output.read_bytes())["out0"], XS.mean(0) * 2)
    second = eve("requests", "plan", str(tmp_path / "second.plan"), *ask, json=True)
    assert isinstance(second, dict)
    reviewed = owner("requests", "show", second["id"], json=True)
    assert (
        isinstance(reviewed, dict) and reviewed["earlier"] == made["id"] and "add.Tensor" in reviewed["diff"]
    )

    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(owner("policy", "show", json=True)))
    assert "changed by  " in str(owner("policy", "set", str(policy)))

    rule = owner("rules", "add", "accept", "--kind", "budget", "--epsilon", "0.5", "--times", "1", json=True)
    assert isinstance(rule, dict) and "budget" in str(owner("rules", "list"))
    assert "approved" in str(eve("requests", "budget", "2"))
    assert "0.5" in str(eve("budget", "show"))
    owner("rules", "remove", rule["id"])
    owner("rules", "add", "deny", "--user", site.eve.id)
    owner("rules", "clear")
    assert owner("rules", "list") == "No rules.\n"


def test_over_rest(site: Site, table: str) -> None:
    plan, values = mean_of_rows.dumps(), encode_tensors({"scale": torch.tensor(3.0)})
    query = f"inputs=xs%3D{table}&plan_size={len(plan)}&reason=over+REST"
    made = site.rest("POST", f"/requests/plans?{query}", plan + values, site.eve)
    assert made.status == 201, made.body
    request = f"/requests/{made.json['id']}"
    review = site.rest("GET", f"{request}/review", who=site.owner).json
    assert review["facts"]["plan_id"] == mean_of_rows.id and "returns:" in review["text"]
    assert site.rest("GET", f"{request}/plan", who=site.owner).body == plan
    assert site.rest("POST", f"{request}/approval", {"uses": 1}, site.owner).json["state"] == "approved"
    ran = site.rest("POST", f"{request}/runs", {}, site.eve)
    assert ran.status == 200 and torch.equal(decode_tensors(ran.body)["out0"], XS.mean(0) * 3)
    assert site.rest("POST", f"{request}/runs", {}, site.eve).status == 403
    assert site.rest("POST", f"{request}/revocation", {}, site.owner).json["state"] == "revoked"
    rule = site.rest("POST", "/rules", {"action": "deny", "kind": "plan"}, site.owner)
    assert rule.status == 201
    again = site.rest("POST", f"/requests/plans?{query}", plan + values, site.eve)
    assert again.json["state"] == "denied"
    assert site.rest("DELETE", f"/rules/{rule.json['id']}", who=site.owner).status == 204
    assert json.loads(site.rest("GET", "/rules", who=site.owner).body) == {"rules": []}
