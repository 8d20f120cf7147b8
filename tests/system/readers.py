"""README's readers: somebody with a folder and a Python of their own, and a shell at a terminal that answers.

Needs nothing beyond the standard library: ``scripts/newcomer`` runs it in an environment that has what README
installs, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

__all__ = ["PORTS", "Person", "Terminal", "at_the_terminal", "blocks", "free_ports"]

ROOT = Path(__file__).resolve().parents[2]
PORTS = ("5000", "7000")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: What the terminal asks for, and what is typed.
ANSWERS = {"E-mail: ": "owner@hospital.example", "Password: ": "a long pass phrase"}

#: Runs files of Python one after the other, as cells of one notebook.
CELLS = """
import sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    path = line.strip()
    try:
        exec(compile(open(path).read(), path, "exec"), names)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
    print("done", path, flush=True)
"""


class Person:
    """Somebody with a folder of their own, and one Python that stays open."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder = name, folder
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "GRID_USER_HOME": str(folder / f".{name}"),
            "XDG_DATA_HOME": str(folder / f".{name}"),  # where a node has its home that is told none
            "OMP_NUM_THREADS": "1",
        }
        self.said: list[str] = []
        self._count = 0
        self._python = subprocess.Popen(
            [sys.executable, "-u", "-c", CELLS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=self.environment,
        )

    def run(self, code: str) -> None:
        assert self._python.stdin is not None and self._python.stdout is not None
        self._count += 1
        path = self._folder / f"{self._name}-{self._count}.py"
        path.write_text(code)
        self._python.stdin.write(f"{path}\n")
        self._python.stdin.flush()
        for line in self._python.stdout:
            if line.strip().endswith(f"done {path}"):
                return
            self.said.append(line)
        raise AssertionError(f"the {self._name}'s Python ended:\n{''.join(self.said[-60:])}\nin:\n{code}")

    def close(self) -> None:
        self._python.kill()
        self._python.communicate()


class Terminal:
    """A shell at a terminal, which answers what is asked there; what it started ends when it is closed."""

    def __init__(self, script: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._screen, self._inside = pty.openpty()
        self.shown = ""
        self._ended = threading.Event()
        terminal = os.ttyname(self._inside)
        # The first of a session to open a terminal has it as its own: what asks for a password opens /dev/tty.
        self._shell = subprocess.Popen(
            ["bash", "-c", 'exec bash -eu -c "$1" <"$2" >"$2" 2>&1', "reader", script, terminal],
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
        threading.Thread(target=self._type, daemon=True).start()

    def _type(self) -> None:
        answered = 0
        with contextlib.suppress(OSError):  # the terminal is gone
            while data := os.read(self._screen, 4096):
                self.shown += data.decode(errors="replace")
                for question, answer in ANSWERS.items():
                    if self.shown[answered:].endswith(question):
                        answered = len(self.shown)
                        os.write(self._screen, f"{answer}\n".encode())
        self._ended.set()

    def wait_for(self, text: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            if self._ended.is_set() or self._shell.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{text!r} was not seen:\n{self.shown[-4000:]}")
            time.sleep(0.05)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGTERM)
        self._shell.wait(30)
        os.close(self._inside)
        self._ended.wait(30)
        os.close(self._screen)


def at_the_terminal(block: str) -> str:
    """The block as a reader types it: who starts something with ``&`` goes on when it says that it is ready."""
    lines = []
    for number, line in enumerate(block.splitlines()):
        command, background, _ = line.partition("&")
        if background and command.startswith("grid "):
            log = f"log-{number}"
            lines.append(f"{command} >{log} 2>&1 &")
            lines.append(
                f"until grep -q ^ready {log}; do kill -0 $! || {{ cat {log}; exit 1; }}; sleep 0.1; done"
            )
        else:
            lines.append(line)
    return "\n".join([*lines, "echo all is $((1 + 1))done", "wait"])


def blocks() -> list[tuple[str, str]]:
    """Language and text of README's fenced blocks."""
    return FENCE.findall((ROOT / "README.md").read_text())


def free_ports() -> dict[str, str]:
    """Free ones for those of README."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
        return {old: str(server.getsockname()[1]) for old, server in zip(PORTS, servers, strict=True)}
