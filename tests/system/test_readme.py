"""README's blocks of code, run in their order as its readers would: real nodes, people with folders of their own.

What a block expects of its reader (data, names, what somebody else has done before) is told in ``BLOCKS``, and so
is what is replaced in it. Ports are replaced in all blocks by free ones. No block is left out.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.system.readers import Person, Terminal, at_the_terminal, blocks, free_ports

ROOT = Path(__file__).resolve().parents[2]
OWNER, SCIENTIST, WORKER = "owner", "scientist", "worker"

AN_OWNER_HAS_DATA = """
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, syft_ext as sy
from pathlib import Path
owner = sy.login("http://localhost:5000", "owner@hospital.example", "a long pass phrase")
me = owner.users["me@lab.example"].id
for name, scope in (("biopsies", "read"), ("diabetes", "statistics")):
    made = owner.datasets.create(name, Path(f"{name}.parquet"), tags=["biopsy"] if name == "biopsies" else [],
                                 schema={"sex": {"categories": ["f", "m"]}} if name == "diabetes" else {})
    owner.grants.create(made["data"].object_id, me, scope)
"""

#: The third participant is the job of the last block.
FEWER_CYCLES = {
    '"num_cycles": 20, "max_diffs": 2, "min_workers": 2': '"num_cycles": 2, "max_diffs": 3, "min_workers": 3',
    # The wards' data are with their Workers: this is the mock that they gave out.
    'hospital.datasets["biopsies"]["data"].mock': '__import__("pathlib").Path("ward-mock.csv")',
}
UNTIL_IT_IS_HOSTED = """
import time
deadline = time.monotonic() + 60
while not any(training.name == "biopsies" for training in owner.trainings):
    assert time.monotonic() < deadline, "nobody hosts the training"
    time.sleep(0.1)
"""
UNTIL_THE_WORKERS_ASK = """
from syft_ext.messages.network import ListAssociations
deadline = time.monotonic() + 60
while {each.name for each in owner.call(ListAssociations(status="pending")).associations} < {"ward-3", "ward-4"}:
    assert time.monotonic() < deadline, "the Worker does not ask"
    time.sleep(0.1)
"""
SIXTEEN_SAMPLES = """
import torch
x, y = torch.randn(16, 30), torch.randint(0, 2, (16,))
"""

A_MODEL = "model = torch.nn.Linear(2, 1); optimizer = torch.optim.SGD(model.parameters(), lr=0.01)"
A_PLAN_AND_ITS_INPUTS = """
import torch
domain.datasets.create("numbers", {"xs": torch.ones(20), "ys": torch.arange(20.0)})
asset = domain.datasets["numbers"]["xs"]
labels = domain.datasets["numbers"]["ys"]

@sy.make_plan
def plan(xs=torch.zeros(20), ys=torch.zeros(20)):
    return (xs * ys).mean()
"""

#: What the blocks have brought about.
AT_THE_END = {
    SCIENTIST: "assert len(trained) == 4 and all(part.isfinite().all() for part in trained)",
    OWNER: """
