"""The fixtures of this area: the probe nodes of the web front."""

from tests.web.fixtures import running, served  # noqa: F401
