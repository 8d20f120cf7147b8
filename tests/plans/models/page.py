"""Makes docs/models.md: traces a step of every model, and compares it with PyTorch's.

python -m tests.plans.models.page            # write it
python -m tests.plans.models.page --check    # say whether it is what is found (two to five minutes)
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from syft_ext.plans.tracing.errors import TraceError

from .graphs import GRAPHS
from .language import LANGUAGE
from .losses import LOSSES
from .sequences import SEQUENCES
from .stepping import plain_step, recorded, run
from .tabular import TABULAR
from .vision import VISION
from .zoo import Case

__all__ = ["GROUPS", "PAGE", "lines_of", "page", "row"]

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
RTOL, ATOL = 1e-4, 1e-5
GROUPS = {
    "Tables, and times to events": TABULAR,
    "Pictures and volumes": VISION,
    "Sequences": SEQUENCES,
    "Language, sound, pictures: transformers": LANGUAGE,
    "Graphs: torch_geometric": GRAPHS,
    "Losses, and steps of more than one model": LOSSES,
}
_HEAD = """# Models and losses that go through

`python -m tests.plans.models.page` wrote this page; `tests/plans/models` holds it to what is found. For each, a
training step of a small model (loss, gradients, Adam), written as in `tests/plans/models`, was recorded as a plan,
and run beside the same step in PyTorch: loss, parameters and running statistics agree to {rtol:g} of a number, or
{atol:g}. Those that draw random numbers are compared by the tracer, which lets both draw the same.

**Rows**: how many samples a step may have. Batch norm of single numbers needs two; a graph is one input, and its
sizes are those of the example. **Refused** names what to write instead.

Models of timm, torchvision and monai are written out; those of transformers and torch_geometric are theirs, made
by small configurations.
"""


def row(name: str, case: Case) -> str:
    """The line of the table. Raises AssertionError where the plan computes something else than PyTorch."""
    try:
        plan, model = recorded(case)
    except TraceError as error:
        assert error.extra.get("line"), f"{name}: names no line of its author's"
        return f"| {name} | refused | | {error.extra['hint']} |"
    if not case.draws:
        for found, expected in zip(run(plan, case, model), plain_step(case), strict=True):
            torch.testing.assert_close(
                found, expected, rtol=RTOL, atol=ATOL, msg=lambda text: f"{name}: {text}"
            )
    low = plan.symbols["B"][0] if plan.symbols else None
    rows = "as traced" if low is None else f"{low} or more"
    notes = [case.note, "drawn" if case.draws else ""]
    return f"| {name} | goes | {rows} | {'; '.join(filter(None, notes))} |"


def page() -> str:
    """The whole page."""
    parts = [_HEAD.format(rtol=RTOL, atol=ATOL)]
    for title, cases in GROUPS.items():
        table = [f"## {title}\n", "| | Recorded | Rows | |", "|---|---|---|---|"]
        for name, case in cases.items():
            table.append(row(name, case))
            print(table[-1], file=sys.stderr, flush=True)
        parts.append("\n".join(table) + "\n")
    return "\n".join(parts)


def lines_of(text: str) -> dict[str, str]:
    """Name → line of the tables of a page."""
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    return {line.split("|")[1].strip(): line for line in lines}


def main(arguments: list[str]) -> int:
    torch.set_num_threads(1)
    made = page()
    if arguments == ["--check"]:
        same = PAGE.read_text() == made
        print("docs/models.md is what is found" if same else "docs/models.md is not what is found")
        return 0 if same else 1
    PAGE.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
