"""A Domain's statistics without the node around it: what the statistics themselves do, at no cost of sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grid.privacy.budget.ledger import units_of
from grid.statistics.analyses import Analyses, Analysis
from grid.statistics.first_round import FirstRound
from grid.statistics.guarded.answers import GuardedAnswers, answers_of
from grid.statistics.guarded.questions import LOGISTIC_ROUNDS, Question, count_rows, measure, question_of
from grid.statistics.guarded.regressions import logistic_round
from grid.statistics.guarded.release import Release
from grid.statistics.guarded.schema import Person, Said, said_of
from grid.statistics.guarded.terms import Terms, terms_of
from grid.statistics.guarded.vectors import read_vectors
from grid.statistics.rounds import answer_round, check_round
from grid.statistics.rules import check_asked, check_policy, lets_ask
from grid.statistics.sweep import Opened
from grid.storage.blobs.files import FileBlobStore
from syft_ext.errors import Forbidden, GridError
from syft_ext.ids import new_id
from syft_ext.messages.datasets import Column as Described
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin, Continue, DescribeTable, Partials, TableView
from syft_ext.tensors import encode_tensors

__all__ = ["LocalDomain", "LocalLedger", "local_domains"]

Rows = Mapping[str, Any]
SECRET = b"a secret of the tests, 32 bytes!"


@dataclass
class LocalLedger:
    """What was measured, by content and question, and what it cost.

    Attributes:
        made: every measurement, as it was charged: content, question, units, cost and numbers.
    """

    numbers: dict[tuple[str, str], Any] = field(default_factory=dict)
    spent: int = 0
    made: list[tuple[str, str, int, int, Any]] = field(default_factory=list)

    def charge(self, digest: str, release: Release, terms: Terms, extra: int = 0) -> None:
        cost = sum(made.cost for made in release.fresh) + extra
        total = terms.allowance.total(None)
        if self.spent + cost > total:
            raise Forbidden("this table has told what its owner lets out")
        self.spent += cost
        for made in release.fresh:
            self.numbers[digest, made.identifier] = made.numbers
            self.made.append((digest, made.question, made.units, made.cost, made.numbers))
        release.fresh.clear()


class LocalDomain:
    """Is a table and the client of its Domain in one.

    Attributes:
        replies: everything that it answered.
        ledger: of the table, where the policy guards it.
    """

    def __init__(
        self,
        blobs: FileBlobStore,
        rows: Rows,
        *,
        policy: SitePolicy | None = None,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        schema: Mapping[str, Mapping[str, Any]] | None = None,
        person: tuple[str, int] | None = None,
        name: str = "domain",
        secret: bytes = SECRET,
        ledger: LocalLedger | None = None,
    ) -> None:
        tensors = {key: torch.as_tensor(np.ascontiguousarray(value)) if not torch.is_tensor(value) else value
                   for key, value in rows.items()}  # fmt: skip
        self._blobs, self._digest = blobs, blobs.put([encode_tensors(tensors)]).digest
        self.policy, self.bounds, self.person = policy or SitePolicy(), dict(bounds or {}), person
        self.schema = [Described(name=key, **said) for key, said in (schema or {}).items()]
        self.id = self.object_id = new_id()
        self.name, self.client = name, self
        self.secret, self.ledger = secret, ledger or LocalLedger()
        self.replies: list[Partials] = []
        self._analyses: dict[str, Analysis] = {}

    def call(self, message: Any, *, timeout: float | None = None) -> Any:
        with Opened(self._blobs, self._digest, "tensors") as opened:
            if isinstance(message, DescribeTable):
                return self._describe(opened)
            reply = (
                self._begin(opened, message) if isinstance(message, Begin) else self._go_on(opened, message)
            )
        self.replies.append(reply)
        return reply

    def _describe(self, opened: Opened) -> TableView:
        said = self._said(opened)
        return TableView(
            columns=[said.view(column) for column in opened.table.columns.values()],
            min_rows=self.policy.min_rows,
            epsilon=self.policy.statistics_epsilon,
            guarded=terms_of(self.policy) is not None,
        )

    def _said(self, opened: Opened) -> Said:
        columns = list(opened.table.columns.values())
        said = said_of([self.schema], opened.table, columns, guarded=False)
        said.bounds.update(self.bounds)
        return said

    def _begin(self, opened: Opened, message: Begin) -> Partials:
        terms = terms_of(self.policy)
        check_asked(message)
        check_policy(self.policy, message, guarded=terms is not None)
        analysis = Analysis("user", message, self.policy, self._digest, "tensors", frozenset(), 0.0)
        if terms is None:
            first_round = FirstRound(opened, message, missing=lets_ask(self.policy, "missing"))
            reply = first_round.run()
            analysis.keys, analysis.groups = first_round.keys, first_round.groups
            analysis.codes = first_round.codes
        else:
            reply = self._measured(opened, message, terms)
            analysis.codes = list(range(len(reply.groups))) if message.by else [0]
        analysis.histograms = Analyses.may_ask_on(message) or {}
        reply.analysis_id = new_id()
        self._analyses[reply.analysis_id] = analysis
        return reply

    def question(self, opened: Opened, message: Begin) -> Question:
        person = None
        if self.person is not None:
            person = Person(opened.table.columns[self.person[0]], self.person[1])
        return question_of(
            message, opened.table, Said(self._said(opened).bounds, person, self._said(opened).described)
        )

    def release(self, opened: Opened, question: Question, terms: Terms) -> Release:
        person = question.said.person
        return Release(
            self._digest,
            self.secret,
            "" if person is None else person.column.name,
            1 if person is None else person.most,
            lambda identifier: self.ledger.numbers.get((self._digest, identifier)),
            lambda vectors: read_vectors(opened, vectors, person),
            terms.base,
            terms.base,
        )

    def _answers(self, opened: Opened, message: Begin, terms: Terms) -> tuple[GuardedAnswers, Release]:
        question = self.question(opened, message)
        release = self.release(opened, question, terms)
        count_rows(question, release, terms)
        self.ledger.charge(self._digest, release, terms)
        return answers_of(question, measure(question, release), release, terms), release

    def _measured(self, opened: Opened, message: Begin, terms: Terms) -> Partials:
        answers, release = self._answers(opened, message, terms)
        try:
            reply = answers.partials()
        except GridError:
            self.ledger.charge(self._digest, release, terms)
            raise
        reply.units = sum(made.units for made in release.fresh)
        self.ledger.charge(self._digest, release, terms)
        reply.left = units_of(terms.allowance.total(None) - self.ledger.spent, release.sigma)
        return reply

    def _go_on(self, opened: Opened, message: Continue) -> Partials:
        analysis = self._analyses[message.analysis_id]
        check_round(analysis, message)
        terms = terms_of(self.policy)
        if terms is None:
            return answer_round(analysis, opened, message)
        answers, release = self._answers(opened, analysis.message, terms)
        reply = Partials(analysis_id=message.analysis_id)
        if message.ranks or message.histograms:
            reply.ranks = answers.ranks(message.ranks)
            reply.histograms = [answers.histogram(bins) for bins in message.histograms]
        if message.logistic is not None:
            turn = logistic_round(answers.question, answers.measured, message.logistic)
            precision = analysis.message.precision
            gradient, hessian = release.take([turn.gradient, turn.hessian], precision)
            assert gradient is not None and hessian is not None
            if release.fresh and not analysis.points:
                raise Forbidden(f"{LOGISTIC_ROUNDS} points were asked")
            analysis.points -= bool(release.fresh)
            self.ledger.charge(self._digest, release, terms)
            comoments = answers.partials().comoments
            assert comoments is not None
            deviation = release.deviation(turn.gradient, precision)
            reply.logistic = turn.answer(gradient, hessian, comoments.rows, deviation)
        return reply


def local_domains(folder: Path, parts: list[Rows], **options: Any) -> list[LocalDomain]:
    """One Domain for each part of the rows; ``schemas``: of each."""
    blobs = FileBlobStore(folder)
    schemas = options.pop("schemas", None) or [None] * len(parts)
    return [
        LocalDomain(blobs, part, name=f"site {index}", schema=schema, **options)
        for index, (part, schema) in enumerate(zip(parts, schemas, strict=True))
    ]
