"""DP-SGD as a plan: what one step does, who draws its noise, and that the ε which is stated is true of what
ran."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch

from grid.governance.plans.inputs import describe
from grid.worker.sandboxed import complete
from syft_ext.dp.learning import make_dp_sgd_plan
from syft_ext.errors import BadRequest, InvalidPlan
from syft_ext.federated.batches import PlanTrainer
from syft_ext.plans import Plan
from syft_ext.plans.checking.noise import drawn_noise, refuse_noise
from syft_ext.plans.checking.validate import validate
from syft_ext.plans.graph.document import Const
from syft_ext.plans.training.private_steps import check_private_steps, noise_multiplier_of
from syft_ext.plans.training.training_plan import Account, TrainingPlan
from syft_ext.privacy.renyi import ORDERS, GaussianAccount
from tests.privacy.dp_sgd_canary import audit, audited_plan, stated

Flat = Sequence[torch.Tensor]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return audited_plan()


def model() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(2, 4, generator=random), torch.randn(2, generator=random)]


def job_of(plan: Plan, **config: Any) -> Any:
    loaded = TrainingPlan.loads(plan.dumps())
    loaded.account, loaded.sandbox = Account(), False
    return SimpleNamespace(
        plans={"training_plan": loaded}, model=model(), client_config=config, cycle=1, hides_failures=False,
        emit_progress=lambda n: None,
    )  # fmt: skip


def test_a_step_clips_each_row_and_adds_the_noise(plan: Plan) -> None:
    random = torch.Generator().manual_seed(2)
    xs, ys = torch.randn(9, 4, generator=random) * 3, torch.randint(0, 2, (9,), generator=random)
    noise = [torch.randn(each.shape, generator=random) for each in model()]
    flat = [xs, ys, *map(torch.tensor, (0.5, 0.7, 2.0)), *model(), *noise]
    loss, *stepped = plan.run(flat)
    weights, bias = (each.clone().requires_grad_() for each in model())
    sums = [torch.zeros(2, 4), torch.zeros(2)]
    losses = []
    for x, y in zip(xs, ys, strict=True):
        one = torch.nn.functional.cross_entropy((weights @ x + bias)[None], y[None])
        gradients = torch.autograd.grad(one, (weights, bias))
        norm = torch.cat([each.flatten() for each in gradients]).norm()
        factor = min(1.0, 0.7 / float(norm))
        sums = [total + factor * each for total, each in zip(sums, gradients, strict=True)]
        losses.append(float(one.detach()))
    parts = zip(model(), sums, noise, strict=True)
    expected = [old - 0.5 * (total + 2.0 * 0.7 * drawn) / 9 for old, total, drawn in parts]
    for found, wanted in zip(stepped, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert float(loss) == pytest.approx(sum(losses) / 9, rel=1e-4)


def test_noise_is_the_executors(plan: Plan) -> None:
    given = {"xs": torch.zeros(3, 4), "ys": torch.zeros(3, dtype=torch.int64), "params": model()}
    first, second = plan(**given), plan(**given)
    assert not torch.equal(first[1], second[1]), "drawn at every run"
    with pytest.raises(InvalidPlan, match="noise is noise: it is drawn where the plan runs"):
        plan(**given, noise=[torch.zeros(2, 4), torch.zeros(2)])
    with pytest.raises(InvalidPlan, match="only a participant of a training"):
        refuse_noise(plan.document)
    with pytest.raises(InvalidPlan, match="only a participant of a training"):
        complete(plan, {})
    with pytest.raises(BadRequest, match="only participants of a training"):
        describe(None, None, b"", "", plan.document, {}, None)  # type: ignore[arg-type]
    item = next(each for each in plan.inputs if each.role == "noise")
    many = msgspec.structs.replace(item, shape=[200_000])
    drawn = drawn_noise(many).double()
    assert abs(float(drawn.mean())) < 0.02 and abs(float(drawn.std()) - 1) < 0.02
    assert float(drawn.abs().max()) > 3.5 and not torch.equal(drawn, drawn_noise(many).double())


def test_noise_of_no_size_or_with_a_default_is_refused(plan: Plan) -> None:
    at = next(index for index, each in enumerate(plan.inputs) if each.role == "noise")
    for change in (
        {"default": Const("f32", [2, 4], bytes(32))},
        {"dtype": "i64"},
        {"shape": [["sym", "B"], 4]},
    ):
        inputs = list(plan.inputs)
        inputs[at] = msgspec.structs.replace(inputs[at], **change)  # type: ignore[arg-type]
        with pytest.raises(InvalidPlan, match="noise"):
            validate(msgspec.structs.replace(plan.document, inputs=inputs))


def test_the_account_is_dp_accountings(plan: Plan) -> None:
    dp_accounting = pytest.importorskip("dp_accounting")
    from dp_accounting import rdp

    chance = Random(3)
    for _ in range(40):
        ours, theirs = GaussianAccount(), rdp.RdpAccountant(orders=ORDERS)
        for _ in range(chance.randint(1, 6)):
            multiplier, steps = 2 ** chance.uniform(-1, 6), chance.choice((1, 3, 200))
            ours.compose(multiplier, steps)
            event = dp_accounting.GaussianDpEvent(multiplier)
            theirs.compose(dp_accounting.SelfComposedDpEvent(event, steps))
        delta = 10 ** -chance.uniform(3, 9)
        assert ours.epsilon(delta) == pytest.approx(theirs.get_epsilon(delta), rel=1e-6, abs=1e-6)
    for bad in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="delta"):
            GaussianAccount().epsilon(bad)
    with pytest.raises(ValueError, match="have noise"):
        GaussianAccount().compose(0.0, 1)


def test_what_ran_is_what_is_accounted(plan: Plan) -> None:
    xs, ys = torch.randn(10, 4), torch.randint(0, 2, (10,))
    trainer = PlanTrainer(xs, ys, seed=0)
    job = job_of(plan, epochs=3, batch_size=4, noise_multiplier=1.5)
    trainer(job)
    assert trainer.privacy.steps == {1.5: 3} and job.plans["training_plan"].account.privacy is trainer.privacy
    # 4 of 3 steps an epoch: one row at least was in two of them, and none in more.
    trainer(job_of(plan, epochs=3, batch_size=4, max_updates=4, noise_multiplier=1.5))
    assert trainer.privacy.steps == {1.5: 5}
    trainer(job_of(plan, noise_multiplier=4.0))
    account = GaussianAccount()
    account.compose(1.5, 5)
    account.compose(4.0, 1)
    assert trainer.privacy.epsilon(1e-6) == account.epsilon(1e-6)
    for none in (0.0, 1e-200, -1.0, float("nan")):
        with pytest.raises(InvalidPlan, match="a number above 0"):
            trainer(job_of(plan, noise_multiplier=none))


def test_a_plan_is_tried_again_with_other_options(plan: Plan) -> None:
    trainer = PlanTrainer(torch.randn(10, 4), torch.randint(0, 2, (10,)), seed=0)
    trainer(job_of(plan, noise_multiplier=1.5, lr=0.1))
    with pytest.raises(InvalidPlan, match="does not add it"):
        trainer(job_of(plan, noise_multiplier=1.5, lr=0.0))
    assert trainer.privacy.steps == {1.5: 1}


def test_nothing_that_gets_no_noise_is_reported(plan: Plan) -> None:
    job = job_of(plan, noise_multiplier=1.5)
    PlanTrainer(torch.randn(10, 4), torch.randint(0, 2, (10,)), seed=0)(job)
    account = job.plans["training_plan"].account
    assert account.updates == 1 and account.loss is None and account.accuracy is None
    for role in ("buffer", "state"):
        outputs = list(plan.document.outputs)
        outputs[0] = msgspec.structs.replace(outputs[0], role=role)
        document: Any = SimpleNamespace(document=msgspec.structs.replace(plan.document, outputs=outputs))
        with pytest.raises(InvalidPlan, match="gets no noise"):
            check_private_steps(document, {}, 2.0, plan.run)


def test_noise_that_does_not_cover_a_row_is_found(plan: Plan) -> None:
    values = dict(enumerate([torch.tensor(0.5), torch.tensor(1.0), torch.tensor(2.0), *model()], start=2))
    assert noise_multiplier_of(plan.document, {}) == 1.0
    check_private_steps(plan, values, 2.0)
    noise = [index for index, each in enumerate(plan.inputs) if each.role == "noise"]

    def without(flat: Flat) -> Flat:
        return plan.run([torch.zeros_like(each) if i in noise else each for i, each in enumerate(flat)])

    def some(flat: Flat) -> Flat:
        return plan.run([torch.zeros_like(each) if i == noise[0] else each for i, each in enumerate(flat)])

    def unclipped(flat: Flat) -> Flat:
        wide = list(flat)
        wide[3], wide[4] = flat[3] * 50, flat[4] / 50  # the norm is fifty times what the noise is made for
        return plan.run(wide)

    def large(flat: Flat) -> Flat:  # noise as large as nobody draws
        return plan.run([each * (each.abs() > 100) if i in noise else each for i, each in enumerate(flat)])

    for run in (without, some, large):
        with pytest.raises(InvalidPlan, match="does not add it to every parameter alike"):
            check_private_steps(plan, values, 2.0, run)

    def of_targets(flat: Flat) -> Flat:
        loss, weights, *rest = plan.run(flat)
        return [loss, weights + 50 * flat[1][0], *rest]

    for run in (unclipped, of_targets):
        with pytest.raises(InvalidPlan, match="by more than the plan's noise is made for"):
            check_private_steps(plan, values, 2.0, run)


def test_what_depends_on_the_class_is_found_however_few_the_author_shows() -> None:
    """The examples of a plan are its author's: all of one class, they must not hide what the others do."""
    one = torch.ones(6, dtype=torch.int64)
    plan = make_dp_sgd_plan(torch.nn.Linear(4, 2), torch.linspace(-1, 1, 24).reshape(6, 4), one, lr=0.5)
    values = dict(enumerate([torch.tensor(0.5), torch.tensor(1.0), torch.tensor(2.0), *model()], start=2))

    def of_targets(flat: Flat) -> Flat:
        loss, weights, *rest = plan.run(flat)
        return [loss, weights + 50 * flat[1][0], *rest]

    plan.sandbox = False
    own = {0: torch.zeros(3, 4), 1: torch.tensor([1, 0, 1])}
    check_private_steps(plan, values, 2.0, rows=own)
    with pytest.raises(InvalidPlan, match="by more than the plan's noise is made for"):
        check_private_steps(plan, values, 2.0, of_targets, rows=own)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_that_the_model_is_sure_of_hides_nothing(plan: Plan, sign: int) -> None:
    """A model that is right about an absurd row learns nothing of it: the opposite row is tried as well."""
    values = [
        torch.tensor(0.5),
        torch.tensor(1.0),
        torch.tensor(2.0),
        *(50.0 * sign * each for each in model()),
    ]
    by_place = dict(enumerate(values, start=2))

    def unclipped(flat: Flat) -> Flat:
        return plan.run([*flat[:3], flat[3] * 50, flat[4] / 50, *flat[5:]])

    check_private_steps(plan, by_place, 2.0)
    with pytest.raises(InvalidPlan, match="by more than the plan's noise is made for"):
        check_private_steps(plan, by_place, 2.0, unclipped)


def test_rows_of_numbers_are_tried_in_part() -> None:
    class Counts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, xs: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.layer(xs.float())
            return out

    xs, ys = torch.arange(18).reshape(6, 3) % 5, torch.tensor([0, 1, 0, 1, 0, 1])
    plan = make_dp_sgd_plan(Counts(), xs, ys, lr=0.5)
    plan.sandbox = False
    trainer = PlanTrainer(torch.arange(9000).reshape(3000, 3) % 7, torch.arange(3000) % 2, seed=0)
    job = job_of(plan, noise_multiplier=1.5)
    job.model = [torch.full((2, 3), 0.1), torch.zeros(2)]
    trainer(job)
    assert trainer.privacy.steps == {1.5: 1}


def test_the_canary_stays_below_what_is_stated(plan: Plan) -> None:
    assert 0 < audit(plan, 240, 2, 0.6, 1e-6, seed=1) < stated(0.6, 2, 1e-6)


def test_too_little_noise_is_found_by_the_canary(plan: Plan) -> None:
    assert audit(plan, 240, 2, 0.05, 1e-6, seed=1) > stated(5.0, 2, 1e-6)
