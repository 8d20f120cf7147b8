"""A training as its participant reads it before they agree: all of it, held against its digest."""

from __future__ import annotations

import json
from html import escape

from blake3 import blake3

from syft_ext.confidential.documents import with_readable_policy
from syft_ext.errors import NotAgreed
from syft_ext.federated.consent import checked_digest
from syft_ext.federated.session import WorkerSession
from syft_ext.messages.review_text import describe_review
from syft_ext.messages.training_inputs import describe_inputs
from syft_ext.messages.training_reviews import (
    DefinitionFacts,
    GetDefinition,
    GetDefinitionFile,
    TrainingReview,
)
from syft_ext.plans import Plan
from syft_ext.plans.training.parameters import Parameters
from syft_ext.readable import readable

__all__ = ["TrainingOffer", "read_offer"]


class TrainingOffer:
    """A training that a Domain offers. Nothing of it has run.

    Attributes:
        definition: everything that is fixed of it.
        digest: of the definition, computed here: what ``new_job(…, digest=…)`` agrees to.
        review: whose word it runs on at the Domain, as the Domain says.
        plans: name → plan: what would run on the participant's data.
        averaging_plan: what the Domain would make of reports with; None where a strategy does.
    """

    def __init__(
        self,
        definition: DefinitionFacts,
        digest: str,
        review: TrainingReview,
        files: dict[str, bytes],
    ) -> None:
        self.definition, self.digest, self.review = definition, digest, review
        self.contents = {name: files[of] for name, of in definition.plans.items()}
        self.plans = {name: Plan.loads(data) for name, data in self.contents.items()}
        averaging = definition.averaging_plan
        self.averaging_plan = Plan.loads(files[averaging]) if averaging else None

    def texts(self) -> dict[str, str]:
        """What a reviewer reads, and compares between versions: the definition, and each plan."""
        texts = {"definition": _definition_text(self.definition)}
        texts |= {f"plan {name}": plan.text() for name, plan in self.plans.items()}
        if self.averaging_plan is not None:
            texts["averaging plan"] = self.averaging_plan.text()
        return texts

    def text(self) -> str:
        """All of it in one."""
        head = f"definition {self.digest}\n{describe_review(self.review)}"
        parts = (f"--- {name}\n{text}" for name, text in self.texts().items())
        return "\n".join(readable(line) for line in "\n".join([head, *parts]).splitlines())

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text())}</pre>"


def read_offer(session: WorkerSession, name: str, version: str, digest: str = "") -> TrainingOffer:
    """Download the definition and its plans. ``session`` joins the training for that, and asks for no slot.

    Raises :class:`NotAgreed` where it is not the definition of ``digest`` ("": any), or where what is
    downloaded is not of it; :class:`InvalidPlan` for a plan that cannot be read.
    """
    view = session.call(GetDefinition(process_id=session.process_id))
    found, facts = checked_digest(view, name, version, digest), view.facts
    wanted = {*facts.plans.values(), *([facts.averaging_plan] if facts.averaging_plan else [])}
    files = {each: read_file(session, each) for each in sorted(wanted)}
    return TrainingOffer(facts, found, view.review, files)


def read_file(session: WorkerSession, digest: str) -> bytes:
    """A file of the definition. Raises :class:`NotAgreed` for bytes of another digest."""
    _, data = session.download(GetDefinitionFile(process_id=session.process_id, digest=digest))
    if blake3(data).hexdigest() != digest:
        raise NotAgreed("the Domain sent another file than was agreed to", reason="content")
    return bytes(data)


def read_model(session: WorkerSession, facts: DefinitionFacts) -> Parameters:
    """The initial model of a training. Raises :class:`NotAgreed` for another one."""
    return Parameters.loads(read_file(session, facts.model), checkpoint=1, digest=facts.model)


def _definition_text(facts: DefinitionFacts) -> str:
    lines = [f"training {facts.name} {facts.version}"]
    for title, values in (
        ("client_config", facts.client_config),
        ("server_config", with_readable_policy(facts.server_config)),
    ):
        lines += [f"{title}.{name}: {json.dumps(values[name], sort_keys=True)}" for name in sorted(values)]
    for title, files in (("plan", facts.plans), ("protocol", facts.protocols)):
        lines += [f"{title} {name}: {files[name]}" for name in sorted(files)]
    if facts.averaging_plan:
        lines.append(f"averaging plan: {facts.averaging_plan}")
    lines += [f"inputs: {line}" for line in describe_inputs(facts.inputs)]
    lines.append(f"initial model: {facts.model}")
    lines += [f"tensor {name}: {dtype} {shape}" for name, dtype, shape in facts.tensors]
    return "\n".join(lines)
