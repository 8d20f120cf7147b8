"""Hosts that die, hang or outlive their node; nodes that are killed. The real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import torch

from grid.compute.host_channel import HostChannel
from grid.compute.hosts import host_command
from grid.compute.protocol import Attach, Sessions
from grid.compute.service import ComputeService
from syft_ext.errors import Forbidden, NotFound, SessionLost, TooManyRequests, Unauthenticated
from syft_ext.messages import compute as c
from syft_ext.messages.accounts import UpdateUser
from tests.nodes import NodeProcess
from tests.processes import descendants

from .lab import Lab, Person, Remote, ref

pytestmark = pytest.mark.parametrize("lab", ["sqlite"], indirect=True)


def hosts() -> set[int]:
    """The processes of sessions that this test process has started."""
    found = set()
    for process in descendants(os.getpid()):
        with contextlib.suppress(psutil.Error):
            if "grid.compute.host" in process.cmdline() and process.ppid() != os.getpid():
                found.add(process.pid)
    return found


def gone(pid: int, seconds: float = 90.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_session_is_a_locked_down_process_that_ends_with_it(lab: Lab) -> None:
    before = hosts()
    remote = lab.sue.open()
    (pid,) = hosts() - before
    host_channel = lab.node.service(ComputeService)._sessions.find(remote.id, lab.sue.id).channel
    assert {"namespaces", "rlimits", "landlock", "seccomp"} <= set(host_channel.protections)
    assert Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status
    remote.close()
    assert gone(pid)


def test_a_host_that_dies_takes_its_session_and_nothing_else(lab: Lab) -> None:
    other = lab.sam.open()
    x = other.put(torch.ones(1))
    before = hosts()
    remote = lab.sue.open()
    kept = remote.keep(remote.put(torch.tensor([7.0])))
    (pid,) = hosts() - before
    os.kill(pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(SessionLost):
            remote.put(torch.ones(1))
    with pytest.raises(SessionLost):
        remote.fetch(0)
    assert lab.sue.get(kept.id).item() == 7
    assert lab.sue.call(c.ListComputeSessions()).sessions == []
    assert other.fetch(x).item() == 1
    with contextlib.suppress(SessionLost):
        remote.close()
    other.close()
    again = lab.sue.open()
    again.close()


def test_a_new_nursery_replaces_a_dead_one(lab: Lab) -> None:
    children = lab.node.service(ComputeService)._sessions._children
    remote = lab.sue.open()
    nursery = children._nursery
    assert nursery is not None
    os.kill(nursery.pid, signal.SIGKILL)
    other = lab.sam.open()
    assert remote.fetch(remote.put(torch.ones(1))).item() == 1  # hosts do not depend on it
    remote.close()
    other.close()


def test_operations_that_take_too_long_end_their_session(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = lab.node.service(ComputeService)._runner
    monkeypatch.setattr(runner, "_seconds", 0.2)
    remote = lab.sue.open()
    # 60 products of 16 GFLOP: more than the limit on any machine, by a factor of ten on the fastest.
    x = remote.put(torch.randn(2000, 2000, dtype=torch.float64))
    outs = [remote.new() for _ in range(60)]
    before = time.monotonic()
    batch = [step for out in outs for step in (_product(x, out), c.Drop([out]))]
    with pytest.raises(SessionLost):
        for _ in range(100):
            remote.send(batch)
            outs = [remote.new() for _ in range(60)]
            batch = [step for out in outs for step in (_product(x, out), c.Drop([out]))]
    assert time.monotonic() - before < 60
    with contextlib.suppress(SessionLost):
        remote.close()


def _product(x: int, out: int) -> c.Call:
    return c.Call([out], "aten.mm.default", [ref(x), ref(x)], {})


def test_idle_sessions_are_closed_and_then_the_nursery(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = lab.node.service(ComputeService)._sessions
    rested: list[bool] = []
    monkeypatch.setattr(sessions._children, "rest", lambda: rested.append(True))
    before = hosts()
    remote = lab.sue.open()
    (pid,) = hosts() - before
    sessions.sweep()
    assert not rested
    assert remote.fetch(remote.put(torch.ones(1))).item() == 1
    now = lab.node.clock.now()
    monkeypatch.setattr(type(lab.node.clock), "now", lambda _: now + 2000)
    sessions.sweep()
    monkeypatch.undo()
    with pytest.raises(SessionLost):
        remote.put(torch.ones(1))
    assert gone(pid)
    assert rested


def test_sessions_are_counted(lab: Lab) -> None:
    opened = []
    with pytest.raises(TooManyRequests):
        for _ in range(9):
            opened.append(lab.sue.open())
    assert len(opened) == 8
    for remote in opened:
        remote.close()


def test_who_is_disabled_or_logged_out_computes_no_more(lab: Lab) -> None:
    eve = lab.user("eve@lab.example")
    remote = eve.open()
    x = remote.put(torch.ones(1))
    lab.owner.call(UpdateUser(user_id=eve.id, disabled=True))
    for refused in (lambda: remote.fetch(x), lambda: remote.put(torch.ones(1)), remote.close):
        with pytest.raises(Unauthenticated):
            refused()
    lab.owner.call(UpdateUser(user_id=eve.id, disabled=False))
    again = Person(lab.served.url, "eve@lab.example")
    mine = Remote(again, remote.id)
    assert mine.fetch(x, after=0).item() == 1  # it is theirs again, until it expires
    mine.close()


# -- environments ----------------------------------------------------------------------------------------------


class OneEnvironment:
    """Sue's only environment: a host that listens."""

    id = "e" * 32

    def __init__(self, folder: Path, owner: str, *, lease: float = 60.0) -> None:
        folder.mkdir(mode=0o700)
        self.path, self.owner = folder / "host", owner
        self.process = subprocess.Popen(host_command(str(self.path), lease=lease, memory=32 << 20))
        while not self.path.exists():
            time.sleep(0.05)

    def connect(self, environment_id: str, user_id: str) -> HostChannel:
        if environment_id != self.id:
            raise NotFound("there is no such environment")
        if user_id != self.owner:
            raise Forbidden("this environment is somebody else's")
        return HostChannel.connect(self.path)

    def of(self, user_id: str) -> list[str]:
        return [self.id] if user_id == self.owner else []


