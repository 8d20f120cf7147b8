"""What a model's tensors are is declared when it is hosted, and is what leaves a participant by."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from syft_ext.errors import InvalidConfig, InvalidTensors
from syft_ext.federated.bounds import BoundedReports
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.plans import List, make_plan
from syft_ext.plans.training.kinds import kinds_of_model
from syft_ext.plans.training.parameters import Parameters, named_parameters, parameter_diff
from syft_ext.tensors import encode_tensors, kinds_metadata

NORM = {"1.running_mean": "statistic", "1.running_var": "variance", "1.num_batches_tracked": "counter"}


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def kinds(model: Any, plans: Any = (), **declared: Any) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    return kinds_of_model(model, named_parameters(model), plans, declared, said.append), said


def test_a_module_says_it_by_its_classes() -> None:
    model = network()
    model[0].bias.requires_grad = False
    model[1].register_buffer("mask", torch.tensor([True]))
    model[1].register_buffer("centre", torch.zeros(2))
    tensors = named_parameters(model) | {name: b.detach() for name, b in model.named_buffers()}
    found = kinds_of_model(model, tensors)
    assert found == NORM | {"0.bias": "constant", "1.mask": "constant", "1.centre": "statistic"}


def test_a_running_variance_by_another_class_is_no_variance_by_its_name() -> None:
    model = torch.nn.Linear(2, 2)
    model.register_buffer("running_var", torch.ones(2))
    tensors = named_parameters(model) | {"running_var": model.running_var}
    assert kinds_of_model(model, tensors) == {"running_var": "statistic"}


def test_a_state_dict_of_pytorch_is_read_and_that_is_said() -> None:
    found, said = kinds(network().state_dict())
    assert found == NORM
    (line,) = said
    assert "1.num_batches_tracked" in line and "tensor_kinds=" in line


def test_names_alone_are_no_norm() -> None:
    alone = {"running_var": torch.ones(2), "num_batches_tracked": torch.tensor(3)}
    assert kinds(alone) == ({}, [])
    other = {
        "running_mean": torch.ones(3),
        "running_var": torch.ones(2),
        "num_batches_tracked": torch.tensor(3),
    }
    assert kinds(other) == ({}, [])
    assert kinds({**other, "running_mean": torch.ones(2), "num_batches_tracked": torch.tensor(3.0)}) == (
        {},
        [],
    )


def test_frozen_parameters_are_constants_in_lists_and_mappings_too() -> None:
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    assert kinds([torch.zeros(1), frozen])[0] == {"1": "constant"}
    assert kinds({"w": torch.zeros(1), "f": frozen})[0] == {"f": "constant"}


def test_a_plan_says_which_of_the_tensors_are_its_buffers() -> None:
    @make_plan
    def plan(
        xs: Any = torch.randn(4, 1),
        lr: Any = torch.tensor(1.0),
        params: Any = List([torch.zeros(2)]),
        buffers: Any = List([torch.zeros(2), torch.tensor(0)]),
    ) -> Any:
        return (xs.mean(), params[0] - lr, buffers[0] + xs.mean(), buffers[1] + 1)

    model = [torch.zeros(2), torch.zeros(2), torch.tensor(0)]
    assert kinds(model, [b"opaque", plan])[0] == {"1": "statistic", "2": "counter"}
    assert kinds(model[:1], [plan])[0] == {}


def test_what_is_said_in_so_many_words_wins_and_is_checked() -> None:
    state = network().state_dict()
    found, said = kinds(state, **dict.fromkeys(list(NORM)[:2], "parameter"))
    assert found == {**NORM, "1.running_mean": "parameter", "1.running_var": "parameter"}
    assert "1.num_batches_tracked" in said[0] and "running_mean" not in said[0]
    for name, kind, text in (
        ("nothing", "counter", "no tensor 'nothing'"),
        ("0.weight", "buffer", "none of parameter"),
        ("1.num_batches_tracked", "parameter", "int64 cannot be a parameter"),
    ):
        with pytest.raises(InvalidConfig, match=text) as caught:
            kinds(state, **{name: kind})
        assert caught.value.extra["field"] == f"tensor_kinds.{name}"


def test_a_checkpoint_keeps_what_its_tensors_are() -> None:
    state = network().state_dict()
    found = Parameters.loads(encode_tensors(state, kinds_metadata(NORM)))  # type: ignore[arg-type]
    again = kinds_of_model(found, named_parameters(found))
    assert {name: again[name] for name in NORM} == NORM and found.clone().kinds == found.kinds


# -- what leaves ---------------------------------------------------------------------------------------


def base() -> Parameters:
    tensors = {
        "w": torch.zeros(4),
        "mean": torch.zeros(2),
        "var": torch.full((2,), 1e-6),
        "steps": torch.tensor(5),
        "frozen": torch.ones(3),
        "mask": torch.tensor([True, False]),
    }
    declared = {"mean": "statistic", "var": "variance", "frozen": "constant"}
    return Parameters.loads(encode_tensors(tensors, kinds_metadata(declared)))  # type: ignore[arg-type]


def moved(model: Parameters) -> dict[str, torch.Tensor]:
    return {n: t if t.dtype is torch.bool else t + 60 for n, t in model.state_dict().items()} | {
        "w": torch.full((4,), 0.25)
    }


@pytest.mark.parametrize("noise", [None, 1e-6])
def test_bounds_clip_parameters_alone_and_keep_the_rest_here(noise: float | None) -> None:
    model = base()
    reports = BoundedReports(WorkerBounds(clip_norm=1.0, noise_multiplier=noise), b"s" * 32)
    found = reports.difference(model, moved(model), "a question")
    torch.testing.assert_close(found.pop("w"), torch.full((4,), -0.25), atol=1e-4, rtol=0)
    assert all(not tensor.any() for tensor in found.values()), (
        "statistics are made of rows, and have no bound"
    )


def test_without_bounds_statistics_leave_and_constants_do_not() -> None:
    model = base()
    for found in (
        BoundedReports(None, b"s" * 32).difference(model, moved(model)),
        parameter_diff(model, moved(model)),
    ):
        assert found["mean"].tolist() == [-60, -60] and found["steps"].item() == -60
        assert not found["frozen"].any() and not found["mask"].any()
        assert found["mask"].dtype is torch.bool


def test_truth_values_that_have_changed_are_refused_by_name() -> None:
    model = base()
    with pytest.raises(InvalidTensors, match="'mask'"):
        parameter_diff(model, {**moved(model), "mask": torch.tensor([False, False])})
