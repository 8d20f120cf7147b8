"""The worker as a process: what it loads, what it gives up, and that nothing of an update leaves it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.confidential_worker.main import main
from syft_ext.confidential.frames import (
    Descriptors,
    FramePipe,
    FromOperator,
    FromWorker,
    Read,
    operator_pipe,
)
from syft_ext.confinement.child import CHILD_SOCKET, ChildProcess
from syft_ext.errors import Unavailable
from tests.confidential.worker.site import Outcome, Site, SiteOperator, update_of

ROOT = Path(__file__).resolve().parents[3]
CANARY = np.full(Site.size, 0.0123456789, "<f4").tobytes()
#: What must not be in a program that sees updates: servers, databases, clients of networks, torch, loggers.
FORBIDDEN = {
    *("flask", "werkzeug", "sqlalchemy", "alembic", "psycopg", "sqlite3", "gevent", "greenlet"),
    *("torch", "requests", "urllib3", "websockets", "http", "ssl", "asyncio", "click", "rich", "logging"),
    *("subprocess", "multiprocessing", "concurrent"),
}
#: Runs main() as it is, and says what is there when the process would end.
WITNESS = """
import ctypes, json, os, resource, sys
sys.path[:0] = json.loads(sys.argv[1])
from apps.confidential_worker import main

def said(status):
    found = {
        "status": status,
        "modules": sorted(sys.modules),
        "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
    }
    with open(int(sys.argv[2]), "w") as file:
        file.write(json.dumps(found))
    raise SystemExit

