"""The fixtures of this area."""

from .fixtures import impatient, impatient_server, running, served, socket_server  # noqa: F401
