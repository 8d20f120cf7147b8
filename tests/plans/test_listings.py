"""Listings 4, 5 and 7 of the paper, with their imports changed and nothing else, and the notebook behind them."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th

from syft_ext.plans import ROOT_CLIENT, Int, List, Module, Plan, make_plan, set_remote_model_params

bs, classes_num = 64, 10


class MLP(Module):
    """The model of the original notebook: hand-written loss and backward."""

    def __init__(self, torch_ref: Any) -> None:
        super().__init__(torch_ref=torch_ref)
        self.l1 = self.torch_ref.nn.Linear(784, 100)
        self.a1 = self.torch_ref.nn.ReLU()
        self.l2 = self.torch_ref.nn.Linear(100, 10)

    def forward(self, x: Any) -> Any:
        self.z1_out = self.l1(x)
        self.a1_out = self.a1(self.z1_out)
        return self.l2(self.a1_out)

    def backward(self, X: Any, error: Any) -> Any:
        z1_grad = (error @ self.l2.state_dict()["weight"]) * (self.a1_out > 0).float()
        return z1_grad.t() @ X, z1_grad.sum(0), error.t() @ self.a1_out, error.sum(0)

    def softmax_cross_entropy_with_logits(self, logits: Any, targets: Any, batch_size: Any) -> Any:
        probs = self.torch_ref.softmax(logits, dim=1)
        loss = -(targets * self.torch_ref.log(probs)).sum(dim=1).mean()
        loss_grad = (probs - targets) / batch_size
        return loss, loss_grad

    def accuracy(self, logits: Any, targets: Any, batch_size: Any) -> Any:
        pred = self.torch_ref.argmax(logits, dim=1)
        targets_idx = self.torch_ref.argmax(targets, dim=1)
        return pred.eq(targets_idx).sum().float() / batch_size


@pytest.fixture(scope="module")
def local_model() -> MLP:
    th.manual_seed(0)
    return MLP(th)


@pytest.fixture(scope="module")
def training_plan(local_model: MLP) -> Plan:
    model_params_zeros = List([th.nn.Parameter(th.zeros_like(param)) for param in local_model.parameters()])

    @make_plan
    def training_plan(
        xs=th.randn(bs, 28 * 28),
        ys=th.nn.functional.one_hot(
            th.randint(
                0,
                classes_num,
                [bs]), classes_num),
        batch_size=th.tensor([bs]),
        lr=th.tensor([0.1]),
        params=model_params_zeros,
    ):  # fmt: skip
        model = local_model.send(
            ROOT_CLIENT,
            send_parameters=False)  # fmt: skip
        set_remote_model_params(model.modules, params)
        # forward
        logits = model(xs)
        # loss
        loss, loss_grad = model.softmax_cross_entropy_with_logits(
            logits, ys, batch_size
        )  # fmt: skip
        # backward
        grads = model.backward(xs, loss_grad)
        # SGD step
        updated_params = tuple(
            param - lr * grad
            for param, grad in zip(  # noqa: B905
                model.parameters(),
                grads)
        )  # fmt: skip
        # accuracy
        acc = model.accuracy(logits, ys, batch_size)
        return (loss, acc, *updated_params)

    return Plan.loads(training_plan.dumps())


@pytest.fixture(scope="module")
def avg_plan(local_model: MLP) -> Plan:
    @make_plan
    def avg_plan(
        avg=List(local_model.parameters()),
        item=List(local_model.parameters()), num=Int(0)
    ):  # fmt: skip
        new_avg = []
        for i, param in enumerate(avg):  # noqa: B007
            new_avg.append(
                (avg[i] * num + item[i]) / (num + 1)
            )  # fmt: skip
        return new_avg

    return Plan.loads(avg_plan.dumps())


def batch(size: int) -> tuple[th.Tensor, th.Tensor]:
    return th.randn(size, 784), th.nn.functional.one_hot(th.randint(0, 10, [size]), 10)


def test_listing_4_trains_as_autograd_would(local_model: MLP, training_plan: Plan) -> None:
    params = [p.detach() for p in local_model.parameters()]
    xs, ys = batch(13)
    loss, acc, *updated = training_plan(xs=xs, ys=ys, params=params, batch_size=th.tensor([13]))
    expected = th.nn.functional.cross_entropy(local_model(xs), ys.argmax(1))
    grads = th.autograd.grad(expected, list(local_model.parameters()))
    th.testing.assert_close(loss, expected.detach())
    assert 0 <= float(acc) <= 1
    for param, grad, new in zip(params, grads, updated, strict=True):
        th.testing.assert_close(new, param - 0.1 * grad, rtol=1e-4, atol=1e-6)


def test_listing_4_declares_roles_and_keeps_defaults(training_plan: Plan) -> None:
    roles = {item.name: item.role for item in training_plan.inputs}
    assert roles == {
        "xs": "data",
        "ys": "target",
        "batch_size": "hyper",
        "lr": "hyper",
        **{f"params.{i}": "param" for i in range(4)},
    }
    assert [(o.role, o.name) for o in training_plan.outputs][:3] == [
        ("metric", "loss"),
        ("metric", "acc"),
        ("param", "updated_params.0"),
    ]
    assert {i.name for i in training_plan.inputs if i.default is not None} == {"batch_size", "lr"}
    assert training_plan.kind == "training" and training_plan.symbols == {"B": (1, 65536)}


def test_recording_leaves_the_local_model_alone(local_model: MLP, training_plan: Plan) -> None:
    assert not hasattr(local_model, "z1_out") or type(local_model.z1_out) is th.Tensor
    assert all(type(p) is th.nn.Parameter and p.grad is None for p in local_model.parameters())


def test_listing_5_averages_lists_with_a_counter(local_model: MLP, avg_plan: Plan) -> None:
    assert avg_plan.kind == "averaging"
    contributions = [[th.randn_like(p) for p in local_model.parameters()] for _ in range(4)]
    average = contributions[0]
    for number, item in enumerate(contributions[1:], start=1):
        count = number if number % 2 else th.tensor(number)
        average = avg_plan(average, item, count)  # a Python list in, a Python list out
    assert type(average) is list
    for i, result in enumerate(average):
        th.testing.assert_close(result, th.stack([c[i] for c in contributions]).mean(0))


def test_listing_7_unpacks_a_nested_result(local_model: MLP) -> None:
    zeros = List([th.zeros_like(p) for p in local_model.parameters()])

    @make_plan
    def training_plan(xs=th.randn(8, 784), ys=th.zeros(8, 10, dtype=th.int64), lr=0.1, params=zeros):
        model = local_model.send(ROOT_CLIENT, send_parameters=False)
        set_remote_model_params(model.modules, params)
        _, error = model.softmax_cross_entropy_with_logits(model(xs), ys, xs.shape[0])
        return ([p - lr * g for p, g in zip(model.parameters(), model.backward(xs, error), strict=True)],)

    model_params = [p.detach() for p in local_model.parameters()]
    for size in (8, 3):
        x, y = batch(size)
        (model_params,) = training_plan(xs=x, ys=y, params=model_params)
    assert [p.shape for p in model_params] == [p.shape for p in local_model.parameters()]
    assert {o.role for o in training_plan.outputs} == {"param"}


def test_the_notebook_with_autograd_and_data_assignments() -> None:
    """The second model of the original's tests: parameters sent along, p.data assigned, loss.backward()."""
    model = MLP(th)

    def cross_entropy_loss(logits: Any, targets: Any, batch_size: int) -> Any:
        norm_logits = logits - logits.max()
        log_probs = norm_logits - norm_logits.exp().sum(dim=1, keepdim=True).log()
        return -(targets * log_probs).sum() / batch_size

    @make_plan
    def train(
        xs=th.rand([96, 784]),
        ys=th.nn.functional.one_hot(th.randint(0, 10, [96]), 10),
        params=List(model.parameters()),
    ):
        remote = model.send(ROOT_CLIENT)
        for p, p_new in zip(remote.parameters(), params, strict=True):
            p.data = p_new.data
        indices = th.tensor(range(32, 64))
        x, y = xs.index_select(0, indices), ys.index_select(0, indices)
        cross_entropy_loss(remote(x), y, 32).backward()
        with ROOT_CLIENT.torch.no_grad():
            for p in remote.parameters():
                p.data = p.data - 0.1 * p.grad
                p.grad = th.zeros_like(p.grad)
        return (*remote.parameters(),)

    other = MLP(th)  # parameters that are not those sent along
    xs, ys = batch(96)
    updated = train(xs=xs, ys=ys, params=list(other.parameters()))
    cross_entropy_loss(other(xs[32:64]), ys[32:64], 32).backward()
    for new, p in zip(updated, other.parameters(), strict=True):
        assert p.grad is not None
        th.testing.assert_close(new, p.detach() - 0.1 * p.grad)


def test_modules_works_as_a_mapping_and_as_a_call(local_model: MLP) -> None:
    assert list(local_model.modules.keys()) == ["l1", "a1", "l2"]
    assert local_model.modules["l1"] is local_model.l1 and "l2" in local_model.modules
    assert [name for name, _ in local_model.modules.items()] == list(local_model.modules)
    assert local_model in list(local_model.modules()) and len(list(local_model.modules())) == 4
    local_model.eval()  # torch itself walks modules
    local_model.train()