os._exit = said
main.main(sys.argv[3:])
"""


class Watched(SiteOperator):
    """Keeps all that comes from the worker, and looks at its process when it asks for bytes.

    Attributes:
        look: called with the number of each read.
    """

    def __init__(self, site: Site, look: Callable[[int], None] | None = None) -> None:
        super().__init__(site)
        self.look = look

    def read(self, question: Read) -> bytes | None:
        if self.look:
            self.look(len(self.reads))
        return super().read(question)


def child(operator: SiteOperator, *arguments: str) -> Outcome:
    """The job in a process of its own, started as a Domain starts it."""
    process = ChildProcess("apps.confidential_worker.main", ["--fd", str(CHILD_SOCKET), *arguments])
    try:
        return operator.serve(operator_pipe(process.socket))
    finally:
        process.kill()


def start(code: Sequence[str], folder: Path, **more: Any) -> subprocess.Popen[bytes]:
    environment = {"HOME": str(folder), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-I", *code], cwd=folder, env=environment, **more)


def test_a_process_does_the_job_and_nothing_of_an_update_is_anywhere(tmp_path: Path) -> None:
    """Over standard input and output, as an enclave's parent would have it."""
    site = Site([CANARY, update_of(1), update_of(2)], noise=0)
    operator, heard = SiteOperator(site), bytearray()
    with start(
        ["-m", "apps.confidential_worker", "--stdio"],
        tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin and process.stdout and process.stderr

        class Ear(Descriptors):
            def recv_into(self, buffer: memoryview, /) -> int:
                count = super().recv_into(buffer)
                heard.extend(buffer[:count])
                return count

        outcome = operator.serve(operator_pipe(Ear(process.stdout.fileno(), process.stdin.fileno())))
        assert process.wait(60) == 0
        rest, errors = process.stdout.read(), process.stderr.read()
    opened = operator.opened(outcome)
    assert (opened.numbers == site.expected()).all()
    assert rest == errors == b""
    assert CANARY[:16] not in heard and len(heard) > len(outcome.output)
    assert opened.numbers[:4].astype("<i8").tobytes() not in heard
    assert list(tmp_path.rglob("*")) == [], "no file was written"


def test_what_it_loads_and_gives_up(tmp_path: Path) -> None:
    site = Site([update_of(0), update_of(1)], noise=0)
    ours, theirs = socket.socketpair()
    answer, tell = os.pipe()
    with ours, theirs:
        roots = json.dumps([str(ROOT / "packages"), str(ROOT)])
        process = start(
            ["-c", WITNESS, roots, str(tell), "--fd", str(theirs.fileno())],
            tmp_path,
            pass_fds=[theirs.fileno(), tell],
        )
        os.close(tell)
        outcome = SiteOperator(site).serve(operator_pipe(ours))
        with os.fdopen(answer) as file:
            found = json.loads(file.read())
        process.wait(60)
    assert outcome.code is None and found["status"] == 0
    loaded = {name.partition(".")[0] for name in found["modules"]}
    assert not loaded & FORBIDDEN
    rooms = sorted(name for name in found["modules"] if name.startswith(("grid.", "apps.")))
    assert all(name.startswith(("grid.confidential_worker", "apps.confidential_worker")) for name in rooms), (
        rooms
    )
    shared = {".".join(name.split(".")[:2]) for name in found["modules"] if name.startswith("syft_ext.")}
    assert shared <= {
        f"syft_ext.{room}"
        for room in (
            *("_version", "attestation", "confidential", "errors", "identity", "privacy", "readable"),
            *("plans", "pointers"),  # the markers that the package itself installs
        )
    }, shared
    assert found["dumpable"] == 0 and found["core"] == [0, 0]


def test_while_it_works_it_has_one_pipe_and_no_core(tmp_path: Path) -> None:
    site = Site([update_of(0), update_of(1)], noise=0)
    seen: dict[str, Any] = {}
    process = ChildProcess("apps.confidential_worker.main", ["--fd", str(CHILD_SOCKET)])

    def look(number: int) -> None:
        proc = Path(f"/proc/{process.pid}")
        seen["limits"] = (proc / "limits").read_text()
        seen["status"] = (proc / "status").read_text()
        seen["files"] = [os.readlink(each) for each in (proc / "fd").iterdir()]

    try:
        assert Watched(site, look).serve(operator_pipe(process.socket)).code is None
    finally:
        process.kill()
    (core,) = [line for line in seen["limits"].splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
    assert "NoNewPrivs:\t1" in seen["status"]
    files = [each for each in seen["files"] if each != "/dev/null"]
    assert files and all(each.startswith("socket:") for each in files), files


@pytest.mark.parametrize("points", [(5, 12, 20)])
def test_killed_anywhere_another_attempt_has_the_same_numbers(points: tuple[int, ...]) -> None:
    """At so many frames from the worker; all points: ``python -m tests.confidential.worker.test_process``."""
    site = Site([update_of(n) for n in range(3)])
    operator = SiteOperator(site)
    numbers = operator.opened(child(operator)).numbers
    for point in points:
        assert killed_at(site, point).code is not None, "there is no output of it"
    again = SiteOperator(site)
    assert (again.opened(child(again)).numbers == numbers).all()


def killed_at(site: Site, point: int) -> Outcome:
    """A worker that is killed when its frame of this number has come, before it is answered."""
    process = ChildProcess("apps.confidential_worker.main", ["--fd", str(CHILD_SOCKET)])

    class Killing(FramePipe[FromOperator, FromWorker]):
        count = 0

        def receive(self, longest: int | None = None) -> FromWorker | None:
            self.count += 1
            if self.count > point:
                os.kill(process.pid, signal.SIGKILL)
                return None
            return super().receive(longest)

    pipe = operator_pipe(process.socket)
    pipe.__class__ = Killing
    try:
        return SiteOperator(site).serve(pipe)
    except Unavailable:
        return Outcome("gone")
    finally:
        process.kill()


def test_a_platform_that_is_not_there_gives_no_evidence() -> None:
    site = Site([update_of(0), update_of(1)])
    for name in ("tsm", "confidential-space"):
        assert child(SiteOperator(site), "--evidence", name).code in ("no_evidence", "unprotected")


def test_over_a_connection_the_first_to_connect_is_the_operator(tmp_path: Path) -> None:
    """As in a container or a machine without a parent: whoever connects can do no more than an operator."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    site = Site([update_of(0), update_of(1)], noise=0)
    operator = SiteOperator(site)
    with start(["-m", "apps.confidential_worker", "--listen", f"tcp:{port}"], tmp_path) as process:
        for _ in range(600):
            with (
                contextlib.suppress(ConnectionRefusedError),
                socket.create_connection(("127.0.0.1", port)) as end,
            ):
                outcome = operator.serve(operator_pipe(end))
                break
            time.sleep(0.05)
        assert process.wait(60) == 0
    assert (operator.opened(outcome).numbers == site.expected()).all()


def test_an_operator_who_goes_leaves_nothing(tmp_path: Path) -> None:
    for sent in (b"", b"\0\0"):
        process = start(
            ["-m", "apps.confidential_worker", "--stdio"], tmp_path, stdin=-1, stdout=-1, stderr=-1
        )
        output, errors = process.communicate(sent, timeout=240)
        assert process.returncode == 1 and not errors and len(output) < 50


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--fd"],
        ["--fd", "x"],
        ["--fd", "-1"],
        ["--stdio", "--fd", "3"],
        ["--evidence", "none"],
        ["--listen", "unix:3"],
    ],
)
def test_other_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and capsys.readouterr().err.startswith("usage: ")


if __name__ == "__main__":
    test_killed_anywhere_another_attempt_has_the_same_numbers(tuple(range(22)))
