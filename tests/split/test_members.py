"""Members of a split network, without Domains: what crosses has its norm and its noise, and nothing else does."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from syft_ext.errors import BadRequest, Conflict, GridError, ProtocolAborted
from syft_ext.messages.split_terms import Crossing, SplitTerms
from syft_ext.mpc.reader import carry
from syft_ext.mpc.seals import Frame, Seals
from syft_ext.plans.ir import Plan
from syft_ext.split.crossing import Border, batches_of
from syft_ext.split.member import SplitMember
from syft_ext.split.reader import SplitReader
from syft_ext.vertical.split_plans import bottom_plan, leaves_of, parts_of, top_plan
from tests.split.pooled import WIDTH, modules, pooled, terms

LR = 0.3
TRANSCRIPT = bytes(32)


def rows(many: int = 20) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"x0": torch.randn(many, 2), "x1": torch.randn(many, 1), "y": torch.randn(many, 1)}


def turn(member: SplitMember) -> Any:
    return lambda frames: (member.advance(frames), member.finished)


@cache
def _plans(own: bool, lr: float | None) -> tuple[Plan, Plan]:
    bottom, mine, top = modules(own)
    columns = 1 if own else 0
    made = top_plan(parts_of(top, mine), columns, WIDTH, lr, nn.functional.mse_loss, 1)
    return bottom_plan(bottom, 2, WIDTH, lr), made


class Run:
    """Both members and whoever asks, in one process; ``crossed``: what was opened at its receiver, by sender."""

    def __init__(self, own: bool = True, data: dict[str, torch.Tensor] | None = None, **fields: Any) -> None:
        self.data, made = data or rows(), modules(own)
        parts = parts_of(made[2], made[1])
        lr = None if fields.get("task") == "predict" else LR
        plans = list(_plans(own, lr))
        self.reader = SplitReader()
        self.terms: SplitTerms = terms(
            plans=[each.id for each in plans], rows=len(self.data["y"]), reader=self.reader.key, **fields
        )
        given: list[dict[str, torch.Tensor]] = [{"x": self.data["x0"]}, {}]
        if own:
            given[1]["x"] = self.data["x1"]
        if lr is not None:
            given[1]["y"] = self.data["y"]
        for place, module in ((0, made[0]), (1, parts)):
            given[place] |= {f"params.{number}": each for number, each in enumerate(leaves_of(module))}
        self.plans, self.given = plans, given
        self.members = [SplitMember(place, self.terms, plans[place], given[place]) for place in (0, 1)]
        self.keys = [each.public_key for each in self.members]
        self.crossed: dict[int, list[torch.Tensor]] = {0: [], 1: []}
        for member in self.members:
            member.begin(self.keys, TRANSCRIPT)
            self._watch(member)

    def _watch(self, member: SplitMember) -> None:
        seals = member._seals
        assert seals is not None
        opened = seals.open

        def watched(frame: Frame) -> bytes:
            data = opened(frame)
            found = torch.frombuffer(bytearray(data), dtype=torch.float32) if data else torch.zeros(0)
            self.crossed[frame.sender].append(found.reshape(-1, WIDTH))
            return data

        seals.open = watched  # type: ignore[method-assign]

    def run(self) -> dict[str, torch.Tensor]:
        frames = carry([turn(each) for each in self.members])
        return self.reader.opened(frames, self.keys, TRANSCRIPT, self.terms)


@pytest.mark.parametrize("own", [True, False])
def test_it_equals_torch_over_uneven_batches(own: bool) -> None:
    run = Run(own, epochs=7, seed=3, opened=["loss"])
    assert run.terms.batches == 21  # the last one of each time has four rows
    found = run.run()
    bottom, parts, means = pooled(run.terms, modules(own), run.data, LR)
    for member, module in zip(run.members, (bottom, parts), strict=True):
        for number, right in enumerate(module.parameters()):
            assert float((member.kept()[str(number)] - right.detach()).abs().max()) < 1e-5
    assert np.allclose(found["loss"].tolist(), means, atol=1e-5)
    assert [len(each) for each in run.crossed[0]] == [8, 8, 4] * 7 == [len(each) for each in run.crossed[1]]


def test_the_other_party_may_have_the_label() -> None:
    made = modules(own=False)
    plans = list(reversed(_plans(False, LR)))
    agreed = terms(plans=[each.id for each in plans], top=0)
    data = rows()
    given = [
        {"y": data["y"], **{f"params.{i}": each for i, each in enumerate(leaves_of(made[2]))}},
        {"x": data["x0"], **{f"params.{i}": each for i, each in enumerate(leaves_of(made[0]))}},
    ]
    members = [SplitMember(place, agreed, plans[place], given[place]) for place in (0, 1)]
    for member in members:
        member.begin([each.public_key for each in members], TRANSCRIPT)
    first, second = members
    carry([turn(first), turn(second)])
    bottom, parts, _ = pooled(agreed, modules(own=False), data, LR)
    for member, module in ((first, parts), (second, bottom)):
        for number, right in enumerate(module.parameters()):
            assert float((member.kept()[str(number)] - right.detach()).abs().max()) < 1e-5


def test_each_time_has_another_order_and_all_rows_once() -> None:
    agreed = terms(rows=50, batch=16, epochs=3, seed=9)
    orders = [
        torch.cat([places for epoch, places in batches_of(agreed) if epoch == each]) for each in range(3)
    ]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert not torch.equal(orders[0], orders[1]) and not torch.equal(orders[1], orders[2])
    assert orders[0].tolist()[:6] == [35, 39, 9, 2, 30, 6]  # at every party, whatever its libraries are
    predicting = terms(rows=50, batch=16, task="predict")
    assert torch.cat([places for _, places in batches_of(predicting)]).tolist() == list(range(50))


def test_what_crosses_is_clipped_at_its_receiver() -> None:
    run = Run(activations=Crossing(clip=0.5), gradients=Crossing(clip=0.01))
    run.run()
    for sender, clip in ((0, 0.5), (1, 0.01)):
        norms = torch.cat(run.crossed[sender]).norm(dim=1)
        assert float(norms.max()) <= clip * (1 + 1e-6) and float(norms.max()) > 0.99 * clip
    plain = Run()
    plain.run()
    assert float(plain.crossed[0][0].norm(dim=1).max()) > 0.5  # there was something to clip
    small = plain.crossed[1][0].norm(dim=1) < 0.01
    assert bool(small.any())


def test_what_crosses_has_the_noise_that_is_said_at_its_receiver() -> None:
    """Rows that are all alike: what differs from their clipped value is noise."""
    many = 600
    data = {"x0": torch.ones(many, 2), "x1": torch.ones(many, 1), "y": torch.ones(many, 1)}
    clip, multiplier = 0.5, 2.0
    noisy = Crossing(clip=clip, noise_multiplier=multiplier)
    run = Run(data=data, batch=many, activations=noisy, gradients=Crossing(clip=clip, noise_multiplier=0.5))
    run.run()
    with torch.no_grad():
        raw = modules()[0](data["x0"])
    expected = raw * (clip / raw.norm(dim=1, keepdim=True)).clamp(max=1.0)
    noise = (run.crossed[0][0] - expected).double().flatten()
    count, deviation = noise.numel(), clip * multiplier
    assert abs(float(noise.mean())) < 5 * deviation / count**0.5
    # The variance of a normal sample is off by √(2/n) of itself.
    assert abs(float(noise.var()) / deviation**2 - 1) < 5 * (2 / count) ** 0.5
    assert float(run.crossed[1][0].double().std()) == pytest.approx(0.25, rel=0.2)
    steps = run.crossed[0][0].double() * 2.0**24
    assert torch.equal(steps, steps.round())  # on the grid: nothing of the last bits is left
    again = Run(data=data, batch=many, activations=noisy)
    again.run()
    assert not torch.equal(again.crossed[0][0], run.crossed[0][0])  # nobody makes the same noise again


def test_rows_that_are_not_finite() -> None:
    bad = torch.tensor([[1.0, float("nan")], [0.5, 0.0]])
    with pytest.raises(ProtocolAborted, match="not finite"):
        Border(Crossing())(bad)
    with pytest.raises(ProtocolAborted, match="not finite"):
        Border(Crossing(clip=1.0))(bad)
    found = Border(Crossing(clip=1.0, noise_multiplier=1e-3))(
        bad
    )  # that they are would be told without noise
    assert bool(torch.isfinite(found).all()) and float(found[0].abs().max()) < 0.1


def test_a_prediction_sends_nothing_back() -> None:
    run = Run(task="predict", batch=7, opened=["predictions"])
    found = run.run()["predictions"]
    assert found.shape == (20, 1) and torch.equal(run.members[1].kept()["predictions"], found)
    assert run.members[0].kept() == {}
    assert sum(each.numel() for each in run.crossed[1]) == 0 and len(run.crossed[1]) == 3
    hidden = Run(task="predict", batch=7)
    assert hidden.run() == {} and torch.equal(hidden.members[1].kept()["predictions"], found)


def other_side(run: Run, place: int) -> Seals:
    """The seals of the party across, as one that does not follow the protocol has them."""
    member = run.members[1 - place]
    everybody = [*run.keys, bytes.fromhex(run.terms.reader)]
    return Seals(1 - place, member._secret, everybody, TRANSCRIPT)


@pytest.mark.parametrize("size", [0, 4 * WIDTH * 7, 4 * WIDTH * 9])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_not_of_the_size_of_a_batch_ends_it(place: int, size: int) -> None:
    run = Run()
    member = run.members[place]
    member.advance([])
    with pytest.raises(ProtocolAborted, match="size of a batch"):
        member.advance([other_side(run, place).seal(place, bytes(size))])
    with pytest.raises(ProtocolAborted, match="given up"):
        member.advance([])
    with pytest.raises(Conflict):
        member.kept()


def test_what_else_ends_it() -> None:
    run = Run()
    run.members[1].advance([])
    bad = np.full((8, WIDTH), np.inf, dtype=np.float32).tobytes()
    with pytest.raises(ProtocolAborted, match="not finite"):
        run.members[1].advance([other_side(run, 1).seal(1, bad)])
    run = Run()
    (first,) = run.members[0].advance([])
    changed = Frame(first.sender, first.receiver, first.number, first.data[:-1] + bytes([first.data[-1] ^ 1]))
    with pytest.raises(ProtocolAborted):
        run.members[1].advance([changed])
    run = Run(task="predict")
    run.members[0].advance([])
    with pytest.raises(ProtocolAborted, match="came back in a prediction"):
        run.members[0].advance([other_side(run, 0).seal(0, bytes(4 * WIDTH))])
    run = Run()
    with pytest.raises(ProtocolAborted, match="begun already"):
        run.members[0].begin(run.keys, TRANSCRIPT)
    fresh = SplitMember(0, run.terms, run.plans[0], run.given[0])
    with pytest.raises(ProtocolAborted, match="has not begun"):
        fresh.advance([])
    with pytest.raises(ProtocolAborted, match="another key"):
        fresh.begin(run.keys, TRANSCRIPT)
    run.run()
    with pytest.raises(Conflict, match="has finished"):
        run.members[0].advance([])


def test_a_member_takes_its_own_plan_and_rows_alone() -> None:
    run = Run()
    with pytest.raises(BadRequest, match="another plan"):
        SplitMember(1, run.terms, run.plans[0], run.given[0])
    for changed in ({"x": run.data["x0"][:-1]}, {"gradients": torch.zeros(20, WIDTH)}, {"z": torch.zeros(1)}):
        with pytest.raises(GridError):
            SplitMember(0, run.terms, run.plans[0], {**run.given[0], **changed})
    without = {name: each for name, each in run.given[0].items() if name != "params.1"}
    with pytest.raises(BadRequest, match="given nothing"):
        SplitMember(0, run.terms, run.plans[0], without)


def test_a_reader_takes_what_the_terms_open_and_nothing_else() -> None:
    run = Run(opened=["loss"])
    frames = carry([turn(each) for each in run.members])
    for wrong in ([], frames * 2):
        with pytest.raises(ProtocolAborted):
            run.reader.opened(wrong, run.keys, TRANSCRIPT, run.terms)
    silent = terms(reader=run.reader.key)
    with pytest.raises(ProtocolAborted, match="something else"):
        run.reader.opened(frames, run.keys, TRANSCRIPT, silent)
