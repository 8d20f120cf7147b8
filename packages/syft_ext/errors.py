"""One exception tree for everything that can go wrong between a user and a node.

    GridError
    ├── BadRequest              400  malformed, wrongly typed or inconsistent input
    │   ├── InvalidEnvelope     400  a message that cannot be read as an envelope
    │   ├── InvalidTensors      400  a tensor file that contradicts itself or what was asked for
    │   ├── InvalidPlan         400  a plan that does not pass its checks
    │   ├── InvalidConfig       400  a training configuration that cannot be honoured
    │   └── OperationFailed     400  a remote operation failed on the values that it was given
    ├── Unauthenticated         401  no identity, or one that does not verify
    │   ├── BadSignature        401  the signature does not match the sender's key
    │   ├── ExpiredMessage      401  outside the time window
    │   ├── ReplayedMessage     401  this nonce was seen before
    │   ├── InvalidToken        401  forged, expired, revoked, or from another node
    │   ├── TotpRequired        401  the password is right; the login needs a one-time code too
    │   └── NotLoggedIn         401  the SDK has no credentials for this node
    ├── Forbidden               403  the identity is known and lacks the permission
    ├── NotFound                404
    ├── RequestTimeout          408  the request did not come in time
    ├── Conflict                409  it exists already, or its state does not allow this
    │   ├── ForeignDatabase     409  the database belongs to another node
    │   ├── ForeignContents     409  the store of contents belongs to another database
    │   ├── DatabaseLost        409  an empty database, where there was another one
    │   └── DatabaseOutdated    409  a database older than what its node has seen
    ├── SessionLost             410  the compute session, and the values in it, are gone
    ├── TooLarge                413
    ├── Unsupported             422  understood, and not offered here
    ├── TooManyRequests         429
    ├── InternalError           500  the node failed; its log has the details
    ├── Unavailable             503  not ready, or a peer cannot be reached
    └── DeadlineExceeded        504

Every class has a stable ``code``. Outside a node an error is an ``application/problem+json`` document
(RFC 9457); inside the SDK the same document becomes the same exception again (:func:`from_problem`).
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

__all__ = [
    "BadRequest",
    "BadSignature",
    "Conflict",
    "DatabaseLost",
    "DatabaseOutdated",
    "DeadlineExceeded",
    "ExpiredMessage",
    "Forbidden",
    "ForeignContents",
    "ForeignDatabase",
    "GridError",
    "InternalError",
    "InvalidConfig",
    "InvalidEnvelope",
    "InvalidPlan",
    "InvalidTensors",
    "InvalidToken",
    "NotFound",
    "NotLoggedIn",
    "OperationFailed",
    "Problem",
    "ReplayedMessage",
    "RequestTimeout",
    "SessionLost",
    "TooLarge",
    "TooManyRequests",
    "TotpRequired",
    "Unauthenticated",
    "Unavailable",
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
    """The root of the tree. ``extra`` holds machine-readable facts, never secrets or paths."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Error"

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extra = extra

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


class InvalidEnvelope(BadRequest):
    """What came cannot be read as a signed message, or answers another one."""

    code, title = "invalid-envelope", "The message cannot be read"


class InvalidTensors(BadRequest):
    """A tensor file that contradicts itself, or the model or the object that it is for."""

    code, title = "invalid-tensors", "The tensors do not match"


class InvalidPlan(BadRequest):
    """A plan that does not pass its checks, exceeds its limits, or gives other results than it says."""

    code, title = "invalid-plan", "The plan does not pass its checks"


class InvalidConfig(BadRequest):
    """A training's configuration, or a node's, that cannot be honoured; ``extra`` may name the field."""

    code, title = "invalid-config", "The configuration cannot be honoured"


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


class SessionLost(GridError):
    """The compute session was closed, expired or ended with its process; its values are gone."""

    code, status, title = "session-lost", 410, "The compute session is gone"


class TooLarge(GridError):
    """More bytes, rows or values than are taken or let out; ``extra`` mostly holds the ``limit``."""

    code, status, title = "too-large", 413, "The request is too large"


class Unsupported(GridError):
    """It was understood, and is not offered here; the text says what is, where there is something."""

    code, status, title = "unsupported", 422, "This is not supported here"


class TooManyRequests(GridError):
    """A limit on how many or how often; where ``extra`` has ``retry_after``, try again after so many seconds."""

    code, status, title = "too-many-requests", 429, "Too many requests"


class InternalError(GridError):
    """The node failed. Its log has the details, the answer has none."""

    code, status, title = "internal", 500, "The node failed to answer"


class Unavailable(GridError):
    """Not ready, stopping, or not to be reached: trying again may help."""

    code, status, title = "unavailable", 503, "The service is not available"


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
