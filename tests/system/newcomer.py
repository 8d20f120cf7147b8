"""A newcomer's first hour: README's blocks in their order, with files of their own, up to a model that is useful.

Run by ``scripts/newcomer`` in an environment that has what README installs and nothing else. What a reader changes
in a block, because their columns are others than README's, stands in :data:`CHANGES`; where one of these is not in
README any more, or the model is not useful, it fails.
"""

from __future__ import annotations

import csv
import math
import random
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.system.readers import Person, Terminal, at_the_terminal, blocks, free_ports

LIMIT = 300.0
COLUMNS = ("age", "systolic", "glucose", "stays", "bmi")
#: What the newcomer writes where README has its own example.
CHANGES = {
    "patients.parquet": "admissions.csv",
    '.update(Path("patients-2027.parquet"), note="one more year")   # version 2': "",
    '"sex": {"categories": ["f", "m"]}': '"readmitted": {"categories": ["no", "yes"]}',
    'search("biopsy", columns=["age"], min_rows=1000)': 'search("patients", columns=["age"], min_rows=100)',
    "torch.nn.Linear(30, 16)": "torch.nn.Linear(5, 16)",
    "torch.randn(16, 30)": "torch.randn(16, 5)",
    'hospital.datasets["biopsies"]["data"].mock': '__import__("pathlib").Path("mock.csv")',
    'mock, "diagnosis", schema={"diagnosis": {"categories": ["malignant", "benign"]}}': (
        'mock, "readmitted", schema={"readmitted": {"categories": ["no", "yes"]}}'
    ),
}
#: Questions to the Domain that a person answers by looking; a script asks until it is so.
HOSTED = """
import time, syft_ext as sy
domain = sy.login("http://localhost:5000", "owner@hospital.example", "a long pass phrase")
while not any(each.name == "biopsies" for each in domain.trainings):
    time.sleep(0.2)
"""
ASKED = """
while {each.name for each in domain.associations.search("pending")} < {"ward-3", "ward-4"}:
    time.sleep(0.2)
"""
PUBLISHED = """
import time, syft_ext as sy
network = sy.login("http://localhost:7000", "me@lab.example", "my pass phrase")
while not len(network.search("patients")):
    time.sleep(0.2)
"""
JUDGED = """
import csv
rows = list(csv.DictReader(open("later.csv")))
x = torch.tensor([[float(row[name]) for name in COLUMNS] for row in rows])
y = torch.tensor([int(row["readmitted"] == "yes") for row in rows])
with torch.no_grad():
    for parameter, learned in zip(model.parameters(), trained):
        parameter.copy_(learned)
    centre = torch.tensor([column.centre for column in inputs.columns])
    scale = torch.tensor([column.scale for column in inputs.columns])
    right = (model((x - centre) / scale).argmax(1) == y).float().mean().item()
most = max(y.float().mean().item(), 1 - y.float().mean().item())
open("judged", "w").write(f"{right} {most}")
"""


def write_files(folder: Path) -> None:
    """What the newcomer has: two wards' files for training, one for the Domain, and rows that came later."""
    rng = random.Random(11)
    for name, count in (("ward-3", 300), ("ward-4", 300), ("admissions", 600), ("later", 400), ("mock", 60)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*COLUMNS, "readmitted"])
            for _ in range(count):
                age, systolic = rng.uniform(20, 95), rng.gauss(135, 20)
                glucose, stays, bmi = rng.gauss(120, 40), rng.randrange(9), rng.gauss(27, 4)
                risk = (
                    (age - 57) / 22 + (glucose - 120) / 40 + (stays - 4) / 2.6 + 0.2 * (systolic - 135) / 20
                )
                yes = rng.random() < 1 / (1 + math.exp(-3 * risk))
                numbers = (f"{each:.1f}" for each in (age, systolic, glucose, stays, bmi))
                writer.writerow([*numbers, "yes" if yes else "no"])


class Reader:
    """Reads README, and does as it says."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, free_ports()
        self.people = {name: Person(name, folder) for name in ("owner", "scientist", "worker")}
        self.terminals: list[Terminal] = []
        self._blocks = blocks()
        self._left = set(CHANGES)

    def block(self, begins: str) -> str:
        """The block that begins so, as the newcomer writes it."""
        (text,) = (text for _, text in self._blocks if text.startswith(begins))
        for old, new in CHANGES.items():
            if old in text:
                self._left.discard(old)
                text = text.replace(old, new)
        return self._here(text)

    def _here(self, text: str) -> str:
        return re.sub(r"\b(5000|7000)\b", lambda found: self.ports[found[1]], text)

    def do(self, who: str, code: str) -> None:
        """Python of somebody."""
        self.people[who].run(self._here(code))

    def type(self, who: str, begins: str, shown: str) -> None:
        """A block at somebody's terminal, until ``shown`` is there."""
        self.terminals.append(
            Terminal(at_the_terminal(self.block(begins)), self.folder, self.people[who].environment)
        )
        self.terminals[-1].wait_for(shown)

    def read(self) -> tuple[float, float]:
        """All of it; how many of the later rows the model is right about, and how many its best constant guess."""
        self.type("owner", "export GRID_OWNER_EMAIL", "all is 2done")
        self.do("owner", self.block("from pathlib import Path"))
        self.do("scientist", PUBLISHED)
        science = self.block("import torch, syft_ext as sy\n\nnetwork = ")
        training = threading.Thread(target=self.people["scientist"].run, args=(science,))
        training.start()
        self.do("owner", HOSTED)
        self.type("worker", "grid worker start-each", "ready")
        self.do("owner", ASKED)
        self.type("owner", "grid domain accept", "all is 2done")
        training.join(LIMIT)
        if training.is_alive():
            raise AssertionError(f"the training did not end: {self.people['scientist'].said[-20:]}")
        if self._left:
            raise AssertionError(f"README has this no more: {sorted(self._left)}")
        self.do("scientist", f"COLUMNS = {COLUMNS!r}\n{JUDGED}")
        right, most = map(float, (self.folder / "judged").read_text().split())
        return right, most

    def close(self) -> None:
        """End all that was started."""
        for terminal in reversed(self.terminals):
            terminal.close()
        for person in self.people.values():
            person.close()


def main() -> int:
    """0 where the model is useful and there in time."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        write_files(Path(name))
        reader = Reader(Path(name))
        try:
            right, most = reader.read()
        finally:
            reader.close()
    seconds = time.monotonic() - begun
    print(
        f"newcomer: {seconds:.0f} s from installation to a model that is right about {right:.0%} "
        f"of rows that it has not seen (guessing: {most:.0%})"
    )
    return int(right < max(0.8, most + 0.15) or seconds > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
