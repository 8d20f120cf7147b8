"""What the benchmarks share: a report of what was measured, a real Domain in a process of its own, cheap workers.

The workers here speak the REST interface over one keep-alive socket each, without the SDK: what is measured
is the node, on a machine that its clients share with it.

Every benchmark takes ``--quick`` (sizes for a test: a few seconds) and ``--json``. With ``--json`` the last line
of its output is one JSON object, ``{"rows": [{"name": …, "value": …, …}, …]}``, of the same measurements that
the lines before it show to people. A row has exactly these seven fields:

- ``name``: what was measured and at which size; no two rows of a report have the same.
- ``value``, ``unit``: a finite number and what it counts. A peer or a floor is a row as well.
- ``against``: the name of the row, in the same unit and from the same run, that this one is measured against, or
  null; ``ratio``: this row's value divided by that row's, or null.
- ``target``: what the README's table of speeds or the script's docstring asks of ``value``, in the same unit, or
  null: no target was set, or not for the size that ran (``--quick`` often is smaller).
- ``holds``: whether ``value`` is at most ``target`` (at least, in the units of ``MORE_IS_BETTER``), or null.

A target may be a ratio to a floor or a peer: then the ratio is the value of a row of its own, named "… ÷ …". Its
unit is "×" where at most the target is asked for, and "× faster" where it is at least the target.
"""

from __future__ import annotations

import argparse
import atexit
import json
import math
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo.processes import NodeProcess

EMAIL, PASSWORD = "owner@bench.example", "correct horse battery staple"
Buffer = bytes | bytearray | memoryview
MORE_IS_BETTER = ("reports/s", "× faster", "MB per CPU-second")
"""Units in which a target is the least that is asked for. In all others it is the most."""


def parse(parser: argparse.ArgumentParser, **quick: Any) -> argparse.Namespace:
    """The command line, with the options that every benchmark has.

    Args:
        quick: other defaults for options of ``parser`` under ``--quick``; what is said on the command line wins.
    """
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run, rather than how fast")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON, of all figures")
    options = parser.parse_args()
    if options.quick:
        parser.set_defaults(**quick)
        options = parser.parse_args()
    return options


@dataclass(frozen=True)
class Row:
    """One figure; its fields are explained at the top of this file."""

    name: str
    value: float
    unit: str
    against: str | None = None
    ratio: float | None = None
    target: float | None = None

    @property
    def holds(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.unit in MORE_IS_BETTER else self.value <= self.target


class Report:
    """What one run measured, in the order in which it was measured."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def add(
        self, name: str, value: float, unit: str, *, against: Row | None = None, target: float | None = None
    ) -> Row:
        """Keep a figure.

        Args:
            against: the row of this report that it is measured against, in the same unit.
            target: in ``unit``.

        Raises:
            ValueError: for a name that was used before, a figure or target that is not finite, and a row to
                measure against that is not of this report, is in another unit, or is 0.
        """
        if name in self.rows:
            raise ValueError(f"two rows are called {name!r}")
        if not all(math.isfinite(number) for number in (value, target or 0)):
            raise ValueError(f"{name!r}: {value} {unit}, target {target}: not a finite number")
        row = Row(name, float(value), unit, target=None if target is None else float(target))
        if against is not None:
            if self.rows.get(against.name) is not against or against.unit != unit or against.value == 0:
                raise ValueError(f"{name!r} in {unit} cannot be measured against {against}")
            row = replace(row, against=against.name, ratio=row.value / against.value)
        self.rows[name] = row
        return row

    def add_ratio(self, row: Row, unit: str = "×", *, target: float | None = None) -> Row:
        """Keep the ratio of a row as a figure with a target of its own.

        Raises:
            ValueError: for a row that is not measured against another one.
        """
        if row.ratio is None:
            raise ValueError(f"{row.name!r} is not measured against anything")
        return self.add(f"{row.name} ÷ {row.against}", row.ratio, unit, target=target)

    def finish(self, as_json: bool) -> None:
        """The end of the output: with ``as_json``, one line of JSON."""
        if as_json:
            rows = [{**asdict(row), "holds": row.holds} for row in self.rows.values()]
            print(json.dumps({"rows": rows}, ensure_ascii=False, allow_nan=False))


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


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"


def quiet_login() -> None:
    """Keep the benchmark's session out of the user's own folder, in one that is removed at the end."""
    if "GRID_USER_HOME" not in os.environ:
        os.environ["GRID_USER_HOME"] = folder = tempfile.mkdtemp(prefix="grid-bench-user-")
        atexit.register(shutil.rmtree, folder)
