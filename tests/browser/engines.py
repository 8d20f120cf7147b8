"""The browser's engine of plans, built from its sources, in Node and in real Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .node import GRID_JS

__all__ = ["CHROMIUM", "Engine", "build", "chromium", "node"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def build() -> Path:
    """The folder of kernels and runners; made once for each state of the sources."""
    sources = sorted(
        [*GRID_JS.glob("src/**/*.ts"), *GRID_JS.glob("test/support/*.ts"), GRID_JS / "package-lock.json"]
    )
    seen = hashlib.sha256(b"".join(str(path).encode() + path.read_bytes() for path in sources)).hexdigest()
    folder = GRID_JS / "build" / f"engine-{seen[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        _build(made)
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # another test made it meanwhile
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _build(folder: Path) -> None:
    for name, source, flags in (
        ("kernels.wasm", "index", ""),
        ("rest.wasm", "rest", "--importMemory --memoryBase 32768"),
    ):
        compiler = ["node", "node_modules/assemblyscript/bin/asc.js", f"src/engine/kernels/{source}.as.ts"]
        wanted = ["-O3", "--runtime", "stub", "--noAssert", "--enable", "simd", *flags.split()]
        _run([*compiler, *wanted, "-o", str(folder / name)])
    common = ["--bundle", "--format=esm", "--target=es2022", "--log-level=warning"]
    esbuild = str(GRID_JS / "node_modules" / ".bin" / "esbuild")
    _run(
        [
            esbuild,
            "test/support/node_cases.ts",
            *common,
            "--platform=node",
            f"--outfile={folder / 'node_cases.mjs'}",
        ]
    )
    for entry, name in (("src/engine/index.ts", "page.js"), ("src/served/engine.ts", "engine.js")):
        _run([esbuild, entry, *common, f"--outfile={folder / name}"])
    for name in ("page_cases", "page_steps"):
        _run([esbuild, f"test/support/{name}.ts", *common, f"--outfile={folder / name}.js"])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, cwd=GRID_JS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


class Engine:
    """Answers cases (see ``packages/grid_js/test/support/cases.ts``), in order."""

    def run(self, cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        raise NotImplementedError

    def renew(self) -> None:
        """Gives back the memory of what has run."""


class _Node(Engine):
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._input: IO[str] = process.stdin
        self._output: IO[str] = process.stdout

    def run(self, cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for case in cases:
            self._input.write(json.dumps(case) + "\n")
            self._input.flush()
            found.append(json.loads(self._output.readline()))
        return found


class _Page(Engine):
    def __init__(self, browser: Any, folder: Path) -> None:
        self._browser, self._folder, self._page = browser, folder, browser.new_page()
        self._begin()

    def _begin(self) -> None:
        self._page.add_script_tag(path=self._folder / "page_cases.js", type="module")
        self._page.wait_for_function("() => !!globalThis.gridKernels")
        kernels = [
            base64.b64encode((self._folder / name).read_bytes()).decode()
            for name in ("kernels.wasm", "rest.wasm")
        ]
        self._page.evaluate("([common, rest]) => gridKernels(common, rest)", kernels)

    def run(self, cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        # As text, a few at a time: Playwright's driver keeps what it takes apart.
        for first in range(0, len(cases), 20):
            asked = json.dumps(list(cases[first : first + 20]))
            found += json.loads(
                self._page.evaluate(
                    "async (text) => JSON.stringify(await gridCases(JSON.parse(text)))", asked
                )
            )
        return found

    def renew(self) -> None:
        """Another page: each engine holds address space until its page is gone, and a page has only so much."""
        self._page.close()
        self._page = self._browser.new_page()
        self._begin()


@contextmanager
def node() -> Iterator[Engine]:
    """The engine in Node."""
    folder = build()
    command = [
        "node",
        str(folder / "node_cases.mjs"),
        *(str(folder / name) for name in ("kernels.wasm", "rest.wasm")),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        try:
            yield _Node(process)
        finally:
            process.stdin.close()


@contextmanager
def chromium() -> Iterator[Engine]:
    """The engine in a page of real Chromium."""
    from playwright.sync_api import sync_playwright

    folder = build()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield _Page(browser, folder)
        finally:
            browser.close()
