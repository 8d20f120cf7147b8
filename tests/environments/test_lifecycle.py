"""Environments from making to ending, with real hosts in real processes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from grid.environments.processes import ProcessHandle, ended_as, spawn
from grid.environments.service import EnvironmentService
from syft_ext.errors import Conflict, NotFound, SessionLost, TooManyRequests
from syft_ext.messages import environments as m
from syft_ext.messages.accounts import DeleteUser, UpdateUser
from syft_ext.messages.audit import ListAudit
from syft_ext.messages.compute import Action, Call, Drop, ListComputeSessions
from tests.accounts.people import House

from .bench import ADD, ComputeClient, create, process_in, seen


def keep(house: House) -> None:
    house.node.service(EnvironmentService).keep()


def advance(house: House, seconds: float) -> None:
    house.clock.advance(seconds)  # type: ignore[attr-defined]


def test_it_survives_the_domain_and_ends_with_all_that_is_in_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRID_DATABASE_URL", "postgresql://secret")
    owner = house.set_up()
    eve, _ = house.add_user(owner, "eve@x.org")
    made = create(owner, "eve@x.org")
    view = seen(eve, made.id)
    assert (view.user, view.instance_type, view.threads) == ("eve@x.org", "tiny", 1)
    compute = ComputeClient.open(eve, made.id)
    assert compute.put(1, [2, 3]).failures == []
    process = process_in(house.home, made.id)
    assert process is not None
    check_confined(process, house.home.resolve() / "environments" / made.id)
    stray = begin_stray(house.home.resolve() / "environments" / ("a" * 32))
    unwanted = create(owner)
    owner.call(m.DestroyEnvironment(environment_id=unwanted.id))  # while it is being made
    assert seen(owner, unwanted.id, "destroyed").ended_at is not None
    advance(house, 5)
    house.restart()

    eve = house.log_in("eve@x.org")
    again = seen(eve, made.id)
    assert again.created_at == made.created_at and process_in(house.home, made.id) == process
    assert [each.session_id for each in eve.call(ListComputeSessions()).sessions] == [compute.id]
    compute.who = eve
    assert compute.run([ADD]).failures == [] and compute.fetch(3) == [4, 6]
    again = seen(eve, made.id)
    assert (again.sessions, again.used_at) == (1, house.clock.now())
    assert 0 < (again.cpu_used or 0) < 60 and (again.memory_used or 0) > 100 << 20

    check_that_it_ends(stray, house.home / "environments" / ("a" * 32))
    assert process_in(house.home, unwanted.id) is None
    advance(house, 3601)
    eve = compute.who = house.log_in("eve@x.org")
    keep(house)
    ended = seen(eve, made.id, "destroyed")
    assert ended.reason == "its time of 3600 s was up"
    assert [step.state for step in ended.history] == ["creating", "running", "destroying", "destroyed"]
    assert process_in(house.home, made.id) is None
    assert not (house.home / "environments" / made.id).exists()
    with pytest.raises(SessionLost):
        compute.run([ADD])
    with pytest.raises(Conflict):
        ComputeClient.open(eve, made.id)
    with pytest.raises(Conflict):
        eve.call(m.DestroyEnvironment(environment_id=made.id))


def begin_stray(folder: Path) -> ProcessHandle:
    """A process in the folder of an environment that no row tells of."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", "import time; time.sleep(60)", str(folder)]
    return spawn(command, {}, folder / "log")


def check_that_it_ends(stray: ProcessHandle, folder: Path) -> None:
    """The first round of a node's life looks for strays."""
    deadline = time.monotonic() + 60
    while stray.usage is not None or folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ended_as(stray)


