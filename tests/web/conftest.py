"""The fixtures of this area."""

from .fixtures import impatient_server, running, served, socket_server  # noqa: F401
