"""Plans that are asked to run on data at a Domain: sent, read by reviewers, run when approved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from syft_ext.client.transfer import download, upload
from syft_ext.errors import BadRequest
from syft_ext.messages.plan_facts import PlanCost, PlanInput, PlanOutput
from syft_ext.messages.plan_requests import (
    CreatePlanRequest,
    DownloadPlan,
    PlanInfluence,
    PlanReview,
    PlanRun,
    ReviewPlan,
    RunPlanRequest,
    TryPlan,
)
from syft_ext.messages.requests import RequestView
from syft_ext.messages.shared_terms import SharedTerms
from syft_ext.messages.split_terms import SplitTerms
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.plans.ir import Plan

__all__ = ["FinishedRun", "PlanUnderReview", "create_plan_request", "described", "run_plan", "values_file"]


class PlanUnderReview:
    """What a reviewer reads; fetched once."""

    def __init__(self, client: Caller, request_id: str) -> None:
        self.client, self.request_id = client, request_id
        self.review: PlanReview = client.call(ReviewPlan(request_id=request_id))

    @property
    def id(self) -> str:
        """The digest of its bytes: what is approved is what runs."""
        return self.review.facts.plan_id

    @property
    def name(self) -> str:
        """What its author called the plan: it says nothing of what it does."""
        return self.review.facts.name

    def text(self) -> str:
        """Every operation, in order, with what goes in and what comes out."""
        return readable(self.review.text, lines=True)

    def diff(self) -> str:
        """How it differs from the earlier plan on the same data (``review.earlier``); "" if it does not."""
        return readable(self.review.diff, lines=True)

    @property
    def cost(self) -> PlanCost | None:
        """What one run takes; None where the plan does not fit the data, or it is not yours to know."""
        return self.review.facts.cost

    @property
    def inputs(self) -> list[PlanInput]:
        """What goes into the plan, and which object each comes from."""
        return self.review.facts.inputs

    @property
    def outputs(self) -> list[PlanOutput]:
        """What would leave the Domain, with types and shapes."""
        return self.review.facts.outputs

    def influence(self) -> PlanInfluence:
        """What its results answer when single mock rows change: an aid to see copies of rows at a glance, and no
        proof. For those who decide on the request; runs the plan some hundred times at the Domain."""
        found: PlanInfluence = self.client.call(TryPlan(request_id=self.request_id))
        return found

    def load(self) -> Plan:
        """The plan itself, checked: to try it on a mock."""
        from syft_ext.plans.ir import Plan

        message = DownloadPlan(request_id=self.request_id)
        return Plan.loads(download(self.client, message, "plan")[1])

    def __repr__(self) -> str:
        facts = self.review.facts
        lines = [f"costs: {facts.cost or 'not yours to know'}"]
        if facts.shared is not None:
            lines.append(str(facts.shared))
        if facts.split is not None:
            lines.append(str(facts.split))
        if facts.problem:
            lines.append(f"does not fit: {facts.problem}")
        lines += ["is given:", *(f"  {described(each)}" for each in self.inputs)]
        if self.review.earlier:
            lines.append(f"compared with request {self.review.earlier}:")
        shown = [self.text(), *map(readable, lines)]
        if self.review.earlier:
            shown.append(self.diff() or "  the same plan")
        return "\n".join(shown)

    def _repr_html_(self) -> str:
        # The font is said here: Jupyter's own style sheet gives a <pre> of ours that of running text.
        style = "font-family:monospace;line-height:1.3"
        return f'<pre style="{style}">{escape(repr(self))}</pre>'


def described(given: PlanInput) -> str:
    """E.g. ``xs = biopsies: x (f32[400, 30])``."""
    shape = "" if given.shape is None else str(given.shape)
    what = given.object or given.object_id or given.source
    return f"{given.name} = {what}{'.' + given.tensor if given.tensor else ''} ({given.dtype}{shape})"


@dataclass(frozen=True)
class FinishedRun:
    """``results``: nested as the plan's function returns them. ``view``: what the Domain says of the run."""

    results: Any
    view: PlanRun


