"""One exception tree for everything that can go wrong between a user and a node.

    GridError
    ├── BadRequest              400  malformed, wrongly typed or inconsistent input
    │   ├── InvalidEnvelope     400  a message that cannot be read as an envelope
    │   ├── InvalidTensors      400  a tensor file that contradicts itself or what was asked for
    │   ├── InvalidPlan         400  a plan that does not pass its checks
    │   ├── DataMismatch        400  a participant's data are not what a training declares; no node raises it
    │   ├── InvalidConfig       400  a training configuration that cannot be honoured
    │   ├── InvalidStatement    400  not the one encoding of a statement, or one that must not be
    │   ├── OutOfRange          400  a number is too large to be computed with on shares
    │   ├── SealBroken          400  not sealed to this key for this purpose, or not as it was sealed
    │   ├── Ambiguous           400  a name that several have; no node raises it
    │   └── OperationFailed     400  a remote operation failed on the values that it was given
    ├── Unauthenticated         401  no identity, or one that does not verify
    │   ├── BadSignature        401  the signature does not match the sender's key
    │   ├── ExpiredMessage      401  outside the time window
    │   ├── ReplayedMessage     401  this nonce was seen before
    │   ├── InvalidToken        401  forged, expired, revoked, or from another node
    │   ├── TotpRequired        401  the password is right; the login needs a one-time code too
    │   └── NotLoggedIn         401  the SDK has no credentials for this node
    ├── Forbidden               403  the identity is known and lacks the permission
    ├── NotAgreed               403  the owner of the data did not agree to this; no node raises it
    │   └── OfferRefused        403  what is offered fails the participant's own checks; no node raises it
    │   └── RoundRefused        403  a secure sum would tell of single participants; no node raises it
    ├── EvidenceRefused         403  evidence of an attested process that does not hold, or not for this policy
    ├── NotFound                404
    ├── RequestTimeout          408  the request did not come in time
    ├── Conflict                409  it exists already, or its state does not allow this
    │   ├── ForeignDatabase     409  the database belongs to another node
    │   ├── ForeignContents     409  the store of contents belongs to another database
    │   ├── DatabaseLost        409  an empty database, where there was another one
    │   ├── DatabaseOutdated    409  a database older than what its node has seen
    │   ├── ProtocolAborted     409  a party of a computation on shares left its protocol
    │   ├── TooFewInCommon      409  fewer ids are in two tables than their owners let be told
    │   ├── KeyRefused          409  a key host gives no key, or no share of an output, for this
    │   └── LedgerRolledBack    409  a key host's ledger is not what others have seen of it
    ├── SessionLost             410  the compute session, and the values in it, are gone
    ├── TooLarge                413
    │   └── QuotaExceeded       413  the caller would keep more here than they may
    ├── Unsupported             422  understood, and not offered here
    ├── TooManyRequests         429
    ├── InternalError           500  the node failed; its log has the details
    ├── ContentDamaged          500  stored bytes are not what they were: nothing is computed from them
    │   ├── ContentCorrupt      500  other bytes
    │   ├── ContentCut          500  fewer bytes
    │   └── ContentMissing      500  no bytes at all
    ├── DatabaseDamaged         500  the database's own pages are not what they were
    ├── Unavailable             503  not ready, or a peer cannot be reached
    │   └── RestoredDatabase    503  the database is an older one, and the owner has not said so yet
    ├── Unconfined              503  this machine cannot confine strangers' code, so it does not run it
    └── DeadlineExceeded        504

Every class has a stable ``code``. Outside a node an error is an ``application/problem+json`` document
(RFC 9457); inside the SDK the same document becomes the same exception again (:func:`from_problem`).
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import msgspec

from syft_ext.readable import readable

__all__ = [
    "VALUES",
    "Ambiguous",
    "BadRequest",
    "BadSignature",
    "Conflict",
    "ContentCorrupt",
    "ContentCut",
    "ContentDamaged",
    "ContentMissing",
    "DataMismatch",
    "DatabaseDamaged",
    "DatabaseLost",
    "DatabaseOutdated",
    "DeadlineExceeded",
    "EvidenceRefused",
    "ExpiredMessage",
    "Forbidden",
    "ForeignContents",
    "ForeignDatabase",
    "GridError",
    "InternalError",
    "InvalidConfig",
    "InvalidEnvelope",
    "InvalidPlan",
    "InvalidStatement",
    "InvalidTensors",
    "InvalidToken",
    "KeyRefused",
    "LedgerRolledBack",
    "NotAgreed",
    "NotFound",
    "NotLoggedIn",
    "OfferRefused",
    "OperationFailed",
    "OutOfRange",
    "Problem",
    "ProtocolAborted",
    "QuotaExceeded",
    "ReplayedMessage",
    "RequestTimeout",
    "RestoredDatabase",
    "RoundRefused",
    "SealBroken",
    "SessionLost",
    "TooFewInCommon",
    "TooLarge",
    "TooManyRequests",
    "TotpRequired",
    "Unauthenticated",
    "Unavailable",
    "Unconfined",
    "Unsupported",
    "from_problem",
]


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The wire form of an error (RFC 9457, with ``code`` and ``extra`` as extension members)."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    code: str = ""
    extra: dict[str, Any] = {}


class GridError(Exception):
    """The root of the tree. ``extra`` holds machine-readable facts, never secrets or paths.

    ``detail`` is as it was said, by a node maybe. As text, and in a traceback, it is one readable line, so that
    what others say looks like nothing else; lines of ours are below it (:meth:`noted`).
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Error"

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(readable(detail or self.title))
        self.detail = detail or self.title
        self.extra = extra

    def noted(self, line: str) -> Self:
        """The same error, with a line below what it says."""
        self.args = (f"{self}\n  {readable(line)}",)
        self.detail = f"{self.detail}\n  {line}"
        return self

    def to_problem(self) -> Problem:
        """The document that the node answers with (``application/problem+json``)."""
        return Problem(
            type=f"urn:grid:error:{self.code}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            extra=self.extra,
        )


