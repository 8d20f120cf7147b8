"""Search over many Domains behind a Network, warm; then with one Domain dead and one that does not answer.

    python benchmarks/search.py [--domains 20] [--assets 500] [--searches 200] [--quick] [--json]

Every Domain and the Network are processes of their own and talk over loopback; the SDK asks the Network. They all
share this machine's processors, so the times include the work of all Domains. With 20 × 500 assets the p95 of
what was asked before should be below 50 ms; Domains that fall silent should not make a search slower. ``cpu`` is
the processor time of the Network and of all Domains together for one search. Each asset is a dataset with a
description, tags, twelve columns, sizes and published statistics. ``found`` is how many entries a search answers
with. Tags and topics are asked for again and again, all of them before the times are taken, so that Domains need
not tell the Network what it knows; of the first kind there are 500, and the last kind was never asked before. The
floor is one round trip of the SDK to the Network (``network.domains``), measured in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import syft_ext as sy
from apps.assembly import open_node
from benchmarks._harness import EMAIL, PASSWORD, Report, Row, megabytes, parse, quiet_login
from demo.processes import NodeProcess
from grid.access.viewer import Viewer
from grid.accounts.bootstrap import bootstrap_owner
from grid.accounts.tables import User
from grid.catalogue.datasets import DatasetManager
from grid.catalogue.derived import DerivedManager
from grid.catalogue.objects import ObjectManager
from grid.catalogue.schemas import lineage_of
from grid.statistics.guarded.desk import GuardedDesk
from syft_ext.messages.datasets import Asset, Column, CreateDataset, PublishStatistics
from syft_ext.messages.network import ListDomains, RequestAssociation
from syft_ext.messages.objects import PutObject
from syft_ext.sources.frames import content_of

WORDS = ["biopsy", "imaging", "cardiac", "diabetes", "genome", "sleep", "renal", "asthma", "stroke", "vision"]
COLUMNS = [
    "age",
    "sex",
    "bmi",
    "pulse",
    "dose",
    "stage",
    "weight",
    "height",
    "smoker",
    "outcome",
    "site",
    "year",
]


def fill(home: Path, name: str, assets: int) -> None:
    """A Domain's home with an owner and so many published assets, made without a server."""
    from grid.accounts.service import SERVICES as ACCOUNTS

    node = open_node("domain", home, name, [*ACCOUNTS])
    bootstrap_owner(node, EMAIL, PASSWORD)
    with node.db.read() as session:
        owner = session.query(User.id).scalar()
    viewer = Viewer(owner, frozenset({owner, "*"}))

    def look(session: Any) -> Viewer:
        return viewer

    objects, datasets = (kind(node.db, node.blobs, node.clock) for kind in (ObjectManager, DatasetManager))
    derived = DerivedManager(node, datasets, GuardedDesk(node, lineage_of))
    content = content_of({column: np.arange(100.0) for column in COLUMNS}, {}, "t")
    stored = objects.put(viewer, PutObject(kind="tensors"), content.pieces())
    schema = [Column(name=column, unit="unit", description=f"the {column} of a visit") for column in COLUMNS]
    for number in range(assets):
        topic, other = WORDS[number % 10], WORDS[number // 10 % 10]
        message = CreateDataset(
            name=f"{name}-{topic}-{number}",
            description=f"{topic} and {other} of ward{number}, seen at {name}",
            tags=[topic, f"tag{number % 50}"],
            subjects="adults",
            assets=[Asset(name="visits", object_id=stored.id, columns=schema)],
        )
        view = datasets.create(look, message)
        if number % 5 == 0:
            derived.publish(
                look,
                PublishStatistics(dataset_id=view.id, asset="visits", statistics={"age": ["count", "mean"]}),
            )
    node.stop()


def start(kind: str, home: Path, *arguments: str) -> NodeProcess:
    credentials = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
    return NodeProcess(
        kind,
        home,
        ["--host", "127.0.0.1", "--port", "0", "--name", home.name, *arguments],
        environment=credentials,
        log_file=home.parent / f"{home.name}.log",
    )


def associated(network: NodeProcess, domains: Sequence[NodeProcess]) -> sy.NetworkClient:
    for domain in domains:
        sy.login(domain.url, EMAIL, PASSWORD).call(RequestAssociation(address=network.url))
    client = sy.login(network.url, EMAIL, PASSWORD)
    assert isinstance(client, sy.NetworkClient)
    return client


def cpu_seconds(nodes: Sequence[NodeProcess]) -> tuple[float, float]:
    """Of the Network, which is the first, and of all Domains."""
    each = [sum(psutil.Process(node.process.pid).cpu_times()[:2]) for node in nodes]
    return each[0], sum(each[1:])


def measure(call: Callable[[int], Any], times: int) -> tuple[list[float], Any]:
    """Milliseconds of each call, and the last answer."""
    taken, answer = [], None
    for number in range(times):
        begun = time.perf_counter()
        answer = call(number)
        taken.append((time.perf_counter() - begun) * 1e3)
    return taken, answer


def keep(
    report: Report,
    name: str,
    taken: Sequence[float],
    against: Sequence[Row | None] = (None, None),
    targets: Sequence[float | None] = (None, None),
) -> list[Row]:
    """Two rows for one kind of search, the median and the 95th of a hundred; ``taken``: milliseconds of each."""
    figures = (statistics.median(taken), statistics.quantiles(taken, n=20)[18])
    return [
        report.add(f"{name}: {kind}", figure, "ms", against=peer, target=target)
        for kind, figure, peer, target in zip(("p50", "p95"), figures, against, targets, strict=True)
    ]


def line(name: str, times: Sequence[Row], cpu: Sequence[Row], found: Any) -> list[str]:
    """A line of the table; ``cpu``: of the Network and of all Domains, for one search."""
    spent = [f"{row.value:.1f} ms" for row in cpu] or ["–", "–"]
    return [name, *(f"{row.value:.1f} ms" for row in times), *spent, str(found)]


FULL_SIZE = (20, 500)  # Domains and assets that the target is meant for
TARGET = 50.0  # milliseconds
WARM_UP = 50  # searches: as many as there are tags
NEVER_ASKED = "the same, never asked before"
_FRESH = itertools.count(1000)
SEARCHES: list[tuple[str, Callable[[int], dict[str, Any]]]] = [
    ("a word that one asset of each Domain has", lambda n: {"text": f"ward{n * 7 % 500},"}),
    ("two words and a tag", lambda n: {"text": f"{WORDS[n % 10]} seen", "tags": [f"tag{n % 50}"]}),
    ("tag, columns and rows", lambda n: {"tags": [f"tag{n % 50}"], "columns": ["age", "bmi"], "min_rows": 50}),
    ("everything of a topic (limit 100)", lambda n: {"text": WORDS[n % 10]}),
    (NEVER_ASKED, lambda n: {"text": WORDS[n % 10], "max_rows": next(_FRESH)}),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--domains", type=int, default=20)
    parser.add_argument("--assets", type=int, default=500)
    parser.add_argument("--searches", type=int, default=200)
    arguments = parse(parser, domains=3, assets=20, searches=10)
    target = TARGET if (arguments.domains, arguments.assets) == FULL_SIZE else None
    size = f"{arguments.domains} Domains × {arguments.assets} assets"
    quiet_login()
    report = Report()
    alive: list[list[Row]] = []
    table = Table(title=f"{size} behind a Network")
    for heading in ("search", "p50", "p95", "cpu Network", "cpu Domains", "found"):
        table.add_column(heading, justify="left" if heading == "search" else "right")
    folder = Path(tempfile.mkdtemp(prefix="grid-search-"))
    nodes: list[NodeProcess] = []
    try:
        for number in range(arguments.domains):  # each its own: a database belongs to one node
            fill(folder / f"d{number}", "d", arguments.assets)
        nodes.append(start("network", folder / "net", "--auto-accept", "--offline-after", "3600"))
        for number in range(arguments.domains):  # one by one: whoever fails, those before it are ended below
            nodes.append(start("domain", folder / f"d{number}"))
        client = associated(nodes[0], nodes[1:])
        taken, _ = measure(lambda n: client.call(ListDomains()), 50)
        floor = keep(report, f"{size}, one round trip to the Network", taken)
        table.add_row(*line("floor: one round trip to the Network", floor, [], "–"))
        for name, query in SEARCHES:
            measure(lambda n, query=query: client.search(**query(n)), WARM_UP)  # type: ignore[misc]
            before = cpu_seconds(nodes)
            taken, last = measure(lambda n, query=query: client.search(**query(n)), arguments.searches)  # type: ignore[misc]
            after = cpu_seconds(nodes)
            assert not last.notes, last.notes
            targets = (None, None if name == NEVER_ASKED else target)
            alive.append(keep(report, f"{size}, {name}", taken, floor, targets))
            cpu = [
                report.add(f"{size}, {name}: cpu of {whose}", (b - a) * 1e3 / arguments.searches, "ms")
                for whose, a, b in zip(("the Network", "all Domains"), before, after, strict=True)
            ]
            table.add_row(*line(name, alive[-1], cpu, len(last)))
        memory = max(psutil.Process(node.process.pid).memory_info().rss for node in nodes)
        nodes[1].kill()
        nodes[2].process.send_signal(signal.SIGSTOP)
        query = SEARCHES[0][1]
        (first,), _ = measure(lambda n: client.search(**query(n)), 1)
        taken, last = measure(lambda n: client.search(**query(n)), arguments.searches)
        assert len(last.notes) == 2, last.notes
        name = "the first, one Domain dead, one mute"
        silent = keep(report, f"{size}, {name}", taken, alive[0], [row.value for row in alive[0]])
        table.add_row(*line(name, silent, [], len(last)))
        report.add(f"{size}, the first search after they fell silent", first, "ms")
        report.add(f"{size}, memory of the largest node", memory / 1e6, "MB")
        console = Console()
        console.print(table)
        console.print(f"the first search after they fell silent took {first:,.0f} ms (the deadline is 2 s)")
        console.print(f"memory: the largest node has {megabytes(memory)}; processors: {os.cpu_count()}")
    finally:
        for node in nodes:
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
                node.kill()
        shutil.rmtree(folder)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
