"""Approved plans that are computed with other Domains, on shares or as a split network: what this one brings to
them, and whether it still may.

The request is one to run a plan, under terms with other Domains: the same reviewers, grants, uses and contents.
Where the policy demands that what leaves is clipped, or gets noise, nothing is computed on shares: no party sees a
result that it could do that to; nor of split networks, whose terms have clipping and noise of their own. The
ledgers say that results left, as of any plan's that leave without noise.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import msgspec
from sqlalchemy.orm import Session

from grid.access.policy import current_policy
from grid.governance.decisions.approval import objects_of
from grid.governance.decisions.grants import ReviewerLoader
from grid.governance.decisions.tables import PlanRequest
from grid.governance.intersections.matched import check_matched, check_same_rows, keep_derived
from grid.governance.plans.charging import charge_release
from grid.governance.plans.files import find_tensor, raw_of, tensor_file
from grid.governance.plans.runs import Approved, PlanRuns
from grid.governance.plans.split import check_crossing, pay_crossing
from grid.node import Context
from grid.quotas.enforcing import require_fit
from syft_ext.errors import BadRequest, Unsupported
from syft_ext.messages.plan_facts import PlanFacts
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.shared_terms import SharedTerms
from syft_ext.messages.split_terms import SplitTerms
from syft_ext.tensors import read_layout

__all__ = ["SharedBrought", "SharedPlanRuns"]


@dataclass(frozen=True, slots=True)
class SharedBrought:
    """What a party (``index`` among them) brings: the plan, and a tensor file with its own inputs and the public
    values."""

    approved: Approved
    terms: SharedTerms | SplitTerms
    index: int
    agreement: str
    plan: bytes
    values: bytes


class SharedPlanRuns(PlanRuns):
    """Runs under terms; as :class:`PlanRuns`."""

    def begin_shared(
        self, ctx: Context, load_reviewer: ReviewerLoader, request_id: str, node_key: str
    ) -> SharedBrought:
        """Take a use of the approval, and charge what crosses of a split network.

        Raises :class:`Forbidden` without a live one, or where a ledger has too little left, :class:`Conflict`
        where the data changed, :class:`Unsupported` where clipping or noise is demanded.
        """
        with self._db.read() as session:
            _, plan, _ = self._approved(session, load_reviewer, request_id)
            terms = self._terms(msgspec.convert(plan.facts, PlanFacts))
            self._refuse_changes(current_policy(session))
            self._check_matched(session, plan, terms)
            index = terms.parties.index(node_key)
            digests = {given["digest"] for given in plan.inputs.values()}
        for digest in digests:
            self._blobs.open(digest).close()  # a damaged one costs no use
        with self._db.transaction() as session:
            approved = self._begin(session, load_reviewer, request_id)
            if isinstance(terms, SplitTerms):
                policy, now = current_policy(session), self._clock.now()
                check_crossing(policy, terms, index)
                pay_crossing(session, policy, terms, index, approved.row, now)
            objects = objects_of(session, [approved.row.id])[approved.row.id]
        ctx.note(*objects, plan=approved.plan.plan_digest, agreement=approved.facts.agreement)
        for grant in approved.grants:
            ctx.note(grant=grant)
        program = self._blobs.read_range(approved.plan.plan_digest, 0)
        values = self._brought(approved)
        return SharedBrought(approved, terms, index, approved.facts.agreement, program, values)

    def require_running(self, approved: Approved) -> None:
        """Raise :class:`Forbidden` where the approval of a run, that of an intersection whose rows it takes, or
        the account ended: before more crosses."""
        with self._db.read() as session:
            policy = self._still(session, approved)
            self._check_matched(session, approved.plan, self._terms(approved.facts))
            self._refuse_changes(policy)

    def keep(self, approved: Approved, index: int, content: bytes) -> str:
        """The object of what a split network left here, "" for nothing; after this what is opened leaves.

        Raises as :meth:`require_still`.
        """
        terms = approved.facts.split
        assert terms is not None
        user_id = approved.row.user_id
        with self._db.read() as session:
            require_fit(session, user_id, "objects", size=len(content), number=int(bool(content)))
        with ExitStack() as held:
            blob = held.enter_context(self._blobs.put([content])) if content else None
            with self._db.transaction() as session:
                policy = self._still(session, approved)
                self._check_matched(session, approved.plan, terms)
                self._refuse_changes(policy)
                kept = ""
                if blob is not None:
                    what = (
                        f"{terms.task} of a split network, {approved.facts.name}, request {approved.row.id}"
                    )
                    now = self._clock.now()
                    kept = keep_derived(session, approved.objects, user_id, blob, what, now)
                if terms.opened and index == terms.top:
                    question = self._question(session, approved)
                    charge_release(session, policy, question, approved.facts.agreement)
        return kept

    def require_still(self, approved: Approved) -> None:
        """Raise :class:`Forbidden` where the approval, that of an intersection whose rows it took, or the account
        ended while this ran; else the ledgers say that results leave."""
        with self._db.transaction() as session:
            policy = self._still(session, approved)
            self._check_matched(session, approved.plan, self._terms(approved.facts))
            self._refuse_changes(policy)
            assert approved.facts.cost is not None
            self._check_size(session, approved.grants, policy, approved.facts.cost.output_bytes)
            charge_release(session, policy, self._question(session, approved), approved.facts.agreement)

    @staticmethod
    def _check_matched(session: Session, plan: PlanRequest, terms: SharedTerms | SplitTerms) -> None:
        given = {name: str(each["object_id"]) for name, each in plan.inputs.items()}
        if isinstance(terms, SplitTerms):
            check_same_rows(session, given.values(), terms)
        else:
            check_matched(session, given, terms)

    @staticmethod
    def _terms(facts: PlanFacts) -> SharedTerms | SplitTerms:
        terms = facts.shared or facts.split
        if terms is None:
            raise BadRequest("this was asked for to run at this Domain, not with others")
        return terms

    @staticmethod
    def _refuse_changes(policy: SitePolicy) -> None:
        if policy.noise_multiplier is not None or policy.clip_norm is not None:
            raise Unsupported(
                "the policy of this site demands that results are clipped or get noise, and those on shares are "
                "seen by no party, while those of a split network get what its terms say"
            )

    def _brought(self, approved: Approved) -> bytes:
        digest = approved.plan.values_digest
        tensors = []
        for name, given in sorted(approved.plan.inputs.items()):
            content = self._blobs.map(given["digest"])
            layout = read_layout(content)
            tensors.append((name, raw_of(content, layout, find_tensor(layout, given["tensor"]))))
        if digest:
            values = memoryview(self._blobs.read_range(digest, 0))
            layout = read_layout(values)
            tensors += [(spec.name, raw_of(values, layout, spec)) for spec in layout.specs]
        return tensor_file(tensors)