def create_plan_request(
    client: Caller,
    plan: Plan | bytes,
    inputs: Mapping[str, Any],
    reason: str,
    values: Mapping[str, Any],
    shared: SharedTerms | None = None,
    split: SplitTerms | None = None,
) -> RequestView:
    """See :meth:`syft_ext.client.requests.Requests.create_plan`."""
    from syft_ext.plans.ir import Plan

    plan = Plan.loads(plan) if isinstance(plan, bytes | bytearray | memoryview) else plan
    data = plan.dumps()
    given = [text for name, what in inputs.items() for text in _given(plan, name, what)]
    sent = values_file(plan, values)
    pieces = [data, *([sent] if sent else [])]
    message = CreatePlanRequest(inputs=given, plan_size=len(data), reason=reason, shared=shared, split=split)
    view: RequestView = upload(client, message, pieces, "plan")
    return view


def values_file(plan: Plan, values: Mapping[str, Any]) -> bytes:
    """The values that are sent with a plan, as a tensor file; b"" without any."""
    from syft_ext.tensors import encode_tensors

    sent = {leaf: tensor for name, value in values.items() for leaf, tensor in _values(plan, name, value)}
    return encode_tensors(sent) if sent else b""


def run_plan(client: Caller, request_id: str, **fields: Any) -> FinishedRun:
    """Run an approved plan; its results as the plan's function returns them."""
    from syft_ext.plans.ir import Plan
    from syft_ext.tensors import decode_tensors

    plan = Plan.loads(download(client, DownloadPlan(request_id=request_id), "plan")[1])
    view, content = download(client, RunPlanRequest(request_id=request_id, **fields), "results")
    tensors = decode_tensors(content)
    return FinishedRun(plan.nest([tensors[output.name] for output in plan.outputs]), view)


def _leaves(plan: Plan, name: str) -> list[str]:
    """The inputs that an argument stands for: itself, or ``name.0``, ``name.weight`` …"""
    found = [each.name for each in plan.inputs if each.name == name or each.name.startswith(f"{name}.")]
    if not found:
        known = ", ".join(argument.name for argument in plan.document.arguments)
        raise BadRequest(f"the plan takes no {name!r}; it takes: {known}")
    return found


def _given(plan: Plan, name: str, what: Any) -> list[str]:
    """The texts of one argument that is given an object."""
    what, tensor = what if isinstance(what, tuple) else (what, "")
    object_id = (
        what if isinstance(what, str) else getattr(what, "object_id", None) or getattr(what, "id", None)
    )
    if not isinstance(object_id, str) or not isinstance(tensor, str):
        raise BadRequest(f"argument {name}: an object at the Domain is needed, not {type(what).__name__}")
    if tensor or _leaves(plan, name) == [name]:
        return [f"{name}={object_id}" + (f":{tensor}" if tensor else "")]
    return [f"{leaf}={object_id}:{leaf[len(name) + 1 :]}" for leaf in _leaves(plan, name)]


def _values(plan: Plan, name: str, value: Any) -> list[tuple[str, Any]]:
    """The inputs of one argument that is given values, with their tensors."""
    import torch

    leaves = _leaves(plan, name)
    if leaves == [name]:
        parts = [value]
    else:
        parts = list(value.values()) if isinstance(value, Mapping) else list(value)
    if len(parts) != len(leaves):
        raise BadRequest(f"argument {name}: {len(leaves)} tensors are needed, not {len(parts)}")
    wanted = {each.name: each for each in plan.inputs}
    pairs = []
    for leaf, part in zip(leaves, parts, strict=True):
        from syft_ext.plans.graph.dtypes import DTYPES

        item = wanted[leaf]
        if not isinstance(part, torch.Tensor):
            part = torch.full([1] * len(item.shape), part, dtype=DTYPES[item.dtype])
        pairs.append((leaf, part.detach()))
    return pairs
