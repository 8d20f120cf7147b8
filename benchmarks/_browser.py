"""A page's steps beside those of onnxruntime-web and torch, when it is ready, and whether it stays awake.

onnxruntime-web is nothing that this project needs: ``npm install --prefix FOLDER onnxruntime-web@1.30.0``, and
``ORT_WEB=FOLDER/node_modules/onnxruntime-web/dist`` says where it lies.
"""

from __future__ import annotations

import base64
import functools
import http.server
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks._harness import Report, Row
from syft_ext.errors import GridError
from syft_ext.plans import Plan
from tests.browser import steps
from tests.browser.conformance import packed
from tests.browser.engines import CHROMIUM, build
from tests.browser.node import needs_node

__all__ = ["measure"]

READY = 150.0
"""Milliseconds from a plan's bytes to the end of its self-test."""
AS_TORCH = 3.5
AS_ORT = 1.0
LONG = 50.0
"""Milliseconds that the page may be deaf for at a time."""
_WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => { for (const each of list.getEntries()) window.longTasks.push(each.duration); })
  .observe({ type: 'longtask' });
"""


def measure(report: Report, rounds: int, names: Sequence[str], table: int) -> None:
    """Adds the browser's rows; says what is left out where Chromium, Node or onnxruntime-web is missing.

    Args:
        rounds: steps of each plan.
        names: of plans; none for all.
        table: rows of the table that the page of a training reads.
    """
    missing = [name for name, found in (("chromium", CHROMIUM), ("npm", shutil.which("npm"))) if not found]
    if missing:
        print(f"nothing of browsers is measured: there is no {' and no '.join(missing)} (apt install)")
        return
    torch.set_num_threads(1)
    runtime = os.environ.get("ORT_WEB", "")
    if not runtime:
        print("ORT_WEB is not set (see benchmarks/_browser.py): no step of onnxruntime-web is measured")
    with _page(Path(runtime) if runtime else None) as page:
        for name, (plan, flat) in steps.traced(*names):
            _steps(report, page, name, plan, flat, rounds, with_ort=bool(runtime))
            if name in ("mlp_sgd", "cnn_batchnorm"):
                took = [page.evaluate("([plan, id]) => gridReady(plan, id)", _named(plan)) for _ in range(7)]
                report.add(
                    f"{name}: ready and self-tested, median", statistics.median(took), "ms", target=READY
                )
    _awake(report, table)


def _named(plan: Plan) -> list[str]:
    return [base64.b64encode(plan.dumps()).decode(), plan.id]


def _steps(
    report: Report, page: Any, name: str, plan: Plan, flat: list[torch.Tensor], rounds: int, *, with_ort: bool
) -> None:
    model = ""
    if with_ort:
        try:
            model = base64.b64encode(_exported(plan, flat)).decode()
        except GridError as error:
            print(f"{name}: no ONNX ({error.detail})")
    found = page.evaluate(
        "gridPaired",
        {
            **steps.asked(plan),
            "inputs": [packed(each) for each in flat],
            "onnx": model,
            "names": [each.name for each in plan.inputs],
            "follow": {str(place): result for place, result in steps.following(plan).items()},
            "steps": rounds,
        },
    )
    if found["unable"]:
        print(f"{name}: onnxruntime-web cannot run it ({found['unable'][:200]})")
    warm = rounds // 5  # caches, and compilers that look at what is hot
    mine, theirs = found["ours"][warm:], found["theirs"][warm:]
    floor: Row | None = None
    if theirs:
        floor = report.add(f"{name}: step of onnxruntime-web, median", statistics.median(theirs), "ms")
    ours = report.add(f"{name}: step in a page, median", statistics.median(mine), "ms", against=floor)
    if theirs:
        report.add(
            f"{name}: a step in a page ÷ its pair of onnxruntime-web, median",
            statistics.median(one / other for one, other in zip(mine, theirs, strict=True)),
            "×",
            target=AS_ORT,
        )
        print(f"{name}: the engines differ by {found['difference']:.1e} of the first result")
    if name == "mlp_sgd":
        torchs = report.add("mlp_sgd: step of torch on one thread, median", _torch(plan, flat, rounds), "ms")
        report.add(
            "mlp_sgd: step in a page ÷ torch on one thread", ours.value / torchs.value, "×", target=AS_TORCH
        )


def _exported(plan: Plan, flat: Sequence[torch.Tensor]) -> bytes:
    """As ONNX, at the sizes of these inputs."""
    sizes: dict[str, int] = {}
    for item, given in zip(plan.inputs, flat, strict=True):
        for size, real in zip(item.shape, given.shape, strict=True):
            if isinstance(size, list) and size[0] == "sym":
                sizes[size[1]] = real
    return plan.to_onnx(**sizes)


def _torch(plan: Plan, flat: list[torch.Tensor], rounds: int) -> float:
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        plan.run(flat)
        took.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(took[rounds // 5 :])


class _Handler(http.server.SimpleHTTPRequestHandler):
    """What was built, and onnxruntime-web under /ort."""

    ort: Path | None = None
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

    def translate_path(self, path: str) -> str:
        if self.ort is not None and path.startswith("/ort/"):
            return str(self.ort / Path(path.split("?")[0]).name)
        return super().translate_path(path)

    def end_headers(self) -> None:
        # A page that is isolated has a finer clock.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Figures are all that is printed."""


