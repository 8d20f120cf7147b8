"""What commands list fits a terminal of 80 columns, at a Domain where people and things have long names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from rich.cells import cell_len

import syft_ext as sy
from tests.apps.test_terminal import commands, owner, run
from tests.attacks.conftest import site
from tests.attacks.site import OWNER, PASSWORD, Site

__all__ = ["owner", "site"]

WIDTH = 80
LONG = "maximiliane.von-und-zu-oberstdorf@universitaetsklinikum.example"
NAME = "Biopsies of the second longitudinal cohort, harmonised with the registry (2019 to 2024)"
ELSEWHERE = {("backup", "list")}
"""Of a folder, and not of a node."""


@pytest.fixture
def populated(site: Site, owner: sy.DomainClient) -> Iterator[sy.DomainClient]:
    user = owner.users.create(LONG, PASSWORD)
    group = owner.groups.create("Everybody in the working group on rare tumours of children", [user.id])
    rows = {
        "age at first diagnosis in years": torch.arange(30.0),
        "days between the two biopsies": torch.ones(30),
    }
    made = owner.datasets.create(
        NAME, {"measurements of the first visit": rows}, tags=["oncology", "harmonised"]
    )
    asset = made.assets[0].object_id
    owner.grants.create(asset, LONG, "read")
    owner.store.delete(owner.store.put(torch.ones(5000)).id)
    scientist = sy.login(site.domain.url, LONG, PASSWORD)
    scientist.requests.create_budget(
        3.0, "for the analysis of survival after two treatments, as agreed in May"
    )
    again = sy.login(site.domain.url, OWNER, PASSWORD, save=True)  # whom commands act for
    again.requests.add_handler("deny", user_id=user.id, dataset_id=made.id)
    again.analyze(made.assets[0], "count")
    yield again
    again.datasets.delete(made.id, objects=True)
    again.groups.delete(group.id)
    again.users.delete(user.id)


def test_lists_fit(
    site: Site,
    populated: sy.DomainClient,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.cli.output.terminal_width", lambda: WIDTH)
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    shown, wide = 0, list[str]()
    for path in commands():
        if path[-1] != "list" or path in ELSEWHERE:
            continue
        code, out, err = run(site, capsys, *path)
        assert code == 0, (path, err)
        shown += len(out.splitlines()) > 1
        wide += [f"{' '.join(path)}: {line}" for line in out.splitlines() if cell_len(line) > WIDTH]
    assert not wide, "\n".join(wide)
    assert shown >= 8


def test_rules_say_names_and_not_ids(
    site: Site,
    populated: sy.DomainClient,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.cli.output.terminal_width", lambda: 400)
    code, out, _ = run(site, capsys, "rules", "list")
    assert code == 0 and f"dataset {NAME}, user {LONG}" in out
    code, out, _ = run(site, capsys, "rules", "list", "--format", "json")
    rule = populated.requests.rules.all()[-1]
    assert f"dataset {rule.dataset_id}, user {rule.user_id}" in out
