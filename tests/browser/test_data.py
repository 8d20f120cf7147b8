"""A page reads a table as Python does: the same numbers, or a refusal at both."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import syft_ext as sy
from syft_ext.errors import GridError
from syft_ext.federated.inputs import match, site_data
from tests.browser.node import GRID_JS, needs_node

CASES = 400
CELLS = [
    *("1", "-2", "3.25", " 7 ", "0.1", "1e3", "-0", ".5", "5.", "+3", "0", "2.5e-3", "119", "120.0000001", "1E2"),
    *("", "NA", "nan", "N/A", "null", "x", "1_000", "1,5", "1 000", "--1", "1e", "e5", "inf", "-Infinity"),
    *("9007199254740993", "0.30000000000000004", "0.1234567890123456789", "123456789012345678.5", "16777217"),
    *("1e400", "1e-320"),
]  # fmt: skip
WORDS = ["north", "South", " north ", "south", "", "NA", "östlich", "a,b", 'say "hi"', "north\n", "0"]


def column(draw: random.Random, name: str) -> Any:
    if draw.random() < 0.35:
        return sy.CategoryColumn(
            name=name,
            categories=draw.sample(["north", "south", "South", "östlich", "a,b", 'say "hi"'], 3),
            one_hot=draw.random() < 0.5,
            missing=draw.choice(["drop", "refuse"]),
        )
    by_site = draw.random() < 0.2
    return sy.NumberColumn(
        name=name,
        whole=draw.random() < 0.3,
        low=draw.choice([None, 0.0, 0.1]),
        high=draw.choice([None, 120.0]),
        outside=draw.choice(["drop", "refuse"]),
        missing=draw.choice(["drop", "refuse"]),
        centre=0.0 if by_site else draw.choice([0.0, 0.0, 50.0, 0.1]),
        scale=1.0 if by_site else draw.choice([1.0, 1.0, 20.0, 3.0]),
        scaling="by-site" if by_site else "declared",
    )


def case(seed: int) -> tuple[sy.TableInputs, str]:
    draw = random.Random(seed)
    names = ["age", "radius mm", "ward"][: draw.randint(1, 3)]
    inputs = sy.TableInputs(
        columns=[column(draw, name) for name in names],
        label=sy.CategoryColumn(name="label", categories=["no", "yes"]),
    )
    # Most cells are good ones, else no case has rows left.
    good = CELLS[:13] if draw.random() < 0.7 else CELLS
    words = WORDS[:4] if draw.random() < 0.7 else WORDS
    out = io.StringIO()
    writer = csv.writer(out, delimiter=draw.choice([",", ";"]), lineterminator=draw.choice(["\n", "\r\n"]))
    order = [*inputs.columns, inputs.label]
    draw.shuffle(order)
    writer.writerow([each.name for each in order] + ["other"])
    for _ in range(draw.randint(0, 6)):
        row = []
        for each in order:
            if each.name == "label":
                row.append(draw.choice(["no", "yes"]))
            else:
                row.append(draw.choice(words if isinstance(each, sy.CategoryColumn) else good))
        writer.writerow([*row, "a;b,c"])
    return inputs, out.getvalue()


def declared(inputs: sy.TableInputs) -> dict[str, Any]:
    """As the page reads a declaration: with its defaults, and names as TypeScript has them."""

    def of(each: Any) -> dict[str, Any]:
        fields = {name: getattr(each, name) for name in each.__struct_fields__}
        if "one_hot" in fields:
            return {"kind": "category", **fields, "oneHot": fields.pop("one_hot")}
        return {"kind": "number", **fields}

    return {"form": "table", "columns": [of(each) for each in inputs.columns], "label": of(inputs.label)}


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    needs_node()
    script = GRID_JS / "build" / "match.mjs"
    esbuild = GRID_JS / "node_modules" / ".bin" / "esbuild"
    bundle = ["test/page/match.ts", "--bundle", "--platform=node", "--format=esm", f"--outfile={script}"]
    made = subprocess.run(
        [esbuild, *bundle, "--log-level=warning"], cwd=GRID_JS, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    cases = [case(seed) for seed in range(CASES)]
    given = json.dumps(
        [{"inputs": declared(inputs), "name": "a.csv", "text": text} for inputs, text in cases]
    )
    done = subprocess.run(["node", script], input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_every_table_is_the_same_rows_or_none(answers: list[dict[str, Any]], tmp_path: Path) -> None:
    read = refused = 0
    for seed, answer in enumerate(answers):
        inputs, text = case(seed)
        file = tmp_path / "a.csv"
        file.write_text(text, encoding="utf-8", newline="")
        try:
            rows = match(inputs, site_data(file))
        except GridError as error:
            refused += 1
            assert "problems" in answer, f"seed {seed}: Python says {error.detail}\n{text}"
            continue
        read += 1
        assert "problems" not in answer, f"seed {seed}: {answer}\n{text}\n{msgspec.to_builtins(inputs)}"
        assert len(rows) == answer["rows"], seed
        x = np.frombuffer(bytes(answer["x"]), np.float32).reshape(rows.x.shape)
        by_site = any(getattr(each, "scaling", "") == "by-site" for each in inputs.columns)
        # Means over rows are summed in another order.
        same = np.allclose(x, rows.x, rtol=1e-6, atol=1e-6) if by_site else np.array_equal(x, rows.x)
        assert same, seed  # a whole number's -0 is 0 in Python
        assert bytes(answer["y"]) == rows.y.tobytes(), seed
    assert read > CASES / 6 and refused > CASES / 6, (read, refused)
