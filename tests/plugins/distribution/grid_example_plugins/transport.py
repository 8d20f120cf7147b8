"""A transport: frames over a Unix socket, ``example-unix:///path``; the tests have both of its ends."""

from __future__ import annotations

from tests.transport.suite.unix import UnixTransport

__all__ = ["UnixTransport"]
