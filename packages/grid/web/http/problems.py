"""Errors as ``application/problem+json`` (RFC 9457). No traceback and no exception text of ours leaves."""

from __future__ import annotations

import logging

import msgspec

from grid.web.http.requestline import Refusal
from grid.web.http.response import Response, reason_phrase
from syft_ext.errors import GridError, InternalError, Problem, Unauthenticated

__all__ = ["PROBLEM_TYPE", "error_response", "problem_response", "to_problem"]

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
_encode = msgspec.json.Encoder().encode


def to_problem(error: Exception) -> Problem:
    """The problem document that stands for ``error``; what is not ours to explain is logged and masked."""
    if isinstance(error, GridError):
        return _plain(error.to_problem())
    if isinstance(error, Refusal):
        return _problem(error.status, error.code, str(error))
    logger.error("a request failed", exc_info=error)
    return InternalError("the node failed to answer; its log has the details").to_problem()


def _problem(status: int, code: str, detail: str) -> Problem:
    return Problem(
        type=f"urn:grid:error:{code}",
        title=reason_phrase(status),
        status=status,
        detail=detail,
        code=code,
    )


def _plain(problem: Problem) -> Problem:
    """``problem`` without its facts where JSON cannot carry them: the error matters more."""
    if problem.extra:
        try:
            _encode(problem.extra)
        except (TypeError, ValueError):
            logger.error("the facts of a %s error cannot be encoded: %r", problem.code, problem.extra)
            return msgspec.structs.replace(problem, extra={})
    return problem


def problem_response(status: int, code: str, detail: str) -> Response:
    """For what only HTTP knows (methods, media types, handshakes): no class of the tree stands for it."""
    return Response(_encode(_problem(status, code, detail)), status, [("Content-Type", PROBLEM_TYPE)])


def error_response(error: Exception) -> Response:
    """The response to a request that ended in ``error``."""
    problem = to_problem(error)
    headers = [("Content-Type", PROBLEM_TYPE)]
    if isinstance(error, Unauthenticated):
        headers.append(("WWW-Authenticate", f'Bearer realm="grid", error="{error.code}"'))
    retry = problem.extra.get("retry_after")
    if problem.status in (429, 503) and isinstance(retry, int | float):
        headers.append(("Retry-After", str(max(1, round(retry)))))
    return Response(_encode(problem), problem.status, headers)
