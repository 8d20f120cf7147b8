"""The engine in its worker, and its kernels, in real Chromium under the policy that pages are served with."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from syft_ext.plans import Plan

from . import steps
from .conformance import as_json, differences, packed, questions, unpacked
from .engines import CHROMIUM, build, chromium
from .node import needs_node

pytestmark = pytest.mark.timeout(900)  # of a machine that does other things
POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'"
USE = """async ({ plan, id, inputs }) => {
  const { Engine } = await import("/page.js");
  const bytes = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  const text = (data) => btoa(String.fromCharCode(...new Uint8Array(data)));
  const refused = await Engine.load(bytes(plan), "0".repeat(64)).then(() => "", (error) => error.name);
  const engine = await Engine.load(bytes(plan), id);
  const share = (await engine.selfTest()).share;
  const given = inputs.map((each) => ({ ...each, data: bytes(each.data).buffer }));
  const results = await engine.run(given);
  const again = await engine.run(given);
  engine.close();
  const closed = await engine.run(given).then(() => "", (error) => error.message);
  return {
    refused, share, closed, text: engine.describe().text,
    results: results.map((each) => ({ ...each, data: text(each.data) })),
    same: results.every((each, i) => text(each.data) === text(again[i].data)),
  };
}"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests print nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    needs_node()
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: the engine is not tested in a real browser")
    folder = build()
    (folder / "index.html").write_text("<!doctype html><title>engine</title>")
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_a_page_computes_in_a_worker(address: str) -> None:
    from playwright.sync_api import sync_playwright

    ((_, (plan, flat)),) = steps.traced("logistic_regression")
    expected = Plan.read(plan.dumps()).run(flat)
    case = steps.asked(plan, inputs=[packed(each) for each in flat])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page()
            page.set_default_timeout(300_000)
            page.goto(address)
            found = page.evaluate(USE, case)
        finally:
            browser.close()
    assert found["refused"] == "InvalidPlan" and "closed" in found["closed"], json.dumps(found)[:500]
    assert found["share"] <= 1 and found["text"] == plan.text() and found["same"]
    for got, wanted in zip(found["results"], expected, strict=True):
        assert float((unpacked(got) - wanted).abs().max()) < 1e-6


def test_chromium_answers_as_torch_does(address: str) -> None:
    """A few operations of each family; all of them: ``python -m tests.browser.conformance --chromium``."""
    ops = [
        "add.Tensor",
        "mul.Tensor",
        "gelu.default",
        "sum.dim_IntList",
        "sort.default",
        "mm.default",
        "convolution.default",
        "max_pool2d_with_indices.default",
        "index.Tensor",
        "_softmax.default",
    ]
    asked = [each for op in ops for each in questions(f"aten.{op}", cases=3, seed=70_000)]
    with chromium() as engine:
        found = engine.run([as_json(each) for each in asked])
    wrong = [f"{q}\n    {said}" for q, o in zip(asked, found, strict=True) if (said := differences(q, o))]
    assert not wrong, "\n".join(wrong)
