"""What a run may cost is the machine's owner's to say, and who is refused reads what to raise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import syft_ext as sy
from apps.domain.app import build
from grid.config import DomainSettings, WorkerSettings, plan_limits
from grid.worker.sandboxed import SandboxedPlans
from syft_ext.errors import InvalidPlan
from syft_ext.federated.job_client import load_checked
from syft_ext.plans import Limits, Plan, trace
from syft_ext.plans.checking.propagate import propagate
from syft_ext.plans.graph.document import Document
from syft_ext.plans.tracing.decorator import _record, _Signature
from syft_ext.plans.tracing.optim import adam
from syft_ext.plans.tracing.surroundings import Surroundings

WORDS, WIDTH, LAYERS, HEADS, LENGTH = 30_522, 768, 12, 12, 128


class Base(nn.Module):
    """With the parameters and arithmetic of BERT-base; its layers stand side by side, which is recorded sooner."""

    def __init__(self) -> None:
        super().__init__()
        shapes = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(LAYERS, *shape)) for shape in shapes)
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Parameter(torch.empty(LENGTH, WIDTH))
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        qkv, out, wide, narrow = self.weights
        h = (self.words(x) + self.places).flatten(0, 1).expand(LAYERS, -1, -1)
        q, k, v = (h @ qkv).view(LAYERS, *x.shape, 3, HEADS, -1).movedim(3, 0).transpose(-3, -2)
        seen = (q @ k.transpose(-2, -1) / 8).softmax(-1) @ v
        h = h + seen.transpose(-3, -2).reshape(h.shape) @ out
        h = h + F.gelu(h @ wide) @ narrow
        return self.head(h.sum(0).view(*x.shape, WIDTH)[:, 0])


def adam_step_of_bert_base() -> Document:
    """Recorded and not run: nothing of its gigabytes is ever written to."""
    with torch.device("meta"):
        model = Base()
    model.to_empty(device="cpu")
    names = [name for name, _ in model.named_parameters()]

    def step(
        xs: Tensor, ys: Tensor, params: Sequence[Tensor], m: Sequence[Tensor], v: Sequence[Tensor], t: Tensor
    ) -> Any:
        leaves = [p.detach().requires_grad_() for p in params]
        logits = torch.func.functional_call(model, dict(zip(names, leaves, strict=True)), (xs,))
        grads = torch.autograd.grad(F.cross_entropy(logits, ys), leaves)
        new, m, v, t = adam(leaves, grads, m, v, t, 1e-4)
        return [*new, *m, *v, t]

    zeros = [torch.zeros_like(p, requires_grad=False) for p in model.parameters()]
    rows = (torch.zeros(8, LENGTH, dtype=torch.long), torch.zeros(8, dtype=torch.long))
    given = (*(sy.Batch(x) for x in rows), sy.Param(model), sy.State(zeros), sy.State(zeros), sy.State(0.0))
    signature = _Signature.of(step, given, {}, {})
    document, _ = _record(step, signature, signature.sizes, {}, None, None, {}, Surroundings(step))
    return document


def test_a_step_of_bert_base_with_adam_needs_an_owner_who_allows_it() -> None:
    step = adam_step_of_bert_base()
    count = 108_000_000  # parameters
    with pytest.raises(InvalidPlan, match=r"owner can raise it: plan_bytes of a Domain or Worker") as caught:
        propagate(step, {"B": 8}, Limits())
    assert caught.value.extra["limit"] == "max_bytes" and caught.value.extra["setting"] == "plan_bytes"
    owner = WorkerSettings(plan_bytes=12 << 30, plan_output_bytes=2 << 30)
    cost = propagate(step, {"B": 8}, plan_limits(owner)).cost
    assert cost.output_bytes > 3 * 4 * count and cost.peak_bytes > 6 * 4 * count
    with pytest.raises(InvalidPlan, match="plan_output_bytes"):
        propagate(step, {"B": 8}, Limits(max_bytes=12 << 30))


LIMITED = {
    "plan_operations": 2,
    "plan_bytes": 1 << 20,
    "plan_elements": 1000,
    "plan_flops": 1000,
    "plan_output_bytes": 1000,
}


def heavy() -> Plan:
    return trace(lambda x: ((x @ x) * 2 + 1).exp(), torch.ones(600, 600))


@pytest.mark.parametrize("setting", LIMITED)
def test_each_setting_is_a_limit_and_names_itself(setting: str) -> None:
    for settings in (
        DomainSettings(**{setting: LIMITED[setting]}),
        WorkerSettings(**{setting: LIMITED[setting]}),
    ):
        with pytest.raises(InvalidPlan, match=rf"{LIMITED[setting]:,}.*{setting} of a Domain"):
            heavy().check(plan_limits(settings))


def test_a_domain_checks_plans_by_its_settings(tmp_path: Path) -> None:
    domain = build(tmp_path, DomainSettings(plan_operations=2))
    try:
        with (
            domain.plan_processes.of("somebody") as process,
            pytest.raises(InvalidPlan, match="plan_operations of a Domain"),
        ):
            process.prove(heavy().dumps())
    finally:
        domain.stop()


def test_a_worker_and_a_client_have_limits_of_their_own() -> None:
    data = heavy().dumps()
    strict = plan_limits(WorkerSettings(plan_flops=1000))
    plans = SandboxedPlans(seconds=60, memory=4 << 30, limits=strict)
    with pytest.raises(InvalidPlan, match="plan_flops of a Domain or Worker"):
        plans.load(data)
    plans.close()
    with pytest.raises(InvalidPlan, match="FLClient"):
        load_checked(data, Limits(max_flops=1000), sandbox=False)
    client = sy.FLClient("localhost:1", plan_limits=strict)
    job = client.new_job("a", "1")
    with pytest.raises(InvalidPlan, match="FLClient"):
        job._load(data)
    client.close()
