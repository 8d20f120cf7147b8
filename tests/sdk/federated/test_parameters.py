"""Parameters as lists that know their names, and the difference that a report carries."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from syft_ext.errors import InvalidTensors
from syft_ext.federated import Parameters, StepResult
from syft_ext.plans.training.parameters import named_parameters, parameter_diff, parameter_pairs
from syft_ext.tensors import encode_tensors


def net() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


def test_a_module_gives_its_parameters_in_order_without_buffers() -> None:
    module = net()
    named = named_parameters(module)
    assert list(named) == [name for name, _ in module.named_parameters()]
    assert not any(tensor.requires_grad for tensor in named.values())


@pytest.mark.parametrize(
    "form",
    [
        lambda m: list(m.parameters()),
        lambda m: tuple(m.parameters()),
        lambda m: m.parameters(),
        lambda m: dict(m.named_parameters()),
        lambda m: Parameters(m.parameters()),
        lambda m: StepResult(list(m.parameters()), {}, None),
        lambda m: m,
    ],
)
def test_every_form_of_a_model_has_the_same_tensors(form: Any) -> None:
    module = net()
    for left, right in zip(named_parameters(form(module)).values(), module.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("model", [[], {}, torch.zeros(2), 3, [1.0], {"a": "b"}])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(InvalidTensors):
        named_parameters(model)


def test_a_file_becomes_parameters_and_goes_into_a_module() -> None:
    source, target = net(), net()
    data = bytearray(encode_tensors(dict(source.named_parameters())))
    parameters = Parameters.loads(data, checkpoint=7, digest="ab")
    assert (parameters.checkpoint, parameters.digest, len(parameters)) == (7, "ab", 6)
    assert parameters.load_into(target) is target
    for left, right in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(left, right)
    assert list(parameters.state_dict()) == [name for name, _ in source.named_parameters()]
    other = net()
    Parameters(parameters).load_into(other)  # without names: by order
    assert torch.equal(other[2].weight, source[2].weight)


def test_what_does_not_fit_changes_nothing() -> None:
    module = net()
    before = module[0].weight.clone()
    wrong = Parameters([torch.ones_like(p) for p in list(module.parameters())[:-1]] + [torch.ones(5)])
    with pytest.raises(InvalidTensors):
        wrong.load_into(module)
    assert torch.equal(before, module[0].weight)


def test_parameters_show_names_and_shapes() -> None:
    parameters = Parameters([torch.zeros(2, 3), torch.tensor(1)], ["<w>", "n"], checkpoint=3)
    assert "2×3" in repr(parameters)
    assert "checkpoint 3" in repr(parameters)
    assert "&lt;w&gt;" in parameters._repr_html_()


def test_the_difference_is_base_minus_trained_in_any_form() -> None:
    base = Parameters([torch.tensor([1.0, 2.0]), torch.tensor([5])], ["w", "n"])
    expected = {"w": [0.5, 1.0], "n": [2]}
    trained = {"n": torch.tensor([3]), "w": torch.tensor([0.5, 1.0])}
    for form in (trained, [trained["w"], trained["n"]]):
        assert {name: tensor.tolist() for name, tensor in parameter_diff(base, form).items()} == expected


@pytest.mark.parametrize(
    "trained",
    [
        [torch.zeros(2)],
        [torch.zeros(3), torch.zeros(1)],
        [torch.zeros(2, dtype=torch.float64), torch.zeros(1)],
    ],
)
def test_a_difference_of_other_shapes_or_types_is_refused(trained: Any) -> None:
    with pytest.raises(InvalidTensors):
        parameter_diff(Parameters([torch.zeros(2), torch.zeros(1)]), trained)


def test_booleans_cannot_be_averaged() -> None:
    with pytest.raises(InvalidTensors, match="boolean"):
        parameter_diff(Parameters([torch.tensor([True])]), [torch.tensor([False])])


def test_a_module_reports_its_buffers_where_the_model_has_them() -> None:
    module = torch.nn.BatchNorm1d(2)
    base = Parameters([torch.zeros(2), torch.zeros(2)], ["weight", "running_mean"])
    pairs = parameter_pairs(base, module_with(module, 3.0))
    assert {name: after.tolist() for name, (_, after) in pairs.items()} == {
        "weight": [1.0, 1.0],
        "running_mean": [3.0, 3.0],
    }


def module_with(module: torch.nn.BatchNorm1d, mean: float) -> torch.nn.Module:
    assert module.running_mean is not None
    module.running_mean.fill_(mean)
    module.register_parameter("bias", None)
    return module


def test_names_that_are_partly_the_models_are_not_taken_by_their_place() -> None:
    base = Parameters([torch.zeros(2), torch.ones(2)], ["a", "b"])
    with pytest.raises(InvalidTensors, match="'a' are not given; given are beside them 'c'"):
        parameter_diff(base, {"b": torch.zeros(2), "c": torch.ones(2)})
    prefixed = parameter_diff(base, {"module.a": torch.zeros(2), "module.b": torch.ones(2)})
    assert [tensor.tolist() for tensor in prefixed.values()] == [[0, 0], [0, 0]]
