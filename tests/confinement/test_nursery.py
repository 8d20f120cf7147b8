"""Sandboxes are forked from one process that has imported torch; nothing is lost where that one rests or dies."""

from __future__ import annotations

import _socket
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from syft_ext.confinement import nursery, nursery_main
from syft_ext.confinement.lockdown import PROTECTIONS
from syft_ext.confinement.nursery import NurseryChild
from syft_ext.errors import Unavailable
from syft_ext.plans.sandbox.process import SandboxProcess

MODULE = "syft_ext.plans.sandbox.child_main"


def facts_of(pid: int) -> tuple[str, int]:
    """State and parent of a process; "Z", 0 where there is none."""
    try:
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return "Z", 0
    return state, int(parent)


def parent_of(pid: int) -> int:
    return facts_of(pid)[1]


def ended(pid: int) -> bool:
    return facts_of(pid)[0] == "Z"  # whose nursery is dead, whoever is process 1 takes away, some time


def test_children_of_threads_are_siblings_and_outlive_a_nursery_that_is_killed() -> None:
    with ThreadPoolExecutor(4) as pool:
        sandboxes = list(pool.map(lambda _: SandboxProcess(), range(4)))
        pids = list(pool.map(lambda each: each.pid, sandboxes))
    assert len(set(pids)) == 4
    (first,) = {parent_of(pid) for pid in pids}
    assert first != os.getpid()
    for each in sandboxes:
        assert each.protections == PROTECTIONS
    os.kill(first, signal.SIGKILL)
    with SandboxProcess() as another:
        assert parent_of(another.pid) != first
        assert sandboxes[0].pid == pids[0], "it serves as before"
        for each in sandboxes:
            each.close()
        assert all(ended(pid) for pid in pids), "who closes one finds it ended"


def test_a_child_that_nobody_waits_for_leaves_nothing() -> None:
    child = NurseryChild(MODULE, ["3", "3", "{folder}", str(1 << 30), "1", "required"])
    folder = Path(child.directory)
    assert folder.is_dir()
    child.kill()
    child.kill()
    assert child.gone()
    assert not folder.exists()


def test_what_is_asked_for_as_the_nursery_goes_to_rest_is_still_given() -> None:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given, other = socket.socketpair()

    class Tired(socket.socket):
        rested = False

        def recvmsg(self, *arguments: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, object]:
            if not self.rested:  # it has waited for long, and in this moment the order below comes
                self.rested = True
                raise TimeoutError
            return super().recvmsg(*arguments)

    with ours, given, other, Tired(fileno=its.detach()) as tired:
        socket.send_fds(ours, [b'["3"]'], [given.fileno()])
        found = nursery_main._next(tired)
        assert found is not None
        data, (descriptor,) = found
        os.close(descriptor)
        assert data == b'["3"]'
        with pytest.raises(BrokenPipeError):
            socket.send_fds(ours, [b'["3"]'], [given.fileno()])
        assert nursery_main._next(tired) is None


def test_whoever_asks_too_much_of_one_that_does_not_answer_hears_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nursery, "_nurseries", {})
    deaf = nursery.nursery(MODULE)
    ours, its = _socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    deaf._control = ours
    children = []
    try:
        with pytest.raises(Unavailable, match="wait for their start"):
            for _ in range(10_000):
                children.append(NurseryChild(MODULE, ["3"]))
    finally:
        for child in children:
            child.kill()
        ours.close()
        its.close()
