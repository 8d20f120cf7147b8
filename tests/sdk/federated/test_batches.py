"""The default local training: which rows, in which order, with what in each input of the plan."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from syft_ext.errors import DataMismatch, InvalidConfig, InvalidPlan, InvalidTensors
from syft_ext.federated.batches import PlanTrainer, training_plan_of
from syft_ext.federated.local_data import matched_rows
from syft_ext.plans import Plan, make_plan
from syft_ext.plans.training.training_plan import Account, TrainingPlan
from syft_ext.transport.backoff import Backoff

X = torch.arange(20, dtype=torch.float32).reshape(10, 2)
Y = torch.arange(10, dtype=torch.float32)


def downloaded(plan: Plan) -> TrainingPlan:
    plan = TrainingPlan.loads(plan.dumps())
    plan.account = Account()
    return plan


@pytest.fixture(scope="module")
def summing() -> TrainingPlan:
    """Adds what it was given to its parameters, so that the result tells which rows came, with what."""

    def training_plan(
        x: Any = torch.zeros(4, 2),
        y: Any = torch.zeros(4),
        lr: float = 0.5,
        params: Any = (torch.zeros(2), torch.zeros(1)),
    ) -> Any:
        return y.mean(), lr * 1.0, params[0] + x.sum(0), params[1] + lr

    return downloaded(make_plan(training_plan))


def job_of(plan: TrainingPlan, **config: Any) -> Any:
    plan.account = Account()
    model = [torch.zeros(2), torch.zeros(1)]
    return SimpleNamespace(
        plans={"training_plan": plan},
        model=model,
        client_config=config,
        cycle=3,
        emit_progress=lambda n: None,
        hides_failures=False,
    )


def test_without_a_batch_size_all_rows_are_one_batch(summing: TrainingPlan) -> None:
    job = job_of(summing)
    total, rates = PlanTrainer(X, Y)(job)
    assert total.tolist() == X.sum(0).tolist()
    assert rates.item() == pytest.approx(0.5)  # the plan's own default
    assert (summing.account.updates, summing.account.samples) == (1, 10)  # type: ignore[union-attr]


def test_batches_epochs_and_hyper_parameters_come_from_the_configuration(summing: TrainingPlan) -> None:
    job = job_of(summing, batch_size=4, epochs=2, lr=0.25)
    total, rates = PlanTrainer(X, Y, seed=1)(job)
    assert total.tolist() == (2 * X.sum(0)).tolist()  # every row twice, the last batch of 2 rows included
    assert rates.item() == pytest.approx(6 * 0.25)


def test_max_updates_ends_the_cycle(summing: TrainingPlan) -> None:
    _, rates = PlanTrainer(X, Y, seed=1)(job_of(summing, batch_size=2, max_updates=3, lr=1.0))
    assert rates.item() == 3


def test_the_seed_makes_the_order_reproducible_and_each_cycle_another(summing: TrainingPlan) -> None:
    def first_batch(seed: int | None, cycle: int = 3) -> list[float]:
        job = job_of(summing, batch_size=3, max_updates=1)
        job.cycle = cycle
        return PlanTrainer(X, Y, seed=seed)(job)[0].tolist()

    assert first_batch(5) == first_batch(5)
    assert len({tuple(first_batch(5, cycle)) for cycle in range(8)}) > 4
    assert len({tuple(first_batch(None)) for _ in range(8)}) > 4


def test_unshuffled_is_in_order(summing: TrainingPlan) -> None:
    job = job_of(summing, batch_size=2, max_updates=1, shuffle=False)
    assert PlanTrainer(X, Y)(job)[0].tolist() == X[:2].sum(0).tolist()


def test_the_account_weighs_by_batch(summing: TrainingPlan) -> None:
    PlanTrainer(X, Y)(job_of(summing, batch_size=4))
    account = summing.account
    assert account is not None
    assert account.loss == pytest.approx(Y.mean().item())
    assert (account.updates, account.samples) == (3, 10)


def test_labels_become_one_hot_where_the_plan_wants_columns() -> None:
    def training_plan(
        xs: Any = torch.zeros(4, 2),
        ys: Any = torch.zeros(4, 3, dtype=torch.int64),
        params: Any = (torch.zeros(3),),
    ) -> Any:
        return xs.sum(), [params[0] + ys.sum(0)]

    plan = downloaded(make_plan(training_plan))
    job = SimpleNamespace(
        plans={"p": plan},
        model=[torch.zeros(3)],
        client_config={},
        cycle=1,
        emit_progress=lambda n: None,
        hides_failures=False,
    )
    (counts,) = PlanTrainer(X, torch.tensor([0, 0, 1, 2, 2, 2, 0, 0, 0, 0]))(job)  # type: ignore[arg-type]
    assert counts.tolist() == [6, 1, 3]


def test_a_fixed_batch_size_of_the_plan_drops_the_rest() -> None:
    def training_plan(
        features: Any = torch.zeros(4, 2), target: Any = torch.zeros(4), params: Any = (torch.zeros(1),)
    ) -> Any:
        return target.sum(), [params[0] + features.reshape(8).mean() * 0 + 1]

    plan = downloaded(make_plan(symbols={})(training_plan))
    job = SimpleNamespace(
        plans={"p": plan},
        model=[torch.zeros(1)],
        client_config={},
        cycle=1,
        emit_progress=lambda n: None,
        hides_failures=False,
    )
    (count,) = PlanTrainer(X, Y)(job)  # type: ignore[arg-type]
    assert count.item() == 2  # batches of exactly 4 out of 10 rows
    with pytest.raises(InvalidTensors, match="exactly 4"):
        PlanTrainer(X[:3], Y[:3])(job)  # type: ignore[arg-type]


def test_optimiser_state_begins_at_zero_and_goes_from_step_to_step() -> None:
    def training_plan(
        x: Any = torch.zeros(4, 2),
        y: Any = torch.zeros(4),
        params: Any = (torch.zeros(2, 2),),
        momentum_buffer: Any = (torch.zeros(3),),
    ) -> Any:
        state = momentum_buffer[0] + 1
        return y.mean() + x.mean(), [params[0] + state.sum()], [state]

    plan = downloaded(make_plan(training_plan))
    assert [item.role for item in plan.outputs] == ["metric", "param", "state"]
    job = SimpleNamespace(
        plans={"p": plan}, model=[torch.zeros(2, 2)], client_config={"batch_size": 5}, cycle=1,
        emit_progress=lambda n: None, hides_failures=False,
    )  # fmt: skip
    for _ in range(2):  # each cycle begins anew
        (result,) = PlanTrainer(X, Y)(job)  # type: ignore[arg-type]
        assert result[0, 0].item() == 3 + 6


def test_a_seed_input_changes_from_step_to_step_and_cycle_to_cycle() -> None:
    seen: list[int] = []

    def training_plan(
        x: Any = torch.zeros(4, 2), y: Any = torch.zeros(4), seed: Any = 0, params: Any = (torch.zeros(2),)
    ) -> Any:
        return y.mean() + x.mean(), [params[0] + seed]

    plan = downloaded(make_plan(training_plan))
    for cycle in (1, 2):
        job = job_of(plan, batch_size=5)
        job.cycle, job.model = cycle, [torch.zeros(2)]
        seen.append(int(PlanTrainer(X, Y, seed=0)(job)[0][0].item()))
    assert len(set(seen)) == 2


def test_each_site_draws_otherwise_and_the_same_again() -> None:
    """Sites that drop the same units learn one network, and their mean hides it."""

    def training_plan(
        x: Any = torch.zeros(4, 2),
        y: Any = torch.zeros(4),
        seed: Any = 0,
        params: Any = (torch.zeros(2).long(),),
    ) -> Any:
        return y.mean() + x.mean(), [params[0] + seed]

    plan = downloaded(make_plan(training_plan))

    def drawn(site: str, seed: int | None = None, cycle: int = 1) -> int:
        job = job_of(plan, batch_size=10)
        job.cycle, job.model = cycle, [torch.zeros(2).long()]
        return int(PlanTrainer(X, Y, seed=seed, site=site)(job)[0][0])

    choices = [(site, seed, cycle) for site in ("a", "b") for seed in (None, 1, 2) for cycle in (1, 2, 3)]
    assert len({drawn(*choice) for choice in choices}) == len(choices)
    assert [drawn(*choice) for choice in choices] == [drawn(*choice) for choice in choices]


def test_rows_are_counted_once_in_loops_of_ones_own_too() -> None:
    account = Account()
    for _ in range(30):
        account.see(X[:5])
        account.see(X[5:10])
    assert (account.rows, account.largest) == (10, 5)
    account.see(X[:0])
    account.see(torch.zeros(3, 0))
    assert account.rows == 11, "rows of no numbers are all the same"
    for dtype in (torch.uint8, torch.bool, torch.float16, torch.int64):
        account = Account()
        account.see(torch.arange(7).reshape(7, 1).repeat(1, 3).to(dtype))
        assert account.rows == (2 if dtype is torch.bool else 7)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"batch_size": 2.5}, "batch_size"),
        ({"epochs": -1}, "epochs"),
        ({"lr": "high"}, "lr"),
        ({"max_updates": "x"}, "max_updates"),
    ],
)
def test_a_configuration_that_makes_no_sense_names_the_field(
    summing: TrainingPlan, config: dict[str, Any], name: str
) -> None:
    with pytest.raises(InvalidConfig, match=name):
        PlanTrainer(X, Y)(job_of(summing, **config))


def test_a_model_of_another_length_than_the_plan_is_refused(summing: TrainingPlan) -> None:
    job = job_of(summing)
    job.model = [torch.zeros(2)]
    with pytest.raises(InvalidPlan, match="2 parameters"):
        PlanTrainer(X, Y)(job)


def test_samples_and_targets_must_be_as_many() -> None:
    with pytest.raises(InvalidTensors):
        PlanTrainer(X, Y[:3])
    with pytest.raises(InvalidTensors):
        PlanTrainer(X[:0], Y[:0])


def test_the_plan_to_train_with_must_be_clear(summing: TrainingPlan) -> None:
    assert training_plan_of({"a": summing}) is summing
    assert training_plan_of({"a": summing, "training_plan": summing}) is summing
    with pytest.raises(InvalidPlan):
        training_plan_of({"a": summing, "b": summing})
    with pytest.raises(InvalidPlan):
        training_plan_of({})


def test_delays_grow_to_the_cap_and_are_spread() -> None:
    backoff = Backoff(base=0.2, cap=2.0)
    delays = [backoff.next_delay() for _ in range(200)]
    assert all(0.1 <= delay <= 2.0 for delay in delays)
    assert max(delays[:2]) <= 0.4
    assert max(delays[10:]) > 1.0
    assert len(set(delays[10:])) > 100
    backoff.reset()
    assert backoff.next_delay() <= 0.2


def _plan_of(ys: torch.Tensor, **options: Any) -> TrainingPlan:
    def training_plan(xs: Any = torch.zeros(4, 2), ys: Any = ys, params: Any = (torch.zeros(1),)) -> Any:
        return xs.sum(), [params[0] + ys.sum()]

    return downloaded(make_plan(**options)(training_plan) if options else make_plan(training_plan))


def _learned(plan: TrainingPlan, y: torch.Tensor, **config: Any) -> float:
    job = job_of(plan, **config)
    job.model = [torch.zeros(1)]
    return float(PlanTrainer(X, y)(job)[0].item())


def test_labels_are_not_reshaped() -> None:
    column, row = _plan_of(torch.zeros(4, 1)), _plan_of(torch.zeros(4))
    zeros = torch.zeros(10, dtype=torch.int64)
    one_of_each, none = r"takes \[N, 1\], the data are \[N\]", r"takes \[N\], the data are \[N, 1\]"
    for labels in (zeros, zeros.float(), zeros.to(torch.uint8)):
        with pytest.raises(InvalidTensors, match=one_of_each + r": hand over ys.reshape\(-1, 1\)"):
            _learned(column, labels)
        assert _learned(column, labels.reshape(-1, 1)) == 0.0
        with pytest.raises(InvalidTensors, match=none + r": hand over ys.reshape\(-1\)"):
            _learned(row, labels.reshape(-1, 1))
    with pytest.raises(InvalidTensors, match=r"takes \[N, 3\], the data are \[N, 2\]"):
        _learned(_plan_of(torch.zeros(4, 3)), torch.zeros(10, 2))


def test_values_are_not_rounded_to_what_the_plan_takes() -> None:
    whole = _plan_of(torch.zeros(4, dtype=torch.int64))
    assert _learned(whole, torch.full((10,), 2.0)) == 20.0
    for wrong in (torch.full((10,), 0.5), torch.tensor([float("nan")] * 10)):
        with pytest.raises(InvalidPlan, match="does not hold all values") as caught:
            _learned(whole, wrong)
        assert caught.value.extra["reason"] == "values"
    with pytest.raises(InvalidPlan, match="does not hold all values"):
        _learned(_plan_of(torch.zeros(4)), torch.full((10,), 2**53 + 1))
    with pytest.raises(InvalidPlan, match="does not hold all values"):
        _learned(_plan_of(torch.zeros(4)), torch.full((10,), 1e300, dtype=torch.float64))


def test_a_name_that_nothing_reads_is_refused(summing: TrainingPlan) -> None:
    with pytest.raises(InvalidConfig, match="did you mean 'epochs'"):
        PlanTrainer(X, Y)(job_of(summing, epoch=2))
    assert PlanTrainer(X, Y)(job_of(summing, custom={"mine": 1}, name="t", version="1"))


def test_the_last_batch(summing: TrainingPlan) -> None:
    def steps(plan: TrainingPlan, **config: Any) -> int:
        job = job_of(plan, **config)
        PlanTrainer(X, Y)(job)
        assert plan.account is not None
        return plan.account.updates

    assert steps(summing, batch_size=4) == 3
    assert steps(summing, batch_size=4, drop_last=True) == 2
    with pytest.raises(InvalidTensors, match="exactly 11, there are 10"):
        steps(summing, batch_size=11, drop_last=True)

    def pairs(
        x: Any = torch.zeros(4, 2), y: Any = torch.zeros(4), params: Any = (torch.zeros(2), torch.zeros(1))
    ) -> Any:
        return y.mean(), params[0] + x.squeeze().sum(0), params[1] + y.mean()

    plan = downloaded(make_plan(pairs))
    assert plan.symbols == {"B": (2, 65536)}
    with pytest.raises(InvalidTensors, match=r"2 to 65536, and the last one has 1 of 10 samples: drop_last"):
        steps(plan, batch_size=3)
    assert steps(plan, batch_size=3, drop_last=True) == 3


SECONDS = 1.7e9 + torch.arange(10, dtype=torch.float64)[:, None] * torch.tensor([1.0, 1e8])


def test_what_varies_is_not_rounded_away_beside_a_column_of_another_size(summing: TrainingPlan) -> None:
    """Seconds within a minute are one number in single precision, however much the next column varies."""
    with pytest.raises(InvalidPlan, match="does not hold all values"):
        PlanTrainer(SECONDS, Y)(job_of(summing))
    total, _ = PlanTrainer(SECONDS - 1.7e9, Y.double())(job_of(summing))
    assert total.tolist() == pytest.approx((SECONDS - 1.7e9).sum(0).tolist(), rel=1e-6)
    with pytest.raises(DataMismatch, match="would round away what varies"):
        matched_rows(None, (SECONDS.numpy(), Y.numpy()), None, print)
    x, _ = matched_rows(None, ((SECONDS - 1.7e9).numpy(), Y.numpy()), None, print)
    assert x.dtype is torch.float32