def check_confined(process: ProcessHandle, folder: Path) -> None:
    """It has nothing of ours, and can do nothing but compute."""
    proc = Path(f"/proc/{process.pid}")
    assert b"secret" not in (proc / "environ").read_bytes()
    assert "Seccomp:\t2\n" in (proc / "status").read_text()
    interfaces = [line.split(":")[0].strip() for line in (proc / "net/dev").read_text().splitlines()[2:]]
    assert interfaces in ([], ["lo"])
    opened = [str(path.readlink()) for path in (proc / "fd").iterdir()]
    files = {path for path in opened if not path.startswith(("socket:", "anon_inode:"))}
    assert files == {"/dev/null", str(folder / "log")}
    assert folder.stat().st_mode & 0o777 == 0o700 and (folder / "log").stat().st_size <= 1 << 20


def test_limits_end_it_and_the_state_says_why(house: House) -> None:
    owner = house.set_up()
    made, failing = create(owner, instance_type="brief"), create(owner)
    while (process := process_in(house.home, failing.id)) is None:
        time.sleep(0.01)
    process.kill()
    failed = seen(owner, failing.id, "failed")
    assert failed.reason == "the environment did not start: it was ended by SIGKILL"
    assert not (house.home / "environments" / failing.id).exists()
    seen(owner, made.id)
    compute = ComputeClient.open(owner, made.id)
    (refused,) = compute.run(
        [Call([2], "aten.full.default", [["l", 8 << 20], 1.0], {"dtype": ["d", "f64"]})]
    ).failures
    assert refused.code == "too-large"  # its memory is bounded: the operation is refused, and it goes on
    compute.run([Call([3], "aten.full.default", [["l", 700, 700], 1.0], {})])
    with pytest.raises(SessionLost):
        for first in range(4, 10_000, 20):
            numbers = range(first, first + 20)
            work: list[Action] = [Call([n], "aten.mm.default", [["r", 3], ["r", 3]], {}) for n in numbers]
            assert compute.run([*work, Drop(list(numbers))]).failures == []
    while process_in(house.home, made.id) is not None:  # its socket is closed a moment before it is gone
        time.sleep(0.01)
    keep(house)
    lost = seen(owner, made.id, "lost")
    assert lost.reason == "it used up its 7 s of CPU time" and lost.ended_at is not None
    assert not (house.home / "environments" / made.id).exists()
    every: m.EnvironmentList = owner.call(m.ListEnvironments(include_failed=True))
    assert {each.state for each in every.environments} == {"failed", "lost"}
    owner.call(m.DestroyEnvironment(environment_id=made.id))


def test_what_is_abandoned_is_destroyed(house: House) -> None:
    owner = house.set_up()
    people = [house.add_user(owner, f"{name}@x.org") for name in ("gone", "off", "idle")]
    made = [create(owner, user.id) for _, user in people]
    with pytest.raises(TooManyRequests):
        owner.call(m.CreateEnvironment())
    for each in made:
        seen(owner, each.id)
    keep(house)
    assert {seen(owner, each.id).state for each in made} == {"running"}

    owner.call(DeleteUser(user_id=people[0][1].id))
    owner.call(UpdateUser(user_id=people[1][1].id, disabled=True))
    keep(house)
    gone, off = seen(owner, made[0].id, "destroyed"), seen(owner, made[1].id, "destroyed")
    assert (gone.reason, gone.user_id, gone.user) == ("its user was deleted", "", "")
    assert off.reason == "its user was disabled"
    with pytest.raises(NotFound):
        ComputeClient.open(owner, made[0].id)

    advance(house, 590)
    ComputeClient.open(people[2][0], made[2].id)  # somebody uses it: its idle time begins anew
    advance(house, 590)
    keep(house)
    assert seen(owner, made[2].id).state == "running"
    advance(house, 11)
    keep(house)
    idle = seen(owner, made[2].id, "destroyed")
    assert idle.reason == "nothing ran in it for 600 s"
    told = owner.call(ListAudit(operation="environments.destroy")).entries
    assert {entry.actor_kind for entry in told} == {"node"}
    assert {entry.detail["reason"] for entry in told} == {gone.reason, off.reason, idle.reason}
