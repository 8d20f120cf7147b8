"""The local provider: each environment is a compute host in a process of its own on the Domain's machine.

The host confines itself before it runs anything, or ends (:mod:`syft_ext.confinement`: no network, no files,
bounded memory and CPU time). It is started detached, so that it outlives the node, with an empty environment
and no open file of ours; it ends by itself when no node was connected to it for the *lease*. Everything that
belongs to an environment is in ``HOME/environments/ID`` (0700): its socket and its log. The process is found by
that folder, which is among its arguments; what is ended is only what has it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from grid.compute.protocol import REPLIES, Failed, Ready, exactly, read_header
from grid.environments.processes import ProcessExit, ProcessHandle, command_of, ended_as, processes, spawn
from grid.environments.provider import EnvironmentHealth, Handle
from syft_ext.errors import Problem, Unavailable, from_problem
from syft_ext.ids import check_id, is_id
from syft_ext.messages.environments import InstanceType
from syft_ext.source_roots import SOURCE_ROOT

__all__ = ["LocalProvider"]

logger = logging.getLogger(__name__)

START_SECONDS = 120.0
LOG_BYTES = 1 << 20
_LONGEST = 107  # bytes of a Unix socket's path (unix(7))
SOCKET, LOG = "host.sock", "log"

# The first thing that the process does: close what it inherited, bound its log (the kernel stops whoever writes
# more), and be in its own folder: the path of a Unix socket may have 107 bytes only, a folder's may be longer.
_BOOTSTRAP = """
import os, resource, sys
from importlib import import_module
packages, folder, log_bytes = sys.argv[1:4]
os.closerange(3, 1 << 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(log_bytes), int(log_bytes)))
os.umask(0o077)
os.chdir(folder)
sys.path.insert(0, packages)
import_module("grid.compute.host").main(sys.argv[4:])
"""


class LocalProvider:
    """Makes environments in ``folder``; ``lease`` is how long one outlives the node, in seconds.

    Attributes:
        permissive: environments go on without protections that this machine lacks: for development only.
    """

    name = "local"
    permissive = False

    def __init__(self, folder: Path, lease: float) -> None:
        self._folder, self._lease = folder.resolve(), lease
        self._lock = threading.Lock()
        self._ended: dict[str, ProcessExit] = {}  # how what this process started has ended
        self._opened: dict[str, int] = {}  # folders whose sockets have long paths
        self._held: dict[str, socket.socket] = {}  # while one is open, the lease does not run

    # -- the provider's methods ---------------------------------------------------------------------

    def create(self, environment_id: str, instance: InstanceType) -> Handle:
        folder = self._of(environment_id)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
        process = spawn(
            self._command(folder, instance),
            {"LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"},  # one thread until it is confined
            folder / LOG,
        )
        self._wait_until_it_is_ready(environment_id, process)
        return {"pid": process.pid, "started": process.started, "boot": process.boot}

    def status(self, environment_id: str, handle: Handle) -> EnvironmentHealth:
        process = msgspec.convert(handle, ProcessHandle)
        usage = process.usage
        if usage is not None:
            self._hold(environment_id)
            return EnvironmentHealth(True, "", usage.cpu_seconds, usage.memory)
        end = self._end(environment_id, process)
        return (
            EnvironmentHealth(False)
            if end is None
            else EnvironmentHealth(False, _in_words(end.status), end.cpu_seconds)
        )

    def endpoint(self, environment_id: str, handle: Handle) -> Path:
        path = self._of(environment_id) / SOCKET
        if len(os.fsencode(path)) < _LONGEST:
            return path
        with self._lock:
            if environment_id not in self._opened:
                self._opened[environment_id] = _open(self._of(environment_id))
            return Path(f"/proc/self/fd/{self._opened[environment_id]}") / SOCKET

    def destroy(self, environment_id: str, handle: Handle | None) -> None:
        for process in self._found(environment_id):
            process.kill()
            self._end(environment_id, process)
        if handle is not None:
            self._end(environment_id, msgspec.convert(handle, ProcessHandle))
        self.tidy(environment_id)

    def tidy(self, environment_id: str) -> None:
        self._release(environment_id)
        shutil.rmtree(self._of(environment_id), ignore_errors=True)
        self._ended.pop(environment_id, None)

    def running(self) -> set[str]:
        if not self._folder.is_dir():
            return set()
        folders = {Path(argument) for process in processes() for argument in command_of(process)[:8]}
        named = {path.name for path in folders if path.parent == self._folder}
        # Whatever somebody's command line says: "FOLDER/.." is no environment, and what is none is not removed.
        return {name for name in named | {path.name for path in self._folder.iterdir()} if is_id(name)}

    def close(self) -> None:
        for environment_id in {*self._held, *self._opened}:
            self._release(environment_id)

    # -- the process --------------------------------------------------------------------------------

    def _of(self, environment_id: str) -> Path:
        return self._folder / check_id(environment_id)  # what is in there is removed

    def _command(self, folder: Path, instance: InstanceType) -> list[str]:
        return [
            *(sys.executable, "-I", "-c", _BOOTSTRAP, str(SOURCE_ROOT), str(folder), str(LOG_BYTES)),
            *("--listen", SOCKET, "--directory", ".", "--lease", f"{self._lease:g}"),
            *("--memory", str(instance.memory), "--cpu-seconds", str(instance.cpu_seconds)),
            *("--threads", str(instance.threads)),
            *(["--permissive"] if self.permissive else []),
        ]

    def _wait_until_it_is_ready(self, environment_id: str, process: ProcessHandle) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not (self._hold(environment_id) and (said := self._greeting(environment_id))):
            if process.usage is None:
                end = self._end(environment_id, process)
                self._log_tail(environment_id)
                raise Unavailable(
                    f"the environment did not start: {_in_words(end.status) if end else 'it ended'}"
                )
            if time.monotonic() > deadline:
                raise Unavailable(f"the environment did not start within {START_SECONDS:g} s")
            time.sleep(0.05)
        if isinstance(said, Failed):
            raise from_problem(Problem(code=said.code, detail=said.detail, status=503))

    def _found(self, environment_id: str) -> list[ProcessHandle]:
        """What runs in the environment's folder, whatever was written down: a node can die before it is."""
        folder = str(self._of(environment_id))
        return [process for process in processes() if folder in command_of(process)[:8]]

    def _end(self, environment_id: str, process: ProcessHandle) -> ProcessExit | None:
        """How the process has ended. Only who started it can know; it remembers."""
        with self._lock:
            if environment_id not in self._ended and (end := ended_as(process)) is not None:
                self._ended[environment_id] = end
            return self._ended.get(environment_id)

    def _log_tail(self, environment_id: str) -> None:
        with contextlib.suppress(OSError):
            tail = (self._of(environment_id) / LOG).read_bytes()[-2000:].decode(errors="replace")
            logger.warning("environment %s did not start: %s", environment_id, tail)

    # -- the connection that keeps it --------------------------------------------------------------

    def _hold(self, environment_id: str) -> bool:
        """Have a connection to it; False while it does not listen."""
        if environment_id in self._held:
            return True
        channel = socket.socket(socket.AF_UNIX)
        channel.settimeout(1.0)
        try:
            with _short(self._of(environment_id)) as folder:
                channel.connect(f"{folder}/{SOCKET}")
        except OSError:
            channel.close()
            return False
        if self._held.setdefault(environment_id, channel) is not channel:
            channel.close()  # another thread was faster
        return True

    def _greeting(self, environment_id: str) -> Ready | Failed | None:
        """That it is warm and confined, or why it is not; it says so before anything else. None until then."""
        channel = self._held.get(environment_id)
        if channel is None:  # it is being destroyed
            return None
        with contextlib.suppress(OSError):
            if channel.recv(1, socket.MSG_PEEK) and (header := read_header(channel)) is not None:
                body = bytearray(header.body)
                if exactly(channel, memoryview(body)):
                    said = REPLIES.decode(body)
                    return said if isinstance(said, Ready | Failed) else None
        return None

    def _release(self, environment_id: str) -> None:
        channel = self._held.pop(environment_id, None)
        if channel is not None:
            channel.close()
        folder = self._opened.pop(environment_id, None)
        if folder is not None:
            os.close(folder)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A short path of an existing folder."""
    descriptor = _open(folder)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _in_words(status: int) -> str:
    if status == 0:
        return "nobody was connected to it for its lease"
    if not os.WIFSIGNALED(status):
        return f"it ended with exit status {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    if number in (signal.SIGPROF, signal.SIGXCPU):
        return "an operation took longer than it may"
    return f"it was ended by {signal.Signals(number).name}"
