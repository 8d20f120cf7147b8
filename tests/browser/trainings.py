"""The training that these tests host, and who takes part in it in Python."""

from __future__ import annotations

import threading
from typing import Any

import torch

import syft_ext as sy
from syft_ext.identity import Identity
from tests.sdk.live import EMAIL, PASSWORD

__all__ = ["COLUMNS", "columns_of", "host", "made_rows", "python_peer"]

COLUMNS = ("age", "dose", "weight")
#: Participants' columns stand in another order than the model's, and one has a scale.
INPUTS = sy.TableInputs(
    columns=[
        sy.NumberColumn(name="age", unit="years", low=0, high=120, centre=50, scale=20),
        sy.NumberColumn(name="dose"),
        sy.NumberColumn(name="weight"),
    ],
    label=sy.NumberColumn(name="effect"),
)


@sy.make_plan(symbols={"xs": {0: "B"}, "ys": {0: "B"}})
def training_plan(
    xs: torch.Tensor = torch.zeros(4, 3),
    ys: torch.Tensor = torch.zeros(4),
    lr: torch.Tensor = torch.tensor(0.1),
    params: Any = sy.List([torch.zeros(3)]),
) -> Any:
    error = xs @ params[0] - ys
    loss = (error**2).mean()
    gradient = 2 * (error.unsqueeze(1) * xs).mean(0)
    return (loss, params[0] - lr * gradient)


def host(url: str, name: str, *, workers: int, cycles: int = 2, **client_config: Any) -> Any:
    """Host it at the Domain, and leave it to be trained; what watches it."""
    sy.login(url, EMAIL, PASSWORD, save=True)
    return sy.ModelCentricFLClient(url).host_federated_training(
        model=[torch.zeros(3)],
        client_plans={"training_plan": training_plan},
        client_config={"name": name, "version": "1", "lr": 0.05, **client_config},
        server_config={
            "num_cycles": cycles,
            "max_diffs": workers,
            "min_workers": workers,
            "max_workers": workers,
            "cycle_length": 3600,
        },
        inputs=INPUTS,
    )


def made_rows(seed: int, count: int = 20) -> dict[str, list[float]]:
    """Rows of one site: the same for the same seed, with columns in no order."""
    generator = torch.Generator().manual_seed(seed)
    age = torch.randint(20, 90, (count,), generator=generator).double()
    dose, weight = (
        torch.rand(count, generator=generator, dtype=torch.float64),
        torch.rand(count, generator=generator, dtype=torch.float64),
    )
    effect = 0.5 * (age - 50) / 20 - dose + 2 * weight
    columns = {"weight": weight, "effect": effect, "age": age, "dose": dose}
    return {name: [round(float(value), 6) for value in values] for name, values in columns.items()}


def columns_of(rows: dict[str, list[float]]) -> dict[str, list[str]]:
    """As they stand in a text file."""
    return {
        name: [f"{value:g}" if name == "age" else repr(value) for value in values]
        for name, values in rows.items()
    }


def python_peer(url: str, name: str, rows: dict[str, list[float]], seed: int = 0) -> threading.Thread:
    """Takes part in a thread of its own until the training is over."""

    def run() -> None:
        with sy.FLClient(url, identity=Identity.generate(), say=lambda line: None) as client:
            client.new_job(name, "1").run(data=rows, seed=seed)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
