"""``scripts/install-torch``: the CPU build where there is no GPU; its index, or at once the ordinary one."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "install-torch"


@pytest.fixture
def index() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/whl/cpu/torch/" else 404)
            self.end_headers()
            self.wfile.write(b"<html></html>")

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/whl/cpu"
        server.shutdown()


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter without torch, whose pip only writes down what it is asked for."""
    fake = tmp_path / "python"
    fake.write_text(
        f'#!/bin/sh\ncase "$1" in\n-m) echo "$@" >>{tmp_path}/asked ;;\n-c) exit 1 ;;\n'
        f'*) exec {sys.executable} "$@" ;;\nesac\n'
    )
    fake.chmod(0o755)
    return fake


def install(python: Path, index: str, *arguments: str, gpu: bool = False) -> tuple[str, str]:
    """What it said, and what pip was asked for."""
    folder = python.parent / "bin"
    folder.mkdir(exist_ok=True)
    smi = folder / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: fake'\n" if gpu else "#!/bin/sh\nexit 9\n")
    smi.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {
        "PYTHON": str(python),
        "GRID_TORCH_INDEX": index,
        "PATH": f"{folder}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=True
    )
    asked = python.parent / "asked"
    return done.stdout + done.stderr, asked.read_text().strip() if asked.exists() else ""


def test_the_cpu_build_comes_from_its_own_index(python: Path, index: str) -> None:
    said, asked = install(python, index, "-qq")
    assert asked == f"-m pip install -qq --extra-index-url {index} torch==2.13.*"
    assert "about 200 MB" in said


def test_an_index_that_is_not_there_costs_nothing(python: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}/whl/cpu"
    said, asked = install(python, closed)
    assert asked == "-m pip install torch==2.13.*"
    assert "cannot be reached" in said and "about 3 GB" in said


def test_an_index_that_says_nothing_costs_seconds(python: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        said, _ = install(python, f"http://127.0.0.1:{mute.getsockname()[1]}/whl/cpu", "--which")
    assert said.strip() == "ordinary"


def test_a_gpu_gets_the_build_for_it(python: Path, index: str) -> None:
    said, asked = install(python, index, gpu=True)
    assert asked == "-m pip install torch==2.13.*" and "CUDA" in said


def test_nothing_is_installed_twice(index: str) -> None:
    environment = {**os.environ, "PYTHON": sys.executable, "GRID_TORCH_INDEX": index}
    done = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout + done.stderr == ""


def test_all_ways_to_install_take_it() -> None:
    for file in ("README.md", "Dockerfile", "scripts/environment.sh"):
        assert "install-torch" in (ROOT / file).read_text(), file
    assert "environment.sh" in (ROOT / "grid-demo").read_text()
