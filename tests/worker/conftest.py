"""Workers as processes, beside a Domain as a process."""

from __future__ import annotations

from tests.apps.conftest import nodes, user_home

__all__ = ["nodes", "user_home"]