@pytest.fixture(scope="module")
def environment(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneEnvironment]:
    environment = OneEnvironment(tmp_path_factory.mktemp("environment") / "e", lab.sue.id, lease=3.0)
    service = lab.node.service(ComputeService)
    service.use(environment)
    HostChannel.connect(environment.path).close()  # it is warm
    yield environment
    service._sessions.environments = None
    service._sessions._forget(environment.id)
    environment.process.kill()
    environment.process.wait()


def test_sessions_in_an_environment_survive_their_node(lab: Lab, environment: OneEnvironment) -> None:
    secret = lab.owner.put(torch.tensor([4.0, 2.0]))
    grant = lab.grant(lab.sue, secret, "compute", uses_left=1)
    for wrong in (lab.sam, lab.owner):
        with pytest.raises(Forbidden):
            wrong.open(environment.id)
    one, two = lab.sue.open(environment.id), lab.sue.open(environment.id)
    x = one.load(secret)
    doubled = one.do("aten.mul.Tensor", ref(x), 2.0)
    mine = two.put(torch.tensor([1.0]))
    one.do("aten.mm.default", ref(x), ref(x))
    failures = one.failures()
    assert len(failures) == 1 and lab.uses(grant) == 0

    _forget_everything(lab, environment)
    assert {s.session_id for s in lab.sue.call(c.ListComputeSessions()).sessions} == {one.id, two.id}
    assert one.view().done == one.sent == 3 and one.view().environment == environment.id
    assert one.failures() == failures
    # What was sent twice runs once, what was derived is as confidential, the use that was spent still counts.
    again = msgspec.msgpack.encode([c.Call([doubled], "aten.mul.Tensor", [ref(x), 2.0], {})])
    assert lab.sue.call(c.RunActions(session_id=one.id, first=1, actions=again)).done == 3
    more = one.do("aten.add.Tensor", ref(doubled), ref(x))
    assert len(one.failures()) == 1
    with pytest.raises(Forbidden):  # they compute on it, and may not read it
        one.fetch(more)
    assert two.fetch(mine).item() == 1
    lab.grant(lab.sue, secret, "read")
    assert one.fetch(more).tolist() == [12, 6]
    with pytest.raises(SessionLost):
        Remote(lab.sam, one.id).fetch(0, after=0)
    one.close()
    two.close()
    assert lab.sue.call(c.ListComputeSessions()).sessions == []


