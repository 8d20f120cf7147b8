"""Listing 2 of the paper over two live Domains, from a process of its own: the model is the one trained here."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.pointers.site import PASSWORD, SUE, Site
from tests.sdk.federated.listings.remote_setting import ROWS, make_model, make_optimizer

LISTINGS = Path(__file__).parent / "listings"


@pytest.fixture
def sites(tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Site]]:
    sites = [Site(tmp_path / name, name) for name in ("north", "south")]
    for site, rows in zip(sites, (slice(0, 2), slice(2, 4)), strict=True):
        part = {"data": ROWS[0][rows].clone(), "target": ROWS[1][rows].clone()}
        dataset = site.owner.datasets.create("xor", {"table": part})
        assert site.sue.session is not None
        site.owner.store.update(dataset["table"].object_id, readers=[site.sue.session.user_id])
    yield sites
    for site in sites:
        site.close()


def trained_here() -> tuple[list[str], torch.nn.Module]:
    model = make_model()
    optimizer = make_optimizer(model)
    optimizers = [copy.copy(optimizer), copy.copy(optimizer)]
    for each in optimizers:
        each.state = type(each.state)(dict)
    printed = []
    for _ in range(10):
        for own, rows in zip(optimizers, (slice(0, 2), slice(2, 4)), strict=True):
            own.zero_grad()
            loss = ((model(ROWS[0][rows]) - ROWS[1][rows]) ** 2).sum()
            loss.backward()
            own.step()
            printed.append(str(loss.data))
    return printed, model


@pytest.mark.slow
def test_listing_2_trains_over_two_domains(sites: list[Site], own_folder: Path) -> None:
    environment = {
        **os.environ,
        "GRID_ADDRESSES": " ".join(site.url for site in sites),
        "GRID_EMAIL": SUE,
        "GRID_PASSWORD": PASSWORD,
        "GRID_USER_HOME": str(own_folder),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(LISTINGS / "federated.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    losses, model = trained_here()
    assert [line[:12] for line in lines[:20]] == [line[:12] for line in losses]  # tensor(0.123
    there = [[float.fromhex(value) for value in line.split()[1:]] for line in lines[20:]]
    for found, parameter in zip(there, model.parameters(), strict=True):
        torch.testing.assert_close(torch.tensor(found), parameter.detach().flatten(), rtol=1e-6, atol=1e-6)
