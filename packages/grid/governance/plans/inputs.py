"""What each input of a plan is given, and what a reviewer is told of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.access.decision import allowed
from grid.access.viewer import Viewer
from grid.catalogue.tables import DatasetAsset, DatasetRow
from grid.catalogue.visibility import findable_by_every_user
from grid.governance.plans.files import dtype_of, find_tensor
from grid.governance.plans.review_sandbox import ReviewSandbox
from grid.governance.plans.split import fit_split
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import BadRequest
from syft_ext.messages.plan_facts import PlanCost, PlanFacts, PlanInput, PlanOutput
from syft_ext.messages.shared_terms import SharedTerms
from syft_ext.messages.split_terms import SplitTerms
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.expr import eval_shape
from syft_ext.split.fitting import check_plan, crossing_names
from syft_ext.store.content import MATCHED, TENSOR_KINDS
from syft_ext.tensors import Layout, header_size, read_layout

__all__ = ["GivenObject", "check_terms", "describe", "layout_of", "may_see_sizes", "parse"]


@dataclass(frozen=True, slots=True)
class GivenObject:
    """An object for an input: the tensor ``tensor`` of the content ``digest``; ``label`` as its author saw it."""

    object_id: str
    tensor: str
    digest: str = ""
    kind: str = ""
    label: str = ""


def parse(given: Sequence[str]) -> dict[str, GivenObject]:
    """``input=object_id[:tensor]`` texts. Raises :class:`BadRequest` for an input that is named twice."""
    found: dict[str, GivenObject] = {}
    for text in given:
        name, _, what = text.partition("=")
        object_id, _, tensor = what.partition(":")
        if name in found:
            raise BadRequest(f"input {name} is given two objects", field="inputs")
        found[name] = GivenObject(object_id, tensor)
    return found


def may_see_sizes(session: Session, viewer: Viewer, object_id: str, now: float) -> bool:
    """Whether the viewer is shown an object's shape and the names in it without asking for a plan."""
    if viewer.manager or allowed(session, viewer, "compute", [object_id], now=now):
        return True
    found = session.get(ObjectRow, object_id)
    if (
        found is not None
        and found.kind == "tensor"
        and allowed(session, viewer, "find", [object_id], now=now)
    ):
        return True
    shown = (
        select(DatasetRow.published)
        .join(DatasetAsset, DatasetAsset.dataset_id == DatasetRow.id)
        .where(DatasetAsset.object_id == object_id, findable_by_every_user())
    )
    return any({"assets", "schema", "size"} <= set(fields) for fields in session.scalars(shown))


def layout_of(blobs: BlobStore, digest: str, kind: str) -> Layout:
    """The header of an object's content. Raises :class:`BadRequest` for what holds no tensors."""
    if kind not in TENSOR_KINDS and kind != MATCHED:
        raise BadRequest("it holds no tensors")
    head = header_size(blobs.read_range(digest, 0, 8))
    return read_layout(blobs.read_range(digest, 0, head))


