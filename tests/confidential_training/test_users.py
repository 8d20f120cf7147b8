"""Key hosts and their Domain under users of their own: a round goes through, and nobody reads what another has."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

import apps
import demo.consortium
import demo.processes
from demo.consortium import OWNER, PEOPLE, slug
from tests.confidential_training import kills
from tests.confidential_training.consortium import until
from tests.user_folder import fresh_user

FIRST = 61_000
"""The first of the users; nobody has them."""
pytestmark = pytest.mark.slow


def closed(path: Path) -> Path | None:
    """The topmost folder above ``path`` that others may not enter."""
    for folder in reversed(path.parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


def as_user(user: int, stage: Path, command: list[str]) -> list[str]:
    """``command``, run by ``user`` with this Python and this checkout at their own places.

    Where one is in a folder that others may not enter, as root's is, the process sees that folder empty but for
    it: mounts of its own, so that nothing is copied and nobody's folder is opened.
    """
    needed = [Path(sys.base_prefix), Path(sys.prefix), Path(apps.__file__).parents[1]]
    within = [path for path in dict.fromkeys(needed) if not any(other in path.parents for other in needed)]
    places = {
        path: (stage / str(number), folder) for number, path in enumerate(within) if (folder := closed(path))
    }
    steps = [["mkdir", "-p", *map(str, (kept for kept, _ in places.values()))]] if places else []
    steps += [["mount", "--bind", str(path), str(kept)] for path, (kept, _) in places.items()]
    for folder in dict.fromkeys(folder for _, folder in places.values()):
        steps.append(["mount", "-t", "tmpfs", "-o", "mode=755,size=1m", "none", str(folder)])
    for path, (kept, _) in places.items():
        steps += [["mkdir", "-p", str(path)], ["mount", "--bind", str(kept), str(path)]]
    run = ["exec", "setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", *command]
    script = "\n".join(["set -eu", *map(shlex.join, steps), shlex.join(run)])
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where all of them may look for their own homes."""
    if os.geteuid() != 0:
        pytest.skip("only root makes processes of other users")
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        pytest.skip("util-linux is not installed")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("no right to mount anything here")
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


class UserProcess(demo.processes.NodeProcess):
    """A node of a user of its own, whose home is theirs."""

    def __init__(self, user: int, kind: str, home: Path, arguments: list[str], **environment: str) -> None:
        self.user = user
        home.mkdir(mode=0o700)
        os.chown(home, user, user)
        super().__init__(kind, home, arguments, environment={**environment, "HOME": str(home)}, timeout=120.0)

    def _spawn(
        self, arguments: list[str], environment: dict[str, str], log: IO[bytes] | None
    ) -> subprocess.Popen[str]:
        stage = self.home.parent / f"mounts-{self.user}"
        return subprocess.Popen(
            as_user(self.user, stage, [sys.executable, "-m", "apps.cli", *arguments]),
            stdout=subprocess.PIPE,
            stderr=log or subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment | {"GRID_USER_HOME": environment["HOME"]},
            cwd="/",
        )


class Strangers(kills.Killed):
    """Nobody runs two of its nodes."""

    def _host(self, name: str) -> demo.processes.NodeProcess:
        user = FIRST + 1 + demo.consortium.HOSTS.index(name)
        arguments = ["--name", name, "--port", "0", "--simulator"]
        return UserProcess(user, "key-host", self.folder / slug(name), arguments)

    def _domain(self) -> demo.processes.NodeProcess:
        owner = {"GRID_OWNER_EMAIL": OWNER, "GRID_OWNER_PASSWORD": self.password}
        arguments = ["--name", "d", "--port", "0"]
        return UserProcess(FIRST, "domain", self.folder / "domain", arguments, **owner)


def readable(user: int, paths: list[Path]) -> list[str]:
    """Which of these files ``user`` can open or list."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        found = []
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            for path in paths:
                try:
                    os.close(os.open(path, os.O_RDONLY))
                    found.append(str(path))
                except OSError:
                    continue
            os.write(writer, "\n".join(found).encode()[:60_000])
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        text = said.read().decode()
    os.waitpid(child, 0)
    return text.split("\n") if text else []


def test_a_round_between_users_who_cannot_read_each_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo.consortium, "HOSTS", ("North Keys", "South Keys"))
    with fresh_user(folder / "user"), Strangers(folder) as scene:
        kills.host(scene, rounds=1, spare=2)
        failed: list[BaseException] = []
        threads = [
            threading.Thread(target=kills.participate, args=(scene, name, 1, failed), daemon=True)
            for name in PEOPLE
        ]
        for thread in threads:
            thread.start()
        until(lambda: failed or kills.over(scene), seconds=300)
        for thread in threads:
            thread.join(60)
        assert not failed, failed
        kills.check(scene, 1)

        nodes = [scene.domain, *scene.hosts]
        assert len({os.stat(f"/proc/{node.process.pid}").st_uid for node in nodes}) == 3
        for node in nodes:
            assert isinstance(node, UserProcess)
            files = [*node.home.rglob("*"), node.home]
            assert len(files) > 5 and len(readable(node.user, files)) == len(
                files
            )  # or the test shows nothing
            secret = [Path(f"/proc/{node.process.pid}") / name for name in ("mem", "environ", "maps")]
            for other in nodes:
                assert isinstance(other, UserProcess)
                if other is not node:
                    assert readable(other.user, files + secret) == []
