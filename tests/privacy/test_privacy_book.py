"""What private training told of the rows of a machine: no restart, race or kill -9 makes it less."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from grid.worker.participant import _reporting
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.federated.batches import PlanTrainer
from syft_ext.federated.local_data import MatchedTrainer
from syft_ext.federated.privacy_book import DELTA, PrivacyBook
from syft_ext.plans import Plan
from syft_ext.privacy.renyi import GaussianAccount
from syft_ext.profile.home import user_home
from tests.privacy.dp_sgd_canary import audited_plan
from tests.privacy.test_dp_sgd import job_of

#: Charges one step after the other, and says so after each, until the budget ends it.
CHARGING = """
import sys
from pathlib import Path
from syft_ext.errors import Forbidden
from syft_ext.federated.privacy_book import PrivacyBook
book = PrivacyBook("rows", budget=float(sys.argv[2]), folder=Path(sys.argv[1]))
try:
    while True:
        book.charge(4.0, 1)
        print("+", end="", flush=True)
except Forbidden:
    print(".", flush=True)
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return audited_plan()


def rows(count: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    return torch.randn(count, 4, generator=random), torch.randint(0, 2, (count,), generator=random)


def epsilon(multiplier: float, steps: int) -> float:
    account = GaussianAccount()
    account.compose(multiplier, steps)
    return account.epsilon(DELTA)


def test_a_restart_goes_on_where_the_last_process_ended(plan: Plan, tmp_path: Path) -> None:
    def trained(data: str = "rows", **config: Any) -> PlanTrainer:
        trainer = PlanTrainer(*rows(), seed=0, book=PrivacyBook(data, folder=tmp_path))
        trainer(job_of(plan, **config))
        return trainer

    assert trained(epochs=3, noise_multiplier=1.5).privacy.steps == {1.5: 3}
    again = trained(epochs=2, noise_multiplier=1.5)
    assert again.privacy.steps == {1.5: 5}
    assert trained(noise_multiplier=4.0).privacy.steps == {1.5: 5, 4.0: 1}
    assert trained("others", noise_multiplier=4.0).privacy.steps == {4.0: 1}, "other data, another account"
    fresh = PlanTrainer(*rows(), book=PrivacyBook("rows", folder=tmp_path))
    assert fresh.privacy.steps == {1.5: 5, 4.0: 1}, "before anything runs"
    assert (tmp_path / "privacy.json").stat().st_mode & 0o777 == 0o600


def test_what_tells_more_than_the_budget_does_not_run(plan: Plan, tmp_path: Path) -> None:
    book = PrivacyBook("rows", budget=epsilon(2.0, 2), folder=tmp_path)
    trainer = PlanTrainer(*rows(), seed=0, book=book)
    trainer(job_of(plan, noise_multiplier=2.0))
    steps: list[int] = []
    job = job_of(plan, epochs=2, noise_multiplier=2.0)
    job.emit_progress = steps.append
    before = [each.clone() for each in job.model]
    with pytest.raises(Forbidden, match=r"lets private training tell an epsilon of .* of a row"):
        trainer(job)
    assert not steps and all(map(torch.equal, job.model, before))
    assert trainer.privacy.steps == {2.0: 1} == book.account.steps
    trainer(job_of(plan, noise_multiplier=2.0))  # so much is left
    with pytest.raises(Forbidden):
        trainer(job_of(plan, noise_multiplier=50.0))


def test_processes_race_and_are_killed_and_nothing_is_undercounted(tmp_path: Path) -> None:
    budget = epsilon(4.0, 40)

    def charging(budget: float, folder: Path) -> subprocess.Popen[bytes]:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", CHARGING, str(folder), repr(budget)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ))

    racers = [charging(budget, tmp_path / "raced") for _ in range(2)]
    endless = charging(1e9, tmp_path / "killed")
    assert endless.stdout is not None
    said = endless.stdout.read(12)
    endless.send_signal(signal.SIGKILL)
    said += endless.stdout.read()
    endless.wait()
    endless.stdout.close()
    counted = PrivacyBook("rows", folder=tmp_path / "killed").account.steps[4.0]
    assert len(said) <= counted <= len(said) + 1
    outputs = [racer.communicate()[0] for racer in racers]
    assert all(output.endswith(b".\n") for output in outputs)
    assert sum(output.count(b"+") for output in outputs) == 40
    assert PrivacyBook("rows", folder=tmp_path / "raced").account.steps == {4.0: 40}


def test_a_worker_counts_by_where_its_data_are_and_keeps_to_its_owners_budget(
    plan: Plan, own_folder: Path, tmp_path: Path
) -> None:
    data, link = tmp_path / "rows.csv", tmp_path / "link.csv"
    data.touch()
    link.symlink_to(data)

    def run(path: Path, budget: float = 0.0) -> Any:
        setup = SimpleNamespace(shuffle_seed=1, data=str(path), privacy_budget=budget)
        x, y = (each.numpy() for each in rows())
        participant: Any = SimpleNamespace(
            setup=setup, client=SimpleNamespace(site="here"), withdrawn=(), tell=lambda event: None,
            event=lambda *arguments, **facts: None,
        )  # fmt: skip
        job = job_of(plan, noise_multiplier=2.0)
        job.reports, job.consent = [], SimpleNamespace(digest="d")
        job.account = SimpleNamespace(samples=0, loss=None, accuracy=None)
        job.report = job.reports.append
        site: Any = SimpleNamespace(x=x, y=y)
        _reporting(participant, site)(job)
        return job

    assert run(data).reports
    assert run(link).reports
    book = PrivacyBook(os.path.realpath(data))
    assert book.account.steps == {2.0: 2}
    with pytest.raises(Forbidden):
        run(data, budget=epsilon(2.0, 2))
    assert run(data, budget=epsilon(2.0, 3)).reports


def test_what_is_joined_with_from_a_notebook_is_counted_too(plan: Plan, own_folder: Path) -> None:
    for steps in (1, 2):
        job = job_of(plan, noise_multiplier=2.0)
        job.consent, job.rows = SimpleNamespace(facts=object()), lambda data, schema: rows()
        MatchedTrainer(None, None, 0, "")(job)
        assert PrivacyBook().account.steps == {2.0: steps}


def test_a_damaged_file_or_a_budget_that_is_none_stops_it(own_folder: Path) -> None:
    for content in (b"{", b'{"steps": {"": [[-1.0, 3]]}}', b'{"steps": {"": [[2.0, -3]]}}', b'{"other": 1}'):
        (user_home() / "privacy.json").write_bytes(content)
        with pytest.raises(BadRequest, match="damaged"):
            PrivacyBook().charge(2.0, 1)
        with pytest.raises(BadRequest, match="damaged"):
            PlanTrainer(*rows(), book=PrivacyBook())
        assert (user_home() / "privacy.json").read_bytes() == content
    for budget in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(BadRequest, match="above 0"):
            PrivacyBook(budget=budget)
