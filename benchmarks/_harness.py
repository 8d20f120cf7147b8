"""What the deployed benchmarks share: a real Domain in a process of its own, and workers that cost little.

The workers here speak the REST interface over one keep-alive socket each, without the SDK: what is measured
is the node, on a machine that its clients share with it.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo.processes import NodeProcess

EMAIL, PASSWORD = "owner@bench.example", "correct horse battery staple"
Buffer = bytes | bytearray | memoryview


@contextmanager
def domain(arguments: Sequence[str] = (), **environment: str) -> Iterator[NodeProcess]:
    """A Domain with an owner, in a fresh home that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="grid-bench-") as home:
        credentials = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
        node = NodeProcess(
            "domain",
            Path(home) / "domain",
            ["--port", "0", "--name", "bench", *arguments],
            environment={**credentials, **environment},
        )
        try:
            yield node
        finally:
            node.stop()


def node_memory(node: NodeProcess) -> int:
    """Resident bytes of the node's process now, without its sandbox child."""
    return int(psutil.Process(node.process.pid).memory_info().rss)


def node_peak_memory(node: NodeProcess) -> int:
    """The most resident bytes that the node's process ever had (VmHWM)."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def reset_peak_memory(node: NodeProcess) -> None:
    """Let the kernel count the peak from now on (proc(5), clear_refs 5)."""
    Path(f"/proc/{node.process.pid}/clear_refs").write_text("5")


class RestError(Exception):
    """An answer that is not a success."""


class RestWorker:
    """One worker of one training: its own socket, its own token."""

    def __init__(self, url: str, name: str, version: str) -> None:
        parts = urlsplit(url)
        self.host = f"{parts.hostname}:{parts.port}"
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = self._socket.makefile("rb", buffering=1 << 18)
        self._token = ""
        self.scratch = bytearray(0)
        answer = self.json("POST", "/federated/workers", {"model_name": name, "model_version": version})
        self._token = answer["token"]

    def request(
        self, method: str, path: str, headers: str = "", body: Sequence[Buffer] = (), kind: str = ""
    ) -> memoryview:
        """The body of a successful answer, in a buffer that the next call uses again."""
        size = sum(len(piece) for piece in body)
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {size}\r\n{headers}"
        if self._token:
            head += f"Authorization: Bearer {self._token}\r\n"
        if kind:
            head += f"Content-Type: {kind}\r\n"
        self._socket.sendall(head.encode() + b"\r\n")
        for piece in body:
            self._socket.sendall(piece)
        status = int(self._input.readline().split()[1])
        length = 0
        while (line := self._input.readline()) != b"\r\n":
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        if len(self.scratch) < length:
            self.scratch = bytearray(length)
        view = memoryview(self.scratch)[:length]
        if self._input.readinto(view) != length:
            raise RestError("the node hung up")
        if status >= 400:
            raise RestError(f"{status} {bytes(view[:500]).decode(errors='replace')}")
        return view

    def json(self, method: str, path: str, fields: dict[str, Any], headers: str = "") -> Any:
        body = json.dumps(fields).encode()
        return json.loads(bytes(self.request(method, path, headers, [body], "application/json") or b"{}"))

    def check_in(self, wait: float = 30.0) -> dict[str, Any]:
        answer: dict[str, Any] = self.json("POST", "/federated/check-ins", {"wait": wait})
        return answer

    def model(self, assignment: dict[str, Any]) -> memoryview:
        key = f"Grid-Request-Key: {assignment['request_key']}\r\n"
        return self.request("GET", f"/federated/assignments/{assignment['assignment_id']}/model", key)

    def report(self, assignment: dict[str, Any], body: Sequence[Buffer], query: str = "samples=1") -> Any:
        key = f"Grid-Request-Key: {assignment['request_key']}\r\n"
        path = f"/federated/assignments/{assignment['assignment_id']}/report?{query}"
        return json.loads(bytes(self.request("PUT", path, key, body, "application/octet-stream")))

    def cycle(self, body: Sequence[Buffer] | None = None) -> bool:
        """One whole part in one cycle: check in, download, "train" without work, report. False when over."""
        assignment = self.check_in()
        if assignment["status"] != "accepted":
            if assignment["retry_after"] is None:
                return False
            return self.cycle(body)
        model = self.model(assignment)
        self.report(assignment, body if body is not None else [model])
        return True

    def close(self) -> None:
        self._input.close()
        self._socket.close()


def milliseconds(values: Sequence[float]) -> str:
    return f"{statistics.median(values) * 1e3:,.1f} ms"


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"


def quiet_login() -> None:
    """Keep the benchmark's session out of the user's own folder."""
    os.environ.setdefault("GRID_USER_HOME", tempfile.mkdtemp(prefix="grid-bench-user-"))
