"""Quotas as people see and set them: in a terminal and in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from apps.cli import main as command_line
from syft_ext.errors import BadRequest, QuotaExceeded
from tests.attacks.conftest import site
from tests.attacks.site import OWNER, PASSWORD, Site
from tests.user_folder import fresh_user

__all__ = ["site"]


@pytest.fixture
def user(tmp_path: Path) -> Iterator[None]:
    with fresh_user(tmp_path / "user"):
        yield


def grid(site: Site, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = command_line._run(command_line.cli, [*arguments, "--url", site.domain.url])
    captured = capsys.readouterr()
    return captured.out + captured.err if code == 0 else f"{code}: {captured.err}"


def test_in_a_terminal(site: Site, user: None, capsys: pytest.CaptureFixture[str]) -> None:
    sy.login(site.domain.url, OWNER, PASSWORD, save=True)
    shown = grid(site, capsys, "quotas", "set", "--user", site.eve.id, "stored_bytes=2GB", "uploads=none")
    assert "2.0 GB" in shown and "eve@x.org" in shown
    uses = json.loads(grid(site, capsys, "quotas", "show", "--user", site.eve.id, "--format", "json"))
    assert {(each["name"], each["limit"], each["set_for"]) for each in uses} >= {
        ("stored_bytes", 2_000_000_000, "user"),
        ("uploads", None, "user"),
        ("datasets", 1_000, "default"),
    }
    assert grid(site, capsys, "quotas", "set", "--role", "User", "uploads=7").count("\n") == 4
    assert "no limit" in grid(site, capsys, "quotas", "show", "--user", site.eve.id)
    grid(site, capsys, "quotas", "set", "--role", "User", "objects=1,234,567")
    assert "1,234,567" in grid(site, capsys, "quotas", "show", "--user", site.eve.id), (
        "as it is read, it is said"
    )
    grid(site, capsys, "quotas", "reset", "--role", "User", "objects")
    assert grid(site, capsys, "groups", "list") == "There are no groups.\n", "nothing of what, is said"
    grid(site, capsys, "quotas", "reset", "--user", site.eve.id, "uploads", "stored_bytes")
    assert "uploads" in grid(site, capsys, "quotas", "list")
    assert "Nothing is set" in grid(site, capsys, "quotas", "reset", "--role", "User", "uploads")
    for wrong in ("uploads", "uploads=many", "uploads=-1", "sheep=3"):
        assert grid(site, capsys, "quotas", "set", wrong)[:2] in ("1:", "2:"), wrong


def test_everybody_sees_their_own(site: Site, user: None, capsys: pytest.CaptureFixture[str]) -> None:
    sy.login(site.domain.url, "ann@x.org", PASSWORD, save=True)
    assert "of 8.8 TB" in grid(site, capsys, "me", "show")
    record = json.loads(grid(site, capsys, "me", "show", "--format", "json"))
    assert {each["name"]: each["used"] for each in record["quotas"]}["objects"] == 2
    sy.login(site.domain.url, "eve@x.org", PASSWORD, save=True)
    assert grid(site, capsys, "quotas", "list").startswith("3:")
    sy.login(site.network.url, OWNER, PASSWORD, save=True)
    command_line._run(command_line.cli, ["me", "show", "--url", site.network.url])
    assert "stored" not in capsys.readouterr().out, "a Network keeps nothing for its users"


def test_in_a_notebook(site: Site, user: None) -> None:
    owner = sy.login(site.domain.url, OWNER, PASSWORD)
    assert isinstance(owner, sy.DomainClient)
    assert "stored bytes" in repr(owner.me) and "training_bytes" in repr(owner.quotas)
    owner.quotas.set(user_id=site.ann.id, object_bytes=2000)
    try:
        ann = sy.login(site.domain.url, "ann@x.org", PASSWORD)
        assert isinstance(ann, sy.DomainClient)
        with pytest.raises(QuotaExceeded, match="your quota of object bytes") as caught:
            ann.datasets.create("large", {"x": torch.zeros(1000)})
        assert caught.value.extra["quota"] == "object_bytes"
        (mine,) = (each for each in ann.me.quotas if each.name == "object_bytes")
        assert (mine.limit, mine.set_for) == (2000, "user") and mine.used <= 2000
        assert [each.email for each in owner.quotas.settings()] == ["ann@x.org"]
    finally:
        owner.quotas.set(user_id=site.ann.id, reset=("object_bytes",))
    assert owner.quotas.settings() == []
    with pytest.raises(BadRequest):
        owner.quotas.set(sheep=3)
