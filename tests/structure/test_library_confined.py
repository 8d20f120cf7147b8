"""TenSEAL is C++ that parses what strangers wrote: it is imported in one file, which only confined
processes run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_KERNEL = "syft_ext.encrypted.kernel"
#: Files that confined processes run; each confines itself before a byte comes to it.
_CONFINED = {
    "packages/syft_ext/encrypted/child_main.py",
    "packages/syft_ext/encrypted/holding.py",
    "packages/grid/compute/encrypted_values.py",
}
#: Of those, the modules that nobody else may import either.
_INSIDE = {"syft_ext.encrypted.holding", "syft_ext.encrypted.child_main", "grid.compute.encrypted_values"}
_HOSTS = {
    "packages/grid/compute/hosted.py",
    "packages/grid/compute/kernels.py",
    "packages/grid/compute/host_server.py",
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_only_confined_processes_hold_the_library() -> None:
    seen = False
    for path in [*ROOT.glob("packages/**/*.py"), *ROOT.glob("apps/**/*.py")]:
        name = str(path.relative_to(ROOT))
        for module in _imports(path):
            if module.split(".")[0] == "tenseal":
                assert name == "packages/syft_ext/encrypted/kernel.py", f"{name} imports the library"
                seen = True
            if module == _KERNEL:
                assert name in _CONFINED, f"{name} imports what runs the library"
            if module in _INSIDE:
                assert name in _CONFINED | _HOSTS, f"{name} imports what only a confined process may"
    assert seen
