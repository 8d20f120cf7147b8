"""What is said of an environment that has ended."""

from __future__ import annotations

import pytest

from grid.environments.keeper import why_it_ended
from grid.environments.provider import EnvironmentHealth

KILLED = "it was ended by SIGKILL"


@pytest.mark.parametrize("used", [3400.0, 3600.0, 3601.0])
def test_a_limit_is_named_although_the_kernel_tells_of_less_time_than_it_counted(used: float) -> None:
    reason = "it used up its 3600 s of CPU time"
    assert why_it_ended(3600, EnvironmentHealth(False, KILLED, used), None) == reason
    assert why_it_ended(3600, EnvironmentHealth(False), EnvironmentHealth(True, "", used, 1)) == reason


def test_who_used_little_was_ended_by_something_else() -> None:
    assert why_it_ended(3600, EnvironmentHealth(False, KILLED, 60.0), None) == KILLED
    assert (
        why_it_ended(3600, EnvironmentHealth(False), EnvironmentHealth(True, "", 60.0, 1))
        == "it ended by itself"
    )
    assert "did not run" in why_it_ended(3600, EnvironmentHealth(False), None)