def describe(
    sandbox: ReviewSandbox,
    blobs: BlobStore,
    plan: bytes,
    plan_id: str,
    document: Document,
    objects: Mapping[str, GivenObject],
    values: Layout | None,
    shared: SharedTerms | None = None,
    split: tuple[SplitTerms, int] | None = None,
) -> PlanFacts:
    """What the plan would do with these inputs; ``problem`` says what about the objects does not fit.

    Args:
        split: the terms of a split network, and which party this node is; its plan is priced for one batch.

    Raises :class:`BadRequest` for what is wrong whatever the objects hold.
    """
    sent = {} if values is None else {spec.name: spec for spec in values.specs}
    _check_names(document, objects, sent)
    terms = {each.name: each for each in shared.inputs} if shared else {}
    comes = ""
    if split is not None:
        check_plan(document, *split, objects)
        comes = crossing_names(*split)[0]
    inputs, problem = [], ""
    for item in document.inputs:
        to = objects.get(item.name)
        facts = PlanInput(name=item.name, role=item.role, source="default", dtype=item.dtype, shape=None)
        if to is not None:
            facts.source, facts.object_id, facts.object, facts.tensor = (
                "object",
                to.object_id,
                to.label,
                to.tensor,
            )
            try:
                spec = find_tensor(layout_of(blobs, to.digest, to.kind), to.tensor)
                facts.dtype, facts.shape = dtype_of(spec.dtype), list(spec.shape)
            except BadRequest as error:
                problem = problem or f"input {item.name}: {error.detail}"
            else:
                if item.name in terms and facts.shape != terms[item.name].shape:
                    problem = problem or (
                        f"input {item.name} is not of the shape that the terms say, {terms[item.name].shape}; "
                        "where the plan's shape has symbols, the terms' sizes say how large they are"
                    )
        elif item.name in terms:
            facts.source, facts.object = "party", f"of party {terms[item.name].party}"
            facts.shape = list(terms[item.name].shape)
        elif split is not None and item.name == comes:
            facts.source, facts.object = "party", f"of party {1 - split[1]}"
            facts.shape = [split[0].batch, split[0].width]
        elif item.name in sent:
            spec = sent[item.name]
            facts.source, facts.dtype, facts.shape = "value", dtype_of(spec.dtype), list(spec.shape)
        elif item.default is not None:
            facts.shape = list(item.default.shape)
        else:
            raise BadRequest(f"the plan's input {item.name!r} is given nothing and has no default")
        inputs.append(facts)
    outputs = [PlanOutput(name=o.name, role=o.role, dtype=o.dtype, shape=None) for o in document.outputs]
    cost = None
    if not problem:
        try:
            priced = [(each.dtype, _priced(each, split)) for each in inputs]
            _, sizes, found = sandbox.price(plan, priced)
        except BadRequest as error:
            problem = error.detail
        else:
            cost = PlanCost(
                operations=found.ops,
                flops=found.flops,
                peak_bytes=found.peak_bytes,
                output_bytes=found.output_bytes,
            )
            for output, declared in zip(outputs, document.outputs, strict=True):
                output.shape = list(eval_shape(declared.shape, sizes))
            if shared is not None:
                # Whatever its type in the plan, a number leaves as a word of 64 bits; only what is opened does.
                opened = [each.shape or [] for each in outputs if each.name in shared.opened]
                cost.output_bytes = 8 * sum(map(math.prod, opened))
    facts_of_plan = PlanFacts(
        plan_id=plan_id,
        name=document.name,
        kind=document.kind,
        inputs=inputs,
        outputs=outputs,
        cost=cost,
        problem=problem,
    )
    if split is not None:
        fit_split(facts_of_plan, *split, objects)
    return facts_of_plan


def _priced(given: PlanInput, split: tuple[SplitTerms, int] | None) -> list[int]:
    """The shape that a run is priced for: of rows of a split network, one batch."""
    shape = given.shape or []
    if split is None or given.source != "object" or given.role == "param" or not shape:
        return shape
    return [split[0].batch, *shape[1:]]


def check_terms(shared: SharedTerms, node_key: str, objects: Mapping[str, GivenObject]) -> None:
    """Raise :class:`BadRequest` unless this node is one of the parties, and gives what the terms take from it."""
    shared.check()
    if node_key not in shared.parties:
        raise BadRequest("this node is none of the parties", field="shared")
    here = shared.parties.index(node_key)
    if objects.keys() != {each.name for each in shared.inputs if each.party == here}:
        raise BadRequest("the inputs are not those that the terms take from this node", field="inputs")


def _check_names(document: Document, objects: Mapping[str, GivenObject], sent: Mapping[str, object]) -> None:
    drawn = next((item.name for item in document.inputs if item.role == "noise"), None)
    if drawn is not None:
        raise BadRequest(f"the plan's input {drawn!r} is noise, which only participants of a training draw")
    names = [item.name for item in document.inputs]
    unknown = (objects.keys() | sent.keys()) - set(names)
    if unknown:
        raise BadRequest(f"the plan has no input {min(unknown)!r}; it has: {', '.join(names[:50])}")
    twice = objects.keys() & sent.keys()
    if twice:
        raise BadRequest(f"input {min(twice)} is given an object and a value")
