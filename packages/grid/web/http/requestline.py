"""The first line of a request, read strictly: method, target and version (RFC 9112, sections 2.3 and 3)."""

from __future__ import annotations

import re
from io import BufferedReader
from typing import NamedTuple, Self

__all__ = ["HOST", "METHODS", "URI", "Refusal", "RequestLine", "unsupported_media_type"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Those that resources here may have. TRACE is known too, and none has it."""
MAX_REQUEST_LINE = 8192
_EMPTY_LINES = 4
_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/([0-9])\.([0-9])\r\n")
# What no URI has is refused, but for a few characters that browsers leave as they are in queries ([]^`{|}).
URI = re.compile(r"(?:[!$&-;=?-\[\]-~]|%[0-9A-Fa-f]{2})*")
HOST = re.compile(r"(?:(?:[0-9A-Za-z\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_ABSOLUTE = re.compile(r"https?://([^/?]*)(/[^?]*)?(\?.*)?", re.IGNORECASE)


class Refusal(ValueError):
    """A request that HTTP's own rules turn away; the text says what is wrong with it.

    Attributes:
        status, code: those of the answer.
    """

    def __init__(self, detail: str, status: int = 400, code: str = "bad-request") -> None:
        super().__init__(detail)
        self.status, self.code = status, code


def unsupported_media_type(detail: str) -> Refusal:
    """A body that is not of the kind that is taken (RFC 9110, section 15.5.16)."""
    return Refusal(detail, 415, "unsupported-media-type")


class RequestLine(NamedTuple):
    """``target`` is as it came; :meth:`aim` says what it means. ``version`` is HTTP/1.0 or HTTP/1.1."""

    method: str
    target: str
    version: str

    @classmethod
    def read(cls, file: BufferedReader) -> Self:
        """Raises :class:`Refusal`, and EOFError when there is none.

        A few empty lines in front of it are skipped (RFC 9112, section 2.2): old clients send one behind a body.
        """
        line = file.readline(MAX_REQUEST_LINE)
        for _ in range(_EMPTY_LINES):
            if line != b"\r\n":
                break
            if not _more(file):
                raise EOFError
            line = file.readline(MAX_REQUEST_LINE)
        if len(line) == MAX_REQUEST_LINE and not line.endswith(b"\n"):
            raise Refusal("the request line is too long", 414, "uri-too-long")
        match = _LINE.fullmatch(line.decode("latin-1"))
        if match is None:
            raise Refusal("this is not a request line of HTTP/1.1")
        if match[3] != "1":
            raise Refusal("this server speaks HTTP/1.1", 505, "http-version-not-supported")
        return cls(match[1], match[2], "HTTP/1.0" if match[4] == "0" else "HTTP/1.1")

    def aim(self) -> tuple[str, str | None]:
        """Path and query (or ``*``), and the host where the target names one (RFC 9112, section 3.2)."""
        if self.method not in METHODS and self.method != "TRACE":
            # CONNECT as well: whoever sends it may have sent on what is not for us, and not HTTP.
            raise Refusal("this server does not know the method", 501, "not-implemented")
        if URI.fullmatch(self.target) is not None:
            if self.target.startswith("/"):
                return self.target, None
            if self.target == "*" and self.method == "OPTIONS":
                return "*", None
            match = _ABSOLUTE.fullmatch(self.target)
            if match is not None and HOST.fullmatch(match[1]) is not None:
                host, path, query = match.groups(default="")
                if not path and not query and self.method == "OPTIONS":
                    return "*", host
                return (path or "/") + query, host
        raise Refusal("the request's target is not valid")


def _more(file: BufferedReader) -> bool:
    """Whether something comes before the end, or before it takes too long: an empty line asks for no answer."""
    try:
        return bool(file.peek(1))
    except TimeoutError:
        return False
