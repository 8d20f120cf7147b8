"""Nothing that comes from outside is unpickled, evaluated, or looked up as code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("packages/grid", "packages/syft_ext", "apps")
SOURCES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))

MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "torch.load",
    "torch.jit.load",
    "torch.export.load",
    "torch.package.PackageImporter",
    "numpy.load",
    "np.load",
    "yaml.load",
    "yaml.unsafe_load",
    "os.system",
    "import_module",
    "importlib.import_module",
}
#: (file, call) → why it is safe. Each names a place where no byte from outside becomes code.
ALLOWED = {
    (
        "packages/syft_ext/plans/running/codegen.py",
        "exec",
    ): "source made of the executor's own identifiers only",
    ("packages/syft_ext/plans/running/codegen.py", "compile"): "as above",
    ("packages/syft_ext/__init__.py", "import_module"): "a name from the facade's own table",
    ("packages/syft_ext/plans/__init__.py", "import_module"): "as above",
    (
        "apps/cli/discovery.py",
        "import_module",
    ): "a file of apps/cli/commands, found in its folder or one below",
    (
        "packages/syft_ext/confinement/nursery_main.py",
        "import_module",
    ): "a module that the process which started it names among its own arguments, before any order comes",
    ("packages/syft_ext/transport/webrtc/engine.py", "import_module"): "a place from its own table",
    ("apps/kinds.py", "import_module"): "a place that a row of the file, or of an installed package, names",
}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def offences(path: Path, root: Path = ROOT) -> list[tuple[str, str]]:
    name = str(path.relative_to(root))
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            call = dotted(node.func)
            if call in CALLS and not (call.endswith("np.load") and _refuses_pickle(node)):
                found.append((name, call))
            if any(k.arg in ("allow_pickle", "shell") and _is_true(k.value) for k in node.keywords):
                found.append((name, f"{call}(allow_pickle or shell)"))
        elif isinstance(node, ast.Import):
            found += [(name, alias.name) for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append((name, node.module or ""))
    return found


def _is_true(node: ast.expr) -> bool:
    return not (isinstance(node, ast.Constant) and node.value is False)


def _refuses_pickle(call: ast.Call) -> bool:
    return any(k.arg == "allow_pickle" and not _is_true(k.value) for k in call.keywords)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_loader_that_runs_code(path: Path) -> None:
    assert [o for o in offences(path) if o not in ALLOWED] == []


def test_the_check_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import pickle\nimport torch\ntorch.load('x')\neval('1')\nrun('ls', shell=True)\n")
    found = {call for _, call in offences(bad, tmp_path)}
    assert found == {"pickle", "torch.load", "eval", "run(allow_pickle or shell)"}


def test_every_exception_is_still_needed() -> None:
    present = {offence for path in SOURCES for offence in offences(path)}
    assert set(ALLOWED) <= present