class BadRequest(GridError):
    """Malformed, wrongly typed or inconsistent input: the same request will not do later either."""

    code, status, title = "bad-request", 400, "The request is malformed"


class Ambiguous(BadRequest):
    """A name, or the beginning of an id, that several have: the text lists their ids. No node raises it."""

    code, title = "ambiguous", "Several have this name"


class InvalidEnvelope(BadRequest):
    """What came cannot be read as a signed message, or answers another one."""

    code, title = "invalid-envelope", "The message cannot be read"


class InvalidTensors(BadRequest):
    """A tensor file that contradicts itself, or the model or the object that it is for."""

    code, title = "invalid-tensors", "The tensors do not match"


class InvalidPlan(BadRequest):
    """A plan that does not pass its checks, exceeds its limits, or gives other results than it says."""

    code, title = "invalid-plan", "The plan does not pass its checks"


VALUES = "values"
"""The ``reason`` of an :class:`InvalidPlan` that failed on what its inputs hold, not on their form: that it did
says something about them."""


class DataMismatch(BadRequest):
    """A participant's data are not what a training declares that it takes; no node raises it.

    ``extra["form"]`` says what does not match in the declaration's own words, without a number, word or
    name of the data: that much the training's Domain is told.
    """

    code, title = "data-mismatch", "The data are not what the training takes"


class InvalidConfig(BadRequest):
    """A training's configuration, or a node's, that cannot be honoured; ``extra`` may name the field."""

    code, title = "invalid-config", "The configuration cannot be honoured"


class InvalidStatement(BadRequest):
    """Bytes that are not the one encoding of a statement, or a statement that breaks a rule or is about something
    else than what it was taken for."""

    code, title = "invalid-statement", "The statement cannot be taken"


class OutOfRange(BadRequest):
    """A number lies outside of the range in which a computation on shares is right; nothing of it was opened."""

    code, title = "out-of-range", "A number is too large to be computed with on shares"


class SealBroken(BadRequest):
    """It was not sealed to this key for this purpose, or is not as it was sealed. The text says no more."""

    code, title = "seal-broken", "The seal does not hold"


class OperationFailed(BadRequest):
    """A remote operation failed on its values. Only who may read them is told: it says something of them."""

    code, title = "operation-failed", "The operation failed on these values"


