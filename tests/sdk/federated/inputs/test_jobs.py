"""A job's data are matched before it asks for a part; what does not match is told to the Domain without them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import syft_ext as sy
from grid.web.testing import ServedNode
from syft_ext.errors import DataMismatch
from syft_ext.messages.training_inputs import TrainingInputs
from syft_ext.messages.training_reviews import definition_digest
from tests.sdk.scripted import Script, ScriptedService, scripted_node

INPUTS: TrainingInputs = sy.TableInputs(
    columns=[sy.NumberColumn(name="age", low=0, high=120, scale=10.0), sy.NumberColumn(name="bmi")],
    label=sy.NumberColumn(name="dose"),
)
FRAME = pd.DataFrame({"dose": [1.0, 2.0], "bmi": [20.0, 21.0], "other": ["x", "y"], "age": [60.0, 70.0]})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_copy: Callable[[], str]) -> Iterator[ServedNode]:
    with ServedNode(scripted_node(tmp_path_factory.mktemp("home"), sqlite_copy(), Script())) as served:
        yield served


@pytest.fixture
def script(served: ServedNode) -> Script:
    served.node.service(ScriptedService).script = script = Script(cycles=1)
    script.inputs = INPUTS
    return script


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def job(served: ServedNode, script: Script, said: list[str], own_folder: Path) -> Iterator[sy.FLJob]:
    with sy.FLClient(served.url, identity=sy.Identity.generate(), say=said.append) as client:
        yield client.new_job("line", "1")


def test_a_frame_is_matched_by_name_and_learned_from(job: sy.FLJob, script: Script) -> None:
    got: list[Any] = []
    job.add_listener(job.EVENT_CYCLE_STARTED, lambda job, cycle: got.append(job.rows(FRAME)))
    assert job.run(data=FRAME, seed=1).reason == "over"
    assert (len(script.reports), script.aside) == (1, [])
    assert got[0][0].tolist() == [[6.0, 20.0], [7.0, 21.0]]
    assert got[0][1].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (FRAME.rename(columns={"age": "Age"}), "its data: has no column 'age'"),
        (FRAME.assign(age=[60.0, 999.0]), "its data: rows that are not as declared; its owner is told which"),
        (
            FRAME.assign(age=["old", "young"]),
            "its data: rows that are not as declared; its owner is told which",
        ),
        ("gone.csv", "its data: they cannot be read"),
    ],
)
def test_what_does_not_match_takes_no_part(job: sy.FLJob, script: Script, data: Any, told: str) -> None:
    with pytest.raises(sy.GridError, match=r"Age|999|'old' is not numbers|gone"):
        job.run(data=data)
    assert script.aside == [told]
    assert (script.check_ins, script.downloads, script.failures) == ([], [], [])


def test_tensors_are_taken_by_place_and_that_is_said(job: sy.FLJob, script: Script, said: list[str]) -> None:
    job.run(data=(torch.tensor([[60.0, 20.0]]), torch.tensor([1.0])))
    assert len(script.reports) == 1
    assert any("plain arrays have no names, which cannot be compared" in line for line in said)


def test_names_where_nothing_is_declared_are_given_no_place(job: sy.FLJob, script: Script) -> None:
    script.inputs = None
    with pytest.raises(DataMismatch, match="declares no inputs"):
        job.run(data=FRAME)
    assert script.check_ins == []
    x, y = torch.tensor([[6.0, 2.0]]), torch.tensor([1.0])
    assert job.rows((x, y))[0] is x, "plain tensors are as they always were"


def test_a_declaration_that_changes_after_consent_is_another_definition(
    job: sy.FLJob, script: Script, served: ServedNode
) -> None:
    plain = definition_digest(script.definition())
    script.shown, script.inputs = None, None
    assert definition_digest(script.definition()) != plain
    agreed = job.client.new_job("line", "1", digest=plain)  # type: ignore[attr-defined]
    with pytest.raises(sy.errors.NotAgreed, match="is not what was agreed to"):
        agreed.run(data=FRAME)
