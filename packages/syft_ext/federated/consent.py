"""What of a training may run here: exactly what somebody agreed to, whose word counts, and nothing in its place.

Agreement is to a definition, by its digest. It is computed from what the Domain shows, before anything is
downloaded or asked for; then everything that comes is held against that definition: each check-in, each plan,
each protocol, the layout of each model. A Domain that shows one thing and sends another is caught, in
whichever cycle it does it.
"""

from __future__ import annotations

from blake3 import blake3

from syft_ext.errors import VALUES, BadRequest, InvalidConfig, InvalidPlan, NotAgreed, OfferRefused
from syft_ext.messages.federated import CheckInReply
from syft_ext.messages.review_text import describe_review
from syft_ext.messages.training_reviews import (
    DefinitionFacts,
    DefinitionView,
    TrainingReview,
    WorkerBounds,
    definition_digest,
)
from syft_ext.plans.training.parameters import Parameters
from syft_ext.readable import readable
from syft_ext.tensors import dtype_code

__all__ = ["Consent", "checked_digest", "least_of_hidden", "told_of"]


class Consent:
    """One job's agreement, from the first look at the training to its last cycle.

    Args:
        name, version: of the training.
        digest: the definition that its owner agreed to; "": whatever reviewers at the Domain have approved,
            or is its Domain's own, as it is found at the first look. From then on it is that one.

    Attributes:
        digest: of the definition agreed to.
        facts, review: what it is, and whose word it runs on there; None before it was looked at.
    """

    def __init__(self, name: str, version: str, digest: str = "") -> None:
        self.name, self.version, self.digest = name, version, digest
        self.facts: DefinitionFacts | None = None
        self.review: TrainingReview | None = None

    def agree(self, view: DefinitionView) -> None:
        """Look at what the Domain shows. Raises :class:`NotAgreed` where it is not what was agreed to."""
        facts, review = view.facts, view.review
        found = checked_digest(view, self.name, self.version, self.digest)
        if not self.digest and not _has_a_word(review, found):
            raise NotAgreed(
                f"nobody whose word counts here has agreed to {self.name} {self.version} "
                f"({describe_review(review)}). To agree to exactly what it is now, say: "
                f'new_job("{self.name}", "{self.version}", digest="{found}")',
                reason="review",
            )
        self.digest, self.facts, self.review = found, facts, review

    def summary(self) -> str:
        """One line: what will run, and on whose word."""
        facts = self._agreed()
        assert self.review is not None
        plans = ", ".join(f"{name} {digest[:12]}" for name, digest in facts.plans.items()) or "no plan"
        return readable(
            f"{self.name} {self.version}: runs {plans}; definition {self.digest} ({describe_review(self.review)})"
        )

    # -- what comes ---------------------------------------------------------------------------------

    def check_assignment(self, reply: CheckInReply) -> None:
        """Raise :class:`NotAgreed` unless an accepted check-in is for what was agreed to."""
        facts = self._agreed()
        agreed = {
            "definition": (reply.definition, self.digest),
            "set of plans": (sorted(reply.plans), sorted(facts.plans)),
            "set of protocols": (sorted(reply.protocols), sorted(facts.protocols)),
            "client_config": (reply.client_config, facts.client_config),
            "report format": (reply.report_format, facts.server_config.get("report_format")),
            "set of report options": (reply.report_options, facts.server_config.get("report_options")),
        }
        for what, (sent, expected) in agreed.items():
            if sent != expected:
                raise NotAgreed(
                    f"the Domain hands out {self.name} {self.version} with another {what} than was agreed to",
                    reason="definition" if what == "definition" else "content",
                )

    def plan_digest(self, name: str) -> str:
        """The digest of the plan of that name."""
        return self._agreed().plans[name]

    @property
    def agreed(self) -> DefinitionFacts:
        """The definition that was agreed to. Raises :class:`NotAgreed` before it was looked at."""
        return self._agreed()

    def check_plan(self, name: str, data: bytes | bytearray) -> None:
        """Raise :class:`NotAgreed` unless these bytes are the plan of that name."""
        self._check("plan", name, self._agreed().plans[name], data)

    def check_protocol(self, name: str, data: bytes | bytearray) -> None:
        """Raise :class:`NotAgreed` unless these bytes are the protocol of that name."""
        self._check("protocol", name, self._agreed().protocols[name], data)

    def _check(self, kind: str, name: str, expected: str, data: bytes | bytearray) -> None:
        if blake3(data).hexdigest() != expected:
            raise NotAgreed(f"the Domain sent another {kind} {name} than was agreed to", reason="content")

    def check_model(self, model: Parameters) -> None:
        """Raise :class:`NotAgreed` unless a model has exactly the tensors agreed to: a report has them too."""
        sent = [
            (name, dtype_code(tensor.dtype), list(tensor.shape))
            for name, tensor in zip(model.names, model, strict=True)
        ]
        if sent != self._agreed().tensors:
            raise NotAgreed("the Domain sent a model of another layout than was agreed to", reason="content")

    def _agreed(self) -> DefinitionFacts:
        if self.facts is None:
            raise NotAgreed(f"nobody has looked at what {self.name} {self.version} is", reason="review")
        return self.facts


def checked_digest(view: DefinitionView, name: str, version: str, digest: str = "") -> str:
    """The digest of what the Domain shows as this training, computed here.

    Raises :class:`NotAgreed` where it is another training, or not the definition of ``digest`` ("": any).
    """
    found = definition_digest(view.facts)
    if (view.facts.name, view.facts.version) != (name, version):
        raise NotAgreed(f"the Domain shows another training than {name} {version}", reason="definition")
    if digest and found != digest:
        raise NotAgreed(
            f"{name} {version} is not what was agreed to: its definition is {found}, agreed was {digest}",
            reason="definition",
        )
    return found


def _has_a_word(review: TrainingReview, digest: str) -> bool:
    """Whether somebody has approved exactly this, or it is the Domain's own. Who it was is told to those whom the
    Domain knows; others, who take part where it is open to anybody, hear how many they were."""
    if review.digest != digest:
        return False
    somebody = any(review.reviewers) or review.reviewer_count > 0
    return review.state == "own" or (review.state == "approved" and somebody)


def told_of(error: BaseException, hidden: bool) -> str:
    """What a Domain is told of an error: what kind it is, since its text may hold numbers of the data; where
    failures are hidden, under noise, not even that. Why something was not agreed to, and what of the configuration
    cannot be done, which is the host's own, it is told in full; of an offer that was refused, the check. That the
    owner wants more rows behind a report than there are says something of their number: it is told of nowhere."""
    if isinstance(error, OfferRefused):
        return f"the offer was refused: {error.extra.get('check', '')}"
    if isinstance(error, NotAgreed) or (isinstance(error, InvalidConfig) and not hidden):
        return str(error)
    return "the worker failed" if hidden or _wants_more_rows(error) else type(error).__name__


def least_of_hidden(error: BaseException, bounds: WorkerBounds) -> int:
    """Samples, at least, that a report states which hides this error, where it says something of what the data
    hold: a plan failed on them, or there are fewer than their owner wants behind a report. 0: it says nothing."""
    if isinstance(error, InvalidPlan) and error.extra.get("reason") == VALUES:
        return 1
    return bounds.min_rows if _wants_more_rows(error) else 0


def _wants_more_rows(error: BaseException) -> bool:
    """Whether there are fewer rows than their owner wants behind a report."""
    return isinstance(error, BadRequest) and error.extra.get("field") == "min_rows"
