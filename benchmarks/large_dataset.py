"""A dataset larger than a node may take memory: registered, found, described, analysed, deleted.

    python benchmarks/large_dataset.py [--gigabytes 5] [--folder /var/tmp] [--quick] [--json]

The file is registered by an SDK process that is killed (SIGKILL) when a third of it has arrived; a second one goes
on, during which the node is killed at two thirds, and started again. Then the dataset is searched, described,
mocked, its statistics are published, an analysis reads it, and it is deleted. ``memory`` is the resident peak of
the node's processes (target: 600 MB for 5 GB) and of the SDK's. What is left in the node's blob folder at the end
is said: nothing. Needs twice the size on disk.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import syft_ext as sy
from benchmarks._harness import (
    EMAIL,
    PASSWORD,
    Report,
    megabytes,
    node_memory,
    node_peak_memory,
    parse,
    quiet_login,
)
from demo.processes import NodeProcess
from syft_ext.tensors import tensor_header

ROW_BYTES = 8 + 4 + 1 + 27 * 4  # of the columns below
CHUNK = 100_000
FULL_SIZE = 5.0  # gigabytes, that the target for memory is meant for
MEMORY_TARGET = 600.0  # MB

REGISTER = """
import resource, sys
from pathlib import Path
import syft_ext as sy
client = sy.login(sys.argv[1], sys.argv[2], sys.argv[3])
client.datasets.create(
    "large", {"visits": Path(sys.argv[4])}, description="a large table", tags=["benchmark"], mock="generate",
    schema={"age": {"unit": "years", "low": 0.0, "high": 120.0}, "sex": {"description": "0 or 1"}},
)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def make_file(path: Path, size: int) -> int:
    """A safetensors file of about ``size`` bytes, written a stretch at a time; its number of rows."""
    rows = max(1, size // ROW_BYTES)
    random = np.random.default_rng(5)
    columns = [
        ("age", "F64", (rows,)),
        ("bmi", "F32", (rows,)),
        ("sex", "U8", (rows,)),
        ("x", "F32", (rows, 27)),
    ]
    with path.open("wb") as file:
        file.write(tensor_header(columns))
        for name, _, shape in columns:
            for first in range(0, rows, CHUNK):
                count = (min(CHUNK, rows - first), *shape[1:])
                if name == "sex":
                    file.write(random.integers(0, 2, count, dtype=np.uint8).tobytes())
                elif name == "age":
                    file.write(random.uniform(0, 100, count).tobytes())
                else:
                    file.write(random.random(count, dtype=np.float32).tobytes())
    return rows


@dataclass
class Figures:
    """Bytes and seconds. ``left``: files in the node's blob folder after everything was deleted."""

    size: int = 0
    node_at_rest: int = 0
    node_peak: int = 0
    sdk_peak: int = 0
    resumed_at: list[int] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


class Site:
    """A Domain that is killed and started again on the same port and home."""

    def __init__(self, home: Path, figures: Figures) -> None:
        self.home, self.figures = home, figures
        self.node = self._start(0)
        self.url = self.node.url
        figures.node_at_rest = node_memory(self.node)

    def _start(self, port: int) -> NodeProcess:
        credentials = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--name", "large"]
        return NodeProcess("domain", self.home, arguments, environment=credentials)

    def _note_peak(self) -> None:
        self.figures.node_peak = max(self.figures.node_peak, node_peak_memory(self.node))

    def kill_and_start(self) -> None:
        self._note_peak()
        self.node.kill()
        self.node = self._start(int(self.url.rsplit(":", 1)[1]))

    def stop(self) -> None:
        if self.node.process.poll() is None:
            self._note_peak()
            self.node.stop()

    def received(self) -> int:
        """Bytes of unfinished uploads."""
        return sum(path.stat().st_size for path in (self.home / "blobs" / "uploads").iterdir())

    def files(self) -> list[str]:
        return sorted(
            f"{folder}/{path.name}"
            for folder in ("contents", "temporary", "uploads")
            for path in (self.home / "blobs" / folder).iterdir()
        )


def register(site: Site, file: Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-c", REGISTER, site.url, EMAIL, PASSWORD, str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(condition: Callable[[], bool], child: subprocess.Popen[str], seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the registration ended early, or took too long")
        time.sleep(0.01)


def upload_with_kills(site: Site, file: Path) -> None:
    """One SDK process killed, one node killed; the second SDK process ends with the dataset registered."""
    figures, size = site.figures, file.stat().st_size
    with figures.timed("register"):
        first = register(site, file)
        wait_for(lambda: site.received() > size // 3, first)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        figures.resumed_at.append(site.received())
        second = register(site, file)
        wait_for(lambda: site.received() > size * 2 // 3, second)
        site.kill_and_start()
        figures.resumed_at.append(site.received())
        output, _ = second.communicate(timeout=900)
        if second.returncode:
            raise RuntimeError("the second SDK process failed")
    figures.sdk_peak = int(output)


def use_and_delete(site: Site, rows: int) -> None:
    figures = site.figures
    client = sy.login(site.url, EMAIL, PASSWORD)
    assert isinstance(client, sy.DomainClient)
    with figures.timed("search"):
        (hit,) = client.search("large table", columns=["age"], min_rows=rows)
    with figures.timed("describe"):
        asset = client.datasets["large"]["visits"]
    assert (asset.view.rows, hit.assets[0].object_id) == (rows, asset.object_id)
    with figures.timed("mock"):
        assert asset.mock["x"].shape == (100, 27)
    with figures.timed("publish statistics of 3 columns"):
        asset.publish_statistics({"age": ["mean", "std"], "bmi": ["mean"], "sex": ["count"]})
    assert abs((asset.statistics["age"]["mean"] or 0) - 50) < 1
    with figures.timed("mean and deviation by sex, quantiles"):
        result = client.analyze(
            asset, ["mean", "std", "quantile"], columns=["age", "bmi"], by="sex", timeout=600.0
        )
    assert len(result.groups) == 2
    with figures.timed("mean of all 27 columns of x"):
        client.analyze(asset, "mean", columns=[f"x[{index}]" for index in range(27)], timeout=600.0)
    with figures.timed("delete"):
        client.datasets.delete("large", objects=True)
    figures.left = site.files()
    client.close()


def walk(size: int, folder: Path) -> Figures:
    """All of it with a file of about ``size`` bytes, in a folder that has room for it twice."""
    figures = Figures()
    file = folder / "large.safetensors"
    rows = make_file(file, size)
    figures.size = file.stat().st_size
    site = Site(folder / "domain", figures)
    try:
        upload_with_kills(site, file)
        use_and_delete(site, rows)
    finally:
        site.stop()
        file.unlink()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=None, help="on a real disk")
    arguments = parse(parser, gigabytes=0.16)
    quiet_login()
    with tempfile.TemporaryDirectory(prefix="grid-large-", dir=arguments.folder) as folder:
        figures = walk(int(arguments.gigabytes * 1e9), Path(folder))
    report = Report()
    size = megabytes(figures.size)
    table = Table(title=f"A dataset of {size}")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    for name, seconds in figures.seconds.items():
        report.add(f"{size}, {name}", seconds, "s")
        table.add_row(name, f"{seconds:,.2f}")
    for killed, count in zip(("the SDK", "the node"), figures.resumed_at, strict=True):
        report.add(f"{size}, arrived when {killed} was killed", count / 1e6, "MB")
    rest = report.add(f"{size}, node's memory at rest", figures.node_at_rest / 1e6, "MB")
    target = MEMORY_TARGET if arguments.gigabytes == FULL_SIZE else None
    report.add(f"{size}, node's memory, peak", figures.node_peak / 1e6, "MB", against=rest, target=target)
    report.add(f"{size}, SDK's memory, peak", figures.sdk_peak / 1e6, "MB")
    report.add(f"{size}, left in the blob folder", len(figures.left), "files", target=0)
    console = Console()
    console.print(table)
    went_on = " and ".join(megabytes(count) for count in figures.resumed_at)
    console.print(f"the SDK was killed, then the node; the upload went on at {went_on}")
    console.print(
        f"memory: the node {megabytes(figures.node_at_rest)} at rest, {megabytes(figures.node_peak)} at its peak; "
        f"the SDK (with torch) {megabytes(figures.sdk_peak)} at its peak"
    )
    console.print(f"left in the blob folder after deleting: {figures.left or 'nothing'}")
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