class Unauthenticated(GridError):
    """No identity, or one that does not verify; e-mail or password is wrong."""

    code, status, title = "unauthenticated", 401, "Authentication is needed"


class BadSignature(Unauthenticated):
    """The signature is not that of the key that it ought to be: of the sender, or of the known node."""

    code, title = "bad-signature", "The signature does not verify"


class ExpiredMessage(Unauthenticated):
    """Issued too long ago, too far ahead, or before the node started; ``extra`` may hold the node's time."""

    code, title = "expired-message", "The message is outside the time window"


class ReplayedMessage(Unauthenticated):
    """The node has seen this nonce of this sender before."""

    code, title = "replayed-message", "The message was received before"


class InvalidToken(Unauthenticated):
    """The token is forged, expired, revoked, of another key or of another node: log in again."""

    code, title = "invalid-token", "The token is not valid here"


class TotpRequired(Unauthenticated):
    """The password is right; the login needs a one-time code too, or this code is wrong or used."""

    code, title = "totp-required", "The login needs a one-time code"


class NotLoggedIn(Unauthenticated):
    """The SDK has no credentials for this node; the text says how to log in. No node raises it."""

    code, title = "not-logged-in", "You are not logged in to this node"


class Forbidden(GridError):
    """The identity is known, and lacks the permission; what one may not even find is :class:`NotFound`."""

    code, status, title = "forbidden", 403, "You lack the permission"


class NotAgreed(GridError):
    """A training is not what the owner of the data agreed to, or wants more than that. No node raises it.
    ``extra["reason"]``: "review" (nobody whose word counts has agreed), "definition" (it is another training than
    the one agreed to), "content" (what was sent is not of it) or "max-reports"."""

    code, status, title = "not-agreed", 403, "The owner of the data did not agree to this"


class EvidenceRefused(GridError):
    """Evidence of an attested process that does not hold, or not for this policy, time or session.
    ``extra["reason"]`` is one of the stable codes of :class:`syft_ext.attestation.evidence.Reason`."""

    code, status, title = "evidence-refused", 403, "The evidence is refused"


class OfferRefused(NotAgreed):
    """What a Domain offers of a confidential training does not pass the participant's own checks: nothing was
    sent. No node raises it. ``extra["check"]`` names the check."""

    code, title = "offer-refused", "The confidential offer does not hold"


class RoundRefused(NotAgreed):
    """A participant does not answer in a round of secure aggregation: what the Domain asks for, or shows, could
    tell it somebody's own numbers. No node raises it.

    ``extra["reason"]`` says what was tried: "forged-keys", "base-model", "round-reused", "roster-changed",
    "roster", "split-survivors", "too-few", "identity", or "order" and "lost" where a round cannot be gone on with.
    """

    code, title = "round-refused", "This round of secure aggregation is not answered"


class NotFound(GridError):
    """There is no such thing, or none that the caller may find: the two cannot be told apart."""

    code, status, title = "not-found", 404, "There is no such thing here"


class RequestTimeout(GridError):
    """The client did not send all of its request in time."""

    code, status, title = "request-timeout", 408, "The request did not come in time"


class Conflict(GridError):
    """It exists already, or its state does not allow this now."""

    code, status, title = "conflict", 409, "The current state does not allow this"


class ForeignDatabase(Conflict):
    """The database belongs to another node: this one does not start on it."""

    code, title = "foreign-database", "The database belongs to another node"


class ForeignContents(Conflict):
    """The store of contents belongs to another database: the node does not start, and nothing is deleted."""

    code, title = "foreign-contents", "The store of contents belongs to another database"


class DatabaseLost(Conflict):
    """The database is empty where the home knows of another: restore it, or ``grid … adopt``."""

    code, title = "database-lost", "The database is empty, and there was another one"


class DatabaseOutdated(Conflict):
    """The database is older than what the home has seen: restore a newer one, or ``grid … adopt``."""

    code, title = "database-outdated", "The database is older than what its node has seen"


