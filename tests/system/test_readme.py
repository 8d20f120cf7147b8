"""README's blocks of code, run in their order as its readers would: real nodes, people with folders of their own.

What a block expects of its reader (data, names, what somebody else has done before) is told in ``BLOCKS``, and so
is what is replaced in it. Ports are replaced in all blocks by free ones. No block is left out.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
PORTS = ("5000", "7000")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OWNER, SCIENTIST, WORKER = "owner", "scientist", "worker"

#: What the terminal asks for, and what is typed.
ANSWERS = {"E-mail: ": "owner@hospital.example", "Password: ": "a long pass phrase"}

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

FEWER_CYCLES = {
    '"num_cycles": 20, "max_diffs": 4, "min_workers": 4': '"num_cycles": 2, "max_diffs": 2, "min_workers": 2'
}
UNTIL_IT_IS_HOSTED = """
import time
deadline = time.monotonic() + 60
while not any(training.name == "biopsies" for training in owner.trainings):
    assert time.monotonic() < deadline, "nobody hosts the training"
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
    Block("export GRID_OWNER_EMAIL", OWNER),
    Block(
        "import torch, syft_ext as sy\n\nnetwork = ",
        SCIENTIST,
        {OWNER: AN_OWNER_HAS_DATA},
        FEWER_CYCLES,
    ),
    Block("from pathlib import Path", OWNER),
    Block("grid worker start", WORKER),
    Block("import syft_ext as sy\n\njob = ", WORKER, {WORKER: SIXTEEN_SAMPLES}),
    Block("network = sy.login", SCIENTIST),
    Block("asset = network.search", SCIENTIST, {}, {"model, optimizer = …, …": A_MODEL}),
    Block("domain.requests  ", OWNER),
    Block("asked = domain.requests.create_plan", OWNER, {OWNER: A_PLAN_AND_ITS_INPUTS}),
]


# -- readers ------------------------------------------------------------------------------------------

#: Runs files of Python one after the other, as cells of one notebook.
CELLS = """
import sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    path = line.strip()
    try:
        exec(compile(open(path).read(), path, "exec"), names)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
    print("done", path, flush=True)
"""


class Person:
    """Somebody with a folder of their own, and one Python that stays open."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "GRID_USER_HOME": str(folder / f".{name}"),
            "XDG_DATA_HOME": str(folder / f".{name}"),  # where a node has its home that is told none
            "OMP_NUM_THREADS": "1",
        }
        self.said: list[str] = []
        self._count = 0
        self._python = subprocess.Popen(
            [sys.executable, "-u", "-c", CELLS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=self.environment,
        )

    def run(self, code: str) -> None:
        assert self._python.stdin is not None and self._python.stdout is not None
        self._count += 1
        path = self._folder / f"{self._name}-{self._count}.py"
        path.write_text(code)
        self._python.stdin.write(f"{path}\n")
        self._python.stdin.flush()
        for line in self._python.stdout:
            if line.strip().endswith(f"done {path}"):
                return
            self.said.append(line)
        pytest.fail(f"the {self._name}'s Python ended:\n{''.join(self.said[-60:])}\nin:\n{code}")

    def close(self) -> None:
        self._python.kill()
        self._python.communicate()


class Terminal:
    """A shell at a terminal, which answers what is asked there; what it started ends when it is closed."""

    def __init__(self, script: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._screen, self._inside = pty.openpty()
        self.shown = ""
        self._ended = threading.Event()
        terminal = os.ttyname(self._inside)
        # The first of a session to open a terminal has it as its own: what asks for a password opens /dev/tty.
        self._shell = subprocess.Popen(
            ["bash", "-c", 'exec bash -eu -c "$1" <"$2" >"$2" 2>&1', "reader", script, terminal],
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
        threading.Thread(target=self._type, daemon=True).start()

    def _type(self) -> None:
        answered = 0
        with contextlib.suppress(OSError):  # the terminal is gone
            while data := os.read(self._screen, 4096):
                self.shown += data.decode(errors="replace")
                for question, answer in ANSWERS.items():
                    if self.shown[answered:].endswith(question):
                        answered = len(self.shown)
                        os.write(self._screen, f"{answer}\n".encode())
        self._ended.set()

    def wait_for(self, text: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            if self._ended.is_set() or self._shell.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{text!r} was not seen:\n{self.shown[-4000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.wait(30)
        os.close(self._inside)
        self._ended.wait(30)
        os.close(self._screen)


def at_the_terminal(block: str) -> str:
    """The block as a reader types it: who starts something with ``&`` goes on when it says that it is ready."""
    lines = []
    for number, line in enumerate(block.splitlines()):
        command, background, _ = line.partition("&")
        if background and command.startswith("grid "):
            log = f"log-{number}"
            lines.append(f"{command} >{log} 2>&1 &")
            lines.append(
                f"until grep -q ^ready {log}; do kill -0 $! || {{ cat {log}; exit 1; }}; sleep 0.1; done"
            )
        else:
            lines.append(line)
    return "\n".join([*lines, "echo all is $((1 + 1))done", "wait"])


# -- the test -----------------------------------------------------------------------------------------


def blocks() -> list[tuple[str, str]]:
    """Language and text of README's fenced blocks."""
    return FENCE.findall((ROOT / "README.md").read_text())


def test_the_table_names_each_block_and_each_replacement() -> None:
    found = blocks()
    assert len(found) == len(BLOCKS)
    for (language, text), block in zip(found, BLOCKS, strict=True):
        assert language in ("bash", "python")
        assert text.startswith(block.begins), text
        assert all(old in text for old in block.replaced), block.replaced


def test_the_first_two_commands_are_there() -> None:
    """They are not run: one of them is this suite. ``./grid-demo`` has tests of its own."""
    commands = [line.split()[0] for line in blocks()[0][1].splitlines()]
    assert commands == ["./grid-demo", "./grid-test"]
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


@pytest.fixture
def ports() -> dict[str, str]:
    """Free ones for those of README."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
        return {old: str(server.getsockname()[1]) for old, server in zip(PORTS, servers, strict=True)}


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
    x = rng.normal(size=(64, 30))
    lines = [",".join([*(f"f{i}" for i in range(30)), "diagnosis"])]
    lines += [",".join([*(f"{value:.4f}" for value in row), str(int(row[0] > 0))]) for row in x]
    (folder / "biopsies.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_blocks_run_as_printed(
    tmp_path: Path, ports: dict[str, str], people: dict[str, Person], terminals: list[Terminal]
) -> None:
    write_data(tmp_path)

    def here(text: str) -> str:
        return re.sub(r"\b(5000|7000)\b", lambda found: ports[found[1]], text)

    training: threading.Thread | None = None
    for (language, text), block in list(zip(blocks(), BLOCKS, strict=True))[1:]:
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