assert domain.datasets["patients"]["data"].view.version == 2
assert domain.policy.get().policy.min_rows == 10
assert {request.state for request in domain.requests} >= {"approved", "pending"}
""",
}


@dataclass(frozen=True)
class Block:
    """One fenced block: how it begins, who runs it, and what its reader is assumed to have.

    Attributes:
        first: done before it, by these people: Python.
        replaced: text → what stands for it.
    """

    begins: str
    who: str
    first: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)


BLOCKS = [
    Block("./grid-demo ", "reader"),
    Block("python3 -m venv", "reader"),
    Block("export GRID_OWNER_EMAIL", OWNER),
    Block("grid backup key", OWNER),
    Block("from pathlib import Path", OWNER),
    Block(
        "import torch, syft_ext as sy\n\nnetwork = ",
        SCIENTIST,
        {OWNER: AN_OWNER_HAS_DATA},
        FEWER_CYCLES,
    ),
    Block("import torch, syft_ext as sy\n\nnet = ", OWNER),  # the scientist waits for their training
    Block("grid worker start-each", WORKER),
    Block("grid domain accept", OWNER, {OWNER: UNTIL_THE_WORKERS_ASK}),
    Block("import syft_ext as sy\n\nsy.login", WORKER, {WORKER: SIXTEEN_SAMPLES}),
    Block("network = sy.login", SCIENTIST),
    Block("asset = network.search", SCIENTIST, {}, {"model, optimizer = …, …": A_MODEL}),
    Block("domain.requests  ", OWNER),
    Block("asked = domain.requests.create_plan", OWNER, {OWNER: A_PLAN_AND_ITS_INPUTS}),
]


# -- the test -----------------------------------------------------------------------------------------


def test_the_table_names_each_block_and_each_replacement() -> None:
    found = blocks()
    assert len(found) == len(BLOCKS)
    for (language, text), block in zip(found, BLOCKS, strict=True):
        assert language in ("bash", "python")
        assert text.startswith(block.begins), text
        assert all(old in text for old in block.replaced), block.replaced


def test_what_installs_is_there() -> None:
    """``scripts/newcomer`` runs it, in an environment of its own."""
    text = blocks()[1][1]
    assert "scripts/install-torch" in text and os.access(ROOT / "scripts" / "install-torch", os.X_OK)
    extras = re.search(r'"\.\[([a-z,]+)\]"', text)
    assert extras is not None and "data" in extras[1].split(",")  # the next blocks read Parquet


def test_the_first_two_commands_are_there() -> None:
    """They are not run: one of them is this suite. ``./grid-demo`` has tests of its own."""
    commands = [line.split()[0] for line in blocks()[0][1].splitlines()]
    assert commands == ["./grid-demo", "./grid-test"]
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


@pytest.fixture
def ports() -> dict[str, str]:
    return free_ports()


@pytest.fixture
def people(tmp_path: Path) -> Iterator[dict[str, Person]]:
    made = {name: Person(name, tmp_path) for name in (OWNER, SCIENTIST, WORKER)}
    yield made
    for person in made.values():
        person.close()


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    made: list[Terminal] = []
    yield made
    for terminal in reversed(made):
        terminal.close()


def write_data(folder: Path) -> None:
    """The files that readers have."""
    rng = np.random.default_rng(7)
    for name, rows in (("patients", 300), ("patients-2027", 320)):
        sex = np.where(rng.random(rows) < 0.5, "f", "m")
        pq.write_table(
            pa.table({"age": rng.integers(20, 90, rows).astype(float), "sex": sex}),
            folder / f"{name}.parquet",
        )
    rows = 1200
    age, radius, texture = rng.uniform(20, 90, rows), rng.normal(14, 3, rows), rng.normal(19, 4, rows)
    benign = (radius < 14).astype(float)
    table = pa.table({"age": age, "radius": radius, "texture": texture, "benign": benign})
    pq.write_table(table, folder / "biopsies.parquet")
    sex = np.where(rng.random(rows) < 0.5, "f", "m")
    pq.write_table(
        pa.table({"age": age, "bmi": rng.normal(27, 4, rows), "sex": sex}), folder / "diabetes.parquet"
    )
    for ward in ("ward-3", "ward-4", "ward-mock"):
        x = rng.normal(size=(64, 30))
        lines = [",".join([*(f"f{i}" for i in range(30)), "diagnosis"])]
        words = np.where(x[:, 0] > 0, "malignant", "benign")
        lines += [
            ",".join([*(f"{value:.4f}" for value in row), word]) for row, word in zip(x, words, strict=True)
        ]
        (folder / f"{ward}.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.slow
def test_the_blocks_run_as_printed(
    tmp_path: Path, ports: dict[str, str], people: dict[str, Person], terminals: list[Terminal]
) -> None:
    write_data(tmp_path)

    def here(text: str) -> str:
        return re.sub(r"\b(5000|7000)\b", lambda found: ports[found[1]], text)

    training: threading.Thread | None = None
    for (language, text), block in list(zip(blocks(), BLOCKS, strict=True))[2:]:
        for name, code in block.first.items():
            people[name].run(here(code))
        for old, new in block.replaced.items():
            text = text.replace(old, new)
        person = people[block.who]
        if language == "bash":
            terminals.append(Terminal(at_the_terminal(here(text)), tmp_path, person.environment))
            terminals[-1].wait_for("all is 2done" if block.who == OWNER else "ready")
        elif "grid.watch" in text:
            # It shows the training until that ends, which the next blocks' workers bring about.
            training = threading.Thread(target=person.run, args=(here(text),))
            training.start()
            people[OWNER].run(UNTIL_IT_IS_HOSTED)
        else:
            if training is not None and block.who == SCIENTIST:
                training.join(60)
                assert not training.is_alive(), "the training did not end"
                training = None
            person.run(here(text))
    for name, code in AT_THE_END.items():
        people[name].run(here(code))