class KeyRefused(Conflict):
    """A key host gives no key, or no share of an output: ``extra["reason"]`` says in one word why. Whether the
    same can be had later depends on it; what was refused for another manifest or output of the round never can."""

    code, title = "key-refused", "The key host gives no key for this"


class LedgerRolledBack(Conflict):
    """A key host's ledger lacks a row that somebody has seen, or has another in its place: it was restored.
    Nothing is granted there until its operator has run ``grid key-host recover``."""

    code, title = "ledger-rolled-back", "The key host's ledger is older than what others have seen of it"


class ProtocolAborted(Conflict):
    """A party of a computation on shares did not do what the protocol says: it is over, and nothing was opened."""

    code, title = "protocol-aborted", "The computation on shares was given up"


class TooFewInCommon(Conflict):
    """Fewer ids are in both tables than the owners let be told; nothing else is told of them."""

    code, title = "too-few-in-common", "Too few ids are in common"


class SessionLost(GridError):
    """The compute session was closed, expired or ended with its process; its values are gone."""

    code, status, title = "session-lost", 410, "The compute session is gone"


class TooLarge(GridError):
    """More bytes, rows or values than are taken or let out; ``extra`` mostly holds the ``limit``."""

    code, status, title = "too-large", 413, "The request is too large"


class QuotaExceeded(TooLarge):
    """It would be more than the caller may keep here; ``extra`` names the ``quota`` and its ``limit``."""

    code, title = "quota-exceeded", "Your quota does not allow this"


class Unsupported(GridError):
    """It was understood, and is not offered here; the text says what is, where there is something."""

    code, status, title = "unsupported", 422, "This is not supported here"


class TooManyRequests(GridError):
    """A limit on how many or how often; where ``extra`` has ``retry_after``, try again after so many seconds."""

    code, status, title = "too-many-requests", 429, "Too many requests"


class InternalError(GridError):
    """The node failed. Its log has the details, the answer has none."""

    code, status, title = "internal", 500, "The node failed to answer"


class ContentDamaged(GridError):
    """Stored bytes are not what they were when they were stored. Nothing is computed from them until they are
    there again: from a backup, or uploaded anew. ``extra["digest"]`` says which."""

    code, status, title = "content-damaged", 500, "A stored content is damaged"


class ContentCorrupt(ContentDamaged):
    """As many bytes as there were, or more, and others."""

    code, title = "content-corrupt", "A stored content is not what it was"


class ContentCut(ContentDamaged):
    """Fewer bytes than there were."""

    code, title = "content-cut", "A stored content was cut short"


class ContentMissing(ContentDamaged):
    """The database refers to it, and it is not there."""

    code, title = "content-missing", "A stored content is missing"


class DatabaseDamaged(GridError):
    """The database's own pages are not what they were: a node does not start on it. Restore it from a backup."""

    code, status, title = "database-damaged", 500, "The database is damaged"


class Unavailable(GridError):
    """Not ready, stopping, or not to be reached: trying again may help."""

    code, status, title = "unavailable", 503, "The service is not available"


class RestoredDatabase(Unavailable):
    """The node's database is older than what it has seen: what is counted (grants, budgets, releases) waits until
    the owner says that this is so (``grid <kind> acknowledge-restore``)."""

    code, title = "restored-database", "The database was restored, and that was not acknowledged yet"


class Unconfined(GridError):
    """A protection that strangers' code needs around it is not to be had on this machine; nothing was run.

    The text says which and why; ``extra["missing"]`` has their names. ``grid doctor`` shows them.
    """

    code, status, title = "unconfined", 503, "This machine cannot confine strangers' code"


class DeadlineExceeded(GridError):
    """It was not done in the time that the caller gave it. It may be done all the same."""

    code, status, title = "deadline-exceeded", 504, "The deadline passed"


def _tree(cls: type[GridError]) -> list[type[GridError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _tree(child))]


def from_problem(problem: Problem) -> GridError:
    """The exception that a node's problem document stands for; unknown codes keep their HTTP class."""
    tree = _tree(GridError)
    match = next((cls for cls in tree if cls.code == problem.code), None)
    if match is None:
        match = next((cls for cls in tree if cls.status == problem.status), InternalError)
    return match(problem.detail, **problem.extra)
