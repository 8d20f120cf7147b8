"""Workers whose files differ in form: matched by name at a live Domain, which shows who stands aside, and why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import syft_ext as sy
from syft_ext.messages.training_inputs import TrainingInputs
from tests.apps.conftest import Nodes, grid
from tests.worker.test_training import _seen, eventually

pytestmark = pytest.mark.slow

INPUTS = sy.TableInputs(
    columns=[sy.NumberColumn(name="age", unit="years"), sy.NumberColumn(name="bmi")],
    label=sy.CategoryColumn(name="sick", categories=["well", "sick"]),
)


def host(url: str, name: str, inputs: TrainingInputs | None) -> sy.Training:
    """Its model becomes the mean of age, of bmi, and the share of the second class."""

    @sy.make_plan(symbols={"xs": {0: "B"}, "ys": {0: "B"}})
    def plan(  # type: ignore[no-untyped-def]
        xs=torch.zeros(4, 2),
        ys=torch.zeros(4, dtype=torch.int64),
        params=sy.List([torch.zeros(3)]),
    ):
        (p,) = params
        seen = torch.cat([xs.mean(0), ys.float().mean().reshape(1)])
        loss = ((p - seen) ** 2).mean()
        return loss, loss, p - (p - seen)

    client = sy.ModelCentricFLClient(address=url)
    client.connect()
    return client.host_federated_training(
        model=[torch.zeros(3)],
        client_plans={"training_plan": plan},
        client_config={"name": name, "version": "1"},
        server_config={
            "num_cycles": 1,
            "max_diffs": 3,
            "min_workers": 3,
            "max_workers": 3,
            "cycle_length": 600,
        },
        inputs=inputs,
    )


def test_sites_are_matched_by_name_and_who_does_not_match_stands_aside(nodes: Nodes, tmp_path: Path) -> None:
    domain = nodes.start("domain", "d")
    nodes.login(domain, save=True)
    texts = {
        "a": "age,bmi,sick\n" + "60,20,sick\n" * 4,
        "b": "bmi,note,sick,age\n" + "20,seen,sick,60\n" * 2,
        "c": "Age,bmi,sick\n" + "60,20,sick\n" * 4,
    }
    workers = {}
    for name, text in texts.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(text)
        workers[name] = nodes.start(
            "worker", name, "--domain", domain.url, "--data", str(path), "--trust", "owner"
        )
        assert grid("domain", "accept", name, "--url", domain.url).code == 0
    training = host(domain.url, "means", INPUTS)
    plain = host(domain.url, "plain", None)

    def aside() -> list[str]:
        return sorted(training.refresh().view.aside.values())

    eventually(
        lambda: aside() == ["its data: has no column 'age'"], "word of it", 60, *workers.values(), domain
    )
    shown = grid("training", "show", "means/1", "--url", domain.url).out
    assert "c: its data: has no column 'age'" in shown, "by its name"
    assert "column 0: 'age', numbers, in years" in shown
    eventually(lambda: _seen(workers["c"])["means"]["state"] == "unfit", "the board", 30, workers["c"])
    assert "nearly equal: 'Age'" in str(_seen(workers["c"])["means"]["last_error"])
    assert training.view.status == "running"

    mended = tmp_path / "mended.csv"
    mended.write_text(texts["a"])
    mended.replace(tmp_path / "c.csv")
    eventually(
        lambda: training.refresh().view.status == "completed", "the end", 90, *workers.values(), domain
    )
    assert aside() == []
    (model,) = sy.ModelCentricFLClient(address=domain.url).retrieve_model("means", "1")
    assert model.tolist() == [60.0, 20.0, 1.0]

    why = "its data: has named columns, and nothing is declared to compare them with"
    assert set(plain.refresh().view.aside.values()) == {why}
    assert plain.view.admitted == 0
    assert any(
        "takes no part in plain/1" in line and "--columns and --target" in line for line in workers["a"].log
    )
    assert "[60" not in "".join(str(event.detail) for event in training.history())


def test_what_is_declared_must_fit_the_plan(nodes: Nodes) -> None:
    domain = nodes.start("domain", "d")
    nodes.login(domain, save=True)
    short = sy.TableInputs(columns=[sy.NumberColumn(name="age")], label=sy.NumberColumn(name="sick"))
    with pytest.raises(sy.errors.InvalidConfig, match=r"has the shape \[1\] as declared.*takes \[2\]"):
        host(domain.url, "short", short)
    twice = sy.TableInputs(
        columns=[sy.NumberColumn(name="age"), sy.NumberColumn(name="sick")],
        label=sy.NumberColumn(name="sick"),
    )
    with pytest.raises(sy.errors.InvalidConfig, match="'sick' is named twice"):
        host(domain.url, "twice", twice)
