"""Whoever is asked for a computed value reads how it was computed: a row times one is no mean."""

from __future__ import annotations

import pytest
import torch

import syft_ext as sy
from grid.compute.lineage import MAX_LINES, MAX_NOTED, Lineage
from syft_ext.messages.compute import Call, Load, Put, RunPlan
from syft_ext.messages.requests import GetRequest
from tests.pointers.site import Site, seeded


def computed(site: Site, pointer: sy.RemoteTensor) -> str:
    """What the owner of the data reads of a request for it."""
    request = pointer.request("please")
    text: str = site.owner.requests[request.id].view.computed
    shown = " ".join(repr(site.owner.requests[request.id]).split())
    assert all(step.strip() in shown for step in text.splitlines() if len(step) < 70), "no step is cut off"
    assert site.sue.call(GetRequest(request_id=request.id)).computed == "", "it is for those who decide"
    return text


def test_a_row_does_not_look_like_a_mean(north: Site) -> None:
    stored = north.share(seeded(8, 3), description="blood pressure")
    table = north.sue.pointer(stored.id)
    mean, row = computed(north, table.mean(0)), computed(north, table[5] * 1)
    for text in (mean, row):
        assert f"%0 = load {stored.id} ('blood pressure')" in text
        assert "\n  kept: %" in text
    assert "mean" in mean and "select" not in mean
    assert "select.int(%0, 0, 5)" in row and "mul" in row and "mean" not in row
    assert "look at: select.int can pick out single rows or values" in row and "look at" not in mean


def test_a_detour_through_a_stored_object_shows(north: Site) -> None:
    table = north.lend(seeded(8, 3))
    kept = north.owner.requests[(table[2] + 0).request("one row").id].view.object_id
    north.sue.store.describe(kept).update(description="the mean of the table")
    text = computed(north, north.sue.pointer(kept) * 2)
    assert text.index("select.int(%0, 0, 2)") < text.index("mul.Tensor("), (
        "what it was computed from comes first"
    )
    assert f"load {kept} ('the mean of the table')" in text, "a name is a quotation"


def test_no_number_of_detours_hides_the_first_step(north: Site) -> None:
    value = north.lend(seeded(8, 3))[2] + 0
    for _ in range(8):
        kept = north.owner.requests[value.request("a mean").id].view.object_id
        value = north.sue.pointer(kept) * 1
    assert "select.int(%0, 0, 2)" in computed(north, value)


def test_ones_own_values_and_plans_are_named(north: Site) -> None:
    @sy.make_plan
    def scaled(x: torch.Tensor = torch.zeros(4), w: torch.Tensor = torch.zeros(4)) -> torch.Tensor:
        return (x * w).sum()

    there = seeded(4).send(north.sue)  # type: ignore[attr-defined]
    result = scaled(north.lend(seeded(4)), there)
    text = computed(north, result)
    assert f"plan {scaled.id[:12]}(" in text and "which runs" in text and "mul" in text


def test_what_is_no_longer_noted_is_said_to_be_unknown() -> None:
    lineage = Lineage()
    lineage.note(Call([7], "aten.neg.default", [["r", 3]], {}), [7])
    assert lineage.text([7], {}).splitlines() == [
        "%0 = not known: computed before this node last started, or too long ago",
        "%1 = neg(%0)",
        "kept: %1",
    ]


def test_a_long_computation_shows_where_it_begins_and_ends() -> None:
    lineage = Lineage()
    lineage.note(Load(0, "ab" * 16, "age"), [0])
    for value in range(1, 5000):
        lineage.note(Call([value], "aten.add.Tensor", [["r", value - 1], ["r", value - 1]], {}), [value])
    lines = lineage.text([4999], {}).splitlines()
    assert len(lines) == MAX_LINES + 2 and lines[0].startswith("%0 = load abab")
    cut = 5000 - MAX_LINES
    assert lines[MAX_LINES // 2] == f"… {cut} steps are not shown: {cut} × add.Tensor …"
    assert lines[-2:] == ["%4999 = add.Tensor(%4998, %4998)", "kept: %4999"]


def test_a_session_notes_so_many_actions_and_no_more() -> None:
    lineage = Lineage()
    for value in range(MAX_NOTED + 10):
        lineage.note(Put(value, "f32", [1], 0), [value])
    assert "not known" in lineage.text([3], {})
    assert "own f32[1]" in lineage.text([MAX_NOTED], {})


@pytest.mark.parametrize("width", [1, 3])
def test_an_action_with_several_results_is_one_line(width: int) -> None:
    lineage = Lineage()
    outs = list(range(1, width + 1))
    lineage.note(Load(0, "cd" * 16), [0])
    lineage.note(RunPlan(outs, "ef" * 32, [0]), outs)
    lines = lineage.text([outs[-1]], {"ef" * 32: ["aten.mul.Tensor", "aten.add.Tensor"]}).splitlines()
    assert len(lines) == 3 and lines[1].endswith("plan efefefefefef(%0), which runs add.Tensor, mul.Tensor")


def test_only_what_is_behind_a_value_is_pointed_at() -> None:
    lineage = Lineage()
    lineage.note(Load(0, "ab" * 16), [0])
    lineage.note(Call([1], "aten.mean.dim", [["r", 0], ["l", 0]], {}), [1])
    lineage.note(RunPlan([2], "cd" * 32, [0]), [2])
    plans = {"cd" * 32: ["aten.select.int"], "ef" * 32: ["aten.sort.default"]}
    assert "look at" not in lineage.text([1], plans)
    assert lineage.text([2], plans).endswith("look at: select.int can pick out single rows or values")
