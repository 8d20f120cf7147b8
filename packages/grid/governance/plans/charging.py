"""What results of approved plans cost the ledgers of the data that they are of: taken before a plan runs.

Where the policy demands noise, a run's results are (4ρ)-zCDP for all that was put in, ρ being what the mechanism
costs one clipped vector against nothing: two contents are at most two clipping norms apart. That much is taken
from the ledger of each lineage that was put in, once for a question under one rule, in the transaction that takes
the run's use; where it is not there, the plan does not run. The same results again have the same noise, and are
free. A plan that does not compute the same twice gets other noise, and is charged for it before its results leave.

Without noise nothing is promised of results: the ledger says that they left, and counts nothing for it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from blake3 import blake3
from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from grid.catalogue.schemas import lineage_of
from grid.privacy.budget.ledger import (
    UNLIMITED,
    Allowance,
    Charge,
    balance_of,
    charge,
    cost_of_rho,
    ledgers_of,
)
from grid.privacy.budget.ledger_tables import PrivacyRelease
from grid.privacy.mechanisms.registry import ChosenMechanism, demanded_mechanism
from grid.statistics.guarded.terms import terms_of
from grid.storage.sql.dialect import insert, table_of
from syft_ext.errors import Forbidden
from syft_ext.messages.policy import SitePolicy

__all__ = ["PlanQuestion", "charge_crossing", "charge_release", "charge_run"]


@dataclass(frozen=True, slots=True)
class PlanQuestion:
    """A plan on contents.

    Attributes:
        digest: the same for the same plan on the same contents and values.
        objects: what has to be asked for.
        what: for the ledger.
    """

    digest: bytes
    objects: Collection[str]
    user_id: str
    at: float
    what: str


def charge_run(session: Session, policy: SitePolicy, question: PlanQuestion) -> None:
    """Take what a run costs, unless this question was paid for, in the transaction that begins it.

    Raises :class:`Forbidden`, and the transaction must not commit, where a ledger has less left.
    """
    mechanism = _noise(policy)
    if mechanism is None:
        return
    key = _key(question, mechanism)
    if not session.scalar(select(exists().where(PrivacyRelease.question == key))):
        _charge(session, policy, question, _rho(mechanism))
        _note(session, key, "", question.at)


def charge_release(session: Session, policy: SitePolicy, question: PlanQuestion, content: str) -> None:
    """Say what leaves for a question, in the transaction after which it does, and take what was not paid for.

    Args:
        policy: the one that the results went through: it may be another than when the run began.
        content: their digest.

    Raises :class:`Forbidden`, as :func:`charge_run`.
    """
    mechanism = _noise(policy)
    if mechanism is None:
        _charge(session, policy, question, None)
        return
    key = _key(question, mechanism)
    if session.get(PrivacyRelease, (key, content)) is not None:
        return
    paid = (
        update(PrivacyRelease)
        .where(PrivacyRelease.question == key, PrivacyRelease.content == "")
        .values(content=content)
        .execution_options(synchronize_session=False)
    )
    if session.execute(paid).rowcount != 1:  # type: ignore[attr-defined]
        _charge(session, policy, question, _rho(mechanism))
        _note(session, key, content, question.at)


def charge_crossing(session: Session, policy: SitePolicy, question: PlanQuestion, rho: float | None) -> None:
    """Take what crosses to another Domain in one run, in the transaction that begins it: its noise is always new.

    Args:
        rho: of all of it together, for all that was put in; None: it crosses as it is, and nothing is promised.

    Raises :class:`Forbidden`, as :func:`charge_run`.
    """
    _charge(session, policy, question, rho)


def _rho(mechanism: ChosenMechanism) -> float:
    return 4 * mechanism.event().rho


def _noise(policy: SitePolicy) -> ChosenMechanism | None:
    if policy.clip_norm is None or policy.noise_multiplier is None:
        return None
    return demanded_mechanism(policy.clip_norm, policy.noise_multiplier, policy.mechanism)


def _key(question: PlanQuestion, mechanism: ChosenMechanism) -> str:
    return str(blake3(question.digest + mechanism.statement()).hexdigest())


def _note(session: Session, key: str, content: str, at: float) -> None:
    values = {"question": key, "content": content, "at": at}
    session.execute(insert(session, table_of(PrivacyRelease)).values(values).on_conflict_do_nothing())


def _charge(session: Session, policy: SitePolicy, question: PlanQuestion, rho: float | None) -> None:
    """Once for each lineage, however many of its objects were put in."""
    cost = 0 if rho is None else cost_of_rho(rho)
    what = question.what if rho is not None else f"{question.what}: exact, outside of the guarantee"
    allowance, charged = _allowance(policy), set[str]()
    objects = sorted(question.objects)
    lineages = [lineage_of(session, object_id) for object_id in objects]
    ledgers = ledgers_of(session, lineages, now=question.at)
    for object_id, members, ledger in zip(objects, lineages, ledgers, strict=True):
        if ledger.id in charged:
            continue
        charged.add(ledger.id)
        entry = Charge(object_id, question.user_id, question.at, what, "plan")
        if not charge(session, ledger, cost, allowance, entry):
            balance = balance_of(session, members, allowance)
            raise Forbidden(
                "these data have told what their owner lets out: the results of a run cost "
                f"{cost / max(1, balance.total):.3g} of all that they may ever tell, and "
                f"{balance.left / max(1, balance.total):.3g} of it is left. The owner may grant more",
                object_id=object_id,
                left=balance.left / max(1, balance.total),
                cost=cost / max(1, balance.total),
            )


def _allowance(policy: SitePolicy) -> Allowance:
    """The same as for statistics: it is one ledger. Where these are exact, a total that nobody granted would
    promise what nobody keeps: it is counted, and not limited."""
    terms = terms_of(policy)
    return Allowance(UNLIMITED) if terms is None else terms.allowance