def _forget_everything(lab: Lab, environment: OneEnvironment) -> None:
    """As a node does that was killed."""
    sessions = lab.node.service(ComputeService)._sessions
    host_channel = sessions._channels.pop(environment.id)
    sessions._sessions.clear()
    host_channel.close()


def test_all_sessions_of_an_environment_share_its_memory(lab: Lab, environment: OneEnvironment) -> None:
    one, two = lab.sue.open(environment.id), lab.sue.open(environment.id)
    one.put(torch.zeros(5 << 20))
    two.put(torch.zeros(5 << 20))
    assert [f.code for f in two.failures()] == ["too-large"]
    one.close()
    two.put(torch.zeros(5 << 20))
    assert len(two.failures()) == 1
    two.close()


def test_what_is_no_node_is_hung_up_on(lab: Lab, environment: OneEnvironment) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b""):
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(environment.path))
            channel.sendall(noise)
            channel.shutdown(socket.SHUT_WR)
            channel.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                while channel.recv(4096):
                    pass
    HostChannel.connect(environment.path).close()


def test_an_environment_without_a_node_ends(lab: Lab, environment: OneEnvironment) -> None:
    remote = lab.sue.open(environment.id)
    host_channel = HostChannel.connect(environment.path)
    assert len(host_channel.call(Attach(), Sessions).sessions) == 1
    assert {"namespaces", "seccomp"} <= set(host_channel.protections)
    _forget_everything(lab, environment)
    time.sleep(3.5)  # longer than the lease: a node is there
    assert environment.process.poll() is None
    host_channel.close()
    assert environment.process.wait(60) == 0
    for _ in range(2):
        with pytest.raises(SessionLost):
            remote.put(torch.ones(1))
    with pytest.raises(SessionLost):
        lab.sue.open(environment.id)


# -- the node as a process -------------------------------------------------------------------------------------


def test_a_node_that_is_killed_leaves_no_process_and_keeps_what_was_kept(tmp_path: Path, lab: Lab) -> None:
    """The real node under gevent: sessions end with it, and the SDK is told; kept objects are there."""
    email, password = "owner@lab.example", "correct horse"
    environment = {"GRID_OWNER_EMAIL": email, "GRID_OWNER_PASSWORD": password}
    home = tmp_path / "domain"
    with NodeProcess("domain", home, ["--port", "0"], environment=environment) as node:
        me = Person(node.url, email)
        remote = me.open()
        x = remote.put(torch.arange(4.0))
        results: list[torch.Tensor] = []
        threads = [
            threading.Thread(target=lambda: results.append(remote.fetch(x, after=1))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 4
        kept = remote.keep(x)
        pid = node.process.pid
        children = [each.pid for each in descendants(pid)]
        assert len(children) >= 2  # the nursery and a host
        assert not any("torch" in line for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
        os.kill(pid, signal.SIGKILL)
        assert all(gone(child) for child in children)
    with NodeProcess("domain", home, ["--port", "0"], environment=environment) as node:
        me = Person(node.url, email)
        with pytest.raises(SessionLost):
            Remote(me, remote.id).fetch(x)
        assert me.get(kept.id).tolist() == [0, 1, 2, 3]
