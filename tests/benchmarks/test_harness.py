"""What the benchmarks share: the report of figures, and the options that all have."""

from __future__ import annotations

import argparse
import json
import math
import sys

import pytest

from benchmarks._harness import Report, Row, parse


def test_a_report_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    floor = report.add("floor", 2, "ms")
    ours = report.add("ours", 5.0, "ms", against=floor, target=4)
    report.add_ratio(ours, target=2.5)
    report.finish(as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "rows": [
            {
                "name": "floor",
                "value": 2.0,
                "unit": "ms",
                "against": None,
                "ratio": None,
                "target": None,
                "holds": None,
            },
            {
                "name": "ours",
                "value": 5.0,
                "unit": "ms",
                "against": "floor",
                "ratio": 2.5,
                "target": 4.0,
                "holds": False,
            },
            {
                "name": "ours ÷ floor",
                "value": 2.5,
                "unit": "×",
                "against": None,
                "ratio": None,
                "target": 2.5,
                "holds": True,
            },
        ]
    }


def test_without_json_a_report_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.add("floor", 2.0, "ms")
    report.finish(as_json=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("value", "unit", "target", "holds"),
    [
        (1.0, "s", None, None),
        (1.0, "s", 1.0, True),
        (1.1, "s", 1.0, False),
        (0.0, "files", 0.0, True),
        (1.0, "files", 0.0, False),
        (250.0, "reports/s", 250.0, True),
        (249.0, "reports/s", 250.0, False),
        (251.0, "× faster", 250.0, True),
        (251.0, "×", 250.0, False),
    ],
)
def test_a_target_is_the_most_or_in_some_units_the_least(
    value: float, unit: str, target: float | None, holds: bool | None
) -> None:
    assert Report().add("figure", value, unit, target=target).holds is holds


@pytest.mark.parametrize(
    ("value", "target"), [(math.nan, None), (math.inf, None), (1.0, math.nan), (1.0, -math.inf)]
)
def test_figures_and_targets_are_finite(value: float, target: float | None) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        Report().add("figure", value, "s", target=target)


def test_names_are_unique() -> None:
    report = Report()
    report.add("figure", 1.0, "s")
    with pytest.raises(ValueError, match="two rows are called 'figure'"):
        report.add("figure", 2.0, "s")


def test_a_peer_is_a_row_of_the_same_report_and_unit_and_not_0() -> None:
    report = Report()
    foreign, nothing = Row("floor", 1.0, "s"), report.add("nothing", 0.0, "s")
    seconds = report.add("seconds", 1.0, "s")
    for unit, peer in (("s", foreign), ("s", nothing), ("ms", seconds)):
        with pytest.raises(ValueError, match="cannot be measured against"):
            report.add("figure", 1.0, unit, against=peer)
    assert list(report.rows) == ["nothing", "seconds"], "a refused row is not kept"
    with pytest.raises(ValueError, match="not measured against anything"):
        report.add_ratio(seconds)


@pytest.mark.parametrize(
    ("line", "rounds"),
    [("", 40), ("--quick", 2), ("--quick --rounds 7", 7), ("--rounds 7 --json --quick", 7)],
)
def test_quick_sets_defaults_and_the_command_line_wins(
    line: str, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", *line.split()])
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    options = parse(parser, rounds=2)
    assert options == argparse.Namespace(rounds=rounds, quick="--quick" in line, json="--json" in line)
