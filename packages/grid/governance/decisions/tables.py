"""Requests, what they are for, what reviewers said to them, and the rules that answer some at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = [
    "IntersectionRequest",
    "PlanRequest",
    "RequestDecision",
    "RequestObject",
    "RequestRow",
    "RequestRule",
    "TrainingRequest",
]


class RequestRow(Base):
    """``scope`` is what its author asks for: read, compute or statistics of an object; plan: to run one on
    objects; intersection: how many ids it has in common with a table elsewhere; budget: epsilon; training: to run
    one. ``object_id`` is the (first) object, "" for a budget and a
    training; ``label`` is what its author was shown of it when they asked. ``pending_for`` names who asks for
    what while it is pending: nobody asks for the same twice at once. ``epsilon`` and ``given`` are billionths:
    asked for, and added."""

    __tablename__ = "request"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    object_id: Mapped[str] = mapped_column(String(32), index=True)
    scope: Mapped[str] = mapped_column(String(16))
    label: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), index=True)
    pending_for: Mapped[str | None] = mapped_column(String(96), unique=True)
    created_at: Mapped[float] = mapped_column(Double, index=True)
    grant_id: Mapped[str | None] = mapped_column(String(32))
    epsilon: Mapped[int | None] = mapped_column(BigInteger)
    given: Mapped[int | None] = mapped_column(BigInteger)


class RequestObject(Base):
    """An object whose owner has to agree: what was asked for, or each source of a plan's inputs."""

    __tablename__ = "request_object"

    request_id: Mapped[str] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    object_id: Mapped[str] = mapped_column(String(32), primary_key=True, index=True)


class PlanRequest(Base):
    """What shall run: the plan's bytes (their digest is the plan's id), what each input is given, and values
    that the author sent. ``inputs`` maps input to object, tensor in it, and the content's digest; ``facts`` is
    a :class:`syft_ext.messages.plan_requests.PlanFacts`; ``shown``: its author may see the sizes in it."""

    __tablename__ = "plan_request"

    request_id: Mapped[str] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    plan_digest: Mapped[str] = mapped_column(ForeignKey("blob.digest"), index=True)
    values_digest: Mapped[str | None] = mapped_column(ForeignKey("blob.digest"), index=True)
    name: Mapped[str] = mapped_column(String(255), index=True)
    inputs: Mapped[dict[str, Any]] = mapped_column(JSON)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    shown: Mapped[bool]


class TrainingRequest(Base):
    """Which training shall run: ``digest`` is that of its whole definition, the only thing that the word of
    reviewers is for; ``facts`` is a :class:`syft_ext.messages.training_reviews.TrainingFacts`."""

    __tablename__ = "training_request"

    request_id: Mapped[str] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    process_id: Mapped[str] = mapped_column(String(32), unique=True)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)


class IntersectionRequest(Base):
    """Which ids shall be compared with whose: ``terms`` are :class:`syft_ext.messages.intersection_terms`'s,
    ``agreement`` is their digest. ``content``: the table's digest when it was asked for; ``party``: which side is
    this node's. ``problem``: why the table cannot be what the terms say; ``shown``: its author may know that."""

    __tablename__ = "intersection_request"

    request_id: Mapped[str] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    object_id: Mapped[str] = mapped_column(String(32), index=True)
    content: Mapped[str] = mapped_column(String(64))
    agreement: Mapped[str] = mapped_column(String(64), index=True)
    terms: Mapped[dict[str, Any]] = mapped_column(JSON)
    party: Mapped[int] = mapped_column(Integer)
    problem: Mapped[str] = mapped_column(Text)
    shown: Mapped[bool]


class RequestDecision(Base):
    """One reviewer's word, with the conditions that they set. ``rule_id``: a rule of theirs said it."""

    __tablename__ = "request_decision"

    request_id: Mapped[str] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    reviewer_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    approved: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Double)
    expires_in: Mapped[float | None] = mapped_column(Double)
    uses: Mapped[int | None] = mapped_column(Integer)
    max_output_bytes: Mapped[int | None] = mapped_column(BigInteger)
    epsilon: Mapped[int | None] = mapped_column(BigInteger)
    rule_id: Mapped[str | None] = mapped_column(String(32))


class RequestRule(Base):
    """A standing rule: its author's word on each new request that matches. "" matches anything.

    ``times_left`` and ``elements_left`` are its quota, None without one. The conditions are those of the
    decisions that it makes.
    """

    __tablename__ = "request_rule"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    author_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    action: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float | None] = mapped_column(Double)
    kind: Mapped[str] = mapped_column(String(16))
    scope: Mapped[str] = mapped_column(String(16))
    object_id: Mapped[str] = mapped_column(String(32))
    dataset_id: Mapped[str] = mapped_column(String(32))
    tags: Mapped[list[str]] = mapped_column(JSON)
    user_id: Mapped[str] = mapped_column(String(32))
    group_id: Mapped[str] = mapped_column(String(32))
    plan_id: Mapped[str] = mapped_column(String(64))
    times_left: Mapped[int | None] = mapped_column(Integer)
    elements_left: Mapped[int | None] = mapped_column(BigInteger)
    expires_in: Mapped[float | None] = mapped_column(Double)
    uses: Mapped[int | None] = mapped_column(Integer)
    max_output_bytes: Mapped[int | None] = mapped_column(BigInteger)
    epsilon: Mapped[int | None] = mapped_column(BigInteger)