@contextmanager
def _page(ort: Path | None) -> Iterator[Any]:
    """A page that has the engine, and onnxruntime-web where there is one."""
    from playwright.sync_api import sync_playwright

    needs_node()
    folder = build()
    (folder / "bench.html").write_text('<!doctype html><script type="module" src="/page_steps.js"></script>')
    handler = functools.partial(type("Handler", (_Handler,), {"ort": ort}), directory=str(folder))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.set_default_timeout(600_000)
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/bench.html")
            page.wait_for_function("() => !!globalThis.gridPaired")
            page.evaluate(
                "(ort) => gridBench('/kernels.wasm', ort)", f"{page.url.rsplit('/', 1)[0]}/ort" if ort else ""
            )
            yield page
        finally:
            browser.close()
            server.shutdown()


def _awake(report: Report, table: int) -> None:
    """The longest time for which the page of a training was deaf, from its choice of data to its end."""
    from playwright.sync_api import expect

    from tests.browser.join_site import Site
    from tests.browser.page import PATIENCE, chromium, visit

    header, wards, words = (
        "age,mean radius,ward,diagnosis\n",
        ("north", "south"),
        ("malignant", "benign", "benign"),
    )
    rows = header + "".join(
        f"{row % 90},{10 + row % 70 / 7:.3f},{wards[row % 2]},{words[row % 3]}\n" for row in range(table)
    )
    with tempfile.TemporaryDirectory(prefix="grid-bench-") as home, chromium() as browser:
        file = Path(home) / "rows.csv"
        file.write_text(rows)
        site = Site(Path(home) / "domain")
        try:
            training = site.table("awake", client={"max_updates": 200, "batch_size": 64})
            with visit(browser, site.link(training, accepted=True)) as visitor:
                page = visitor.page
                page.get_by_label("Your name").fill("bench")
                page.get_by_role("button", name="Use the invitation").click()
                expect(page.get_by_role("button", name="I agree: choose data")).to_be_visible(
                    timeout=PATIENCE
                )
                page.get_by_role("button", name="I agree: choose data").click()
                page.evaluate(_WATCH)
                # By its path: contents would pass through the page.
                page.locator("#csv").set_input_files(file)
                page.get_by_role("button", name="Take part").click()
                expect(page.get_by_role("heading", level=1, name="The training is complete")).to_be_visible(
                    timeout=PATIENCE
                )
                tasks = page.evaluate("window.longTasks")
        finally:
            site.close()
    report.add("longest task of a training's page", max(tasks, default=0.0), "ms", target=LONG)
