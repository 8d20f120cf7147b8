"""The shape of the source: imports run one way, rooms and files can be read alone, each room says what it is.

Which room may import which is import-linter's to check (``setup.cfg``); this looks at single files, and counts
every line that imports: those inside functions and under ``TYPE_CHECKING`` too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("packages", "apps")

MAX_FILES, MAX_LINES = 24, 500
#: Folders of files that all have one form: nobody reads them through.
UNIFORM = {"packages/syft_ext/messages", "packages/grid/schema/migrations/versions"}

Graph = dict[str, set[str]]


def _files(root: Path) -> list[Path]:
    return sorted(path for source in SOURCES for path in (root / source).rglob("*.py"))


def _module(root: Path, path: Path) -> str:
    """The dotted name; of a package, that of the package."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[0] == "packages":
        del parts[0]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# -- circles -------------------------------------------------------------------------------------------


def import_graph(root: Path) -> Graph:
    """Module → the modules of the source that its file imports anywhere."""
    modules = {_module(root, path): path for path in _files(root)}
    return {name: _imported(name, path, modules) - {name} for name, path in modules.items()}


def _imported(name: str, path: Path, modules: dict[str, Path]) -> set[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            inner = {f"{origin}.{alias.name}" for alias in node.names}
            # "from package import module" needs the module, not what the package says of itself.
            found.update(inner & modules.keys() or {origin})
    return found & modules.keys()


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules each of which imports all others of its group, directly or by way of others."""
    reached = {name: _reached(name, graph) for name in graph}
    groups = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in graph
        if name in reached[name]
    }
    return sorted(sorted(group) for group in groups)


def _reached(name: str, graph: Graph) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in graph[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found


def test_no_files_import_each_other() -> None:
    assert circles(import_graph(ROOT)) == []


# -- sizes ---------------------------------------------------------------------------------------------


def crowded(root: Path) -> dict[str, int]:
    """Folder → how many Python files it has, where these are too many to look through."""
    folders = {path.parent for path in _files(root)}
    counted = {str(folder.relative_to(root)): len(list(folder.glob("*.py"))) for folder in folders}
    return {name: count for name, count in counted.items() if count > MAX_FILES and name not in UNIFORM}


def too_long(root: Path) -> dict[str, int]:
    """File → its lines, where these are too many to read at once."""
    lengths = {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in _files(root)}
    return {name: length for name, length in lengths.items() if length > MAX_LINES}


def test_no_folder_is_crowded() -> None:
    assert crowded(ROOT) == {}


def test_no_file_is_too_long() -> None:
    assert too_long(ROOT) == {}


# -- what a package says of itself ---------------------------------------------------------------------


def unexplained(root: Path) -> dict[str, str]:
    """Package → what its docstring lacks: two sentences, what it knows, and what it must not."""
    folders = sorted({path.parent for path in _files(root)})
    told = {str(folder.relative_to(root)): _lacks(folder / "__init__.py") for folder in folders}
    return {name: lack for name, lack in told.items() if lack}


def _lacks(path: Path) -> str:
    if not path.exists():
        return "it has no __init__.py"
    text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    if len(list(_sentences(text))) < 2:
        return "a docstring of two sentences"
    if not re.search(r"\bknows?\b", text, re.IGNORECASE):
        return "what it knows"
    return "" if re.search(r"\bmust not\b", text) else "what it must not know or do"


def _sentences(text: str) -> Iterator[str]:
    yield from (part for part in re.split(r"(?<=[.!?])\s", text) if part.endswith((".", "!", "?")))


def test_every_package_says_what_it_knows() -> None:
    assert unexplained(ROOT) == {}


# -- each check can fail -------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source without a fault: two packages and an app."""
    _write(
        tmp_path,
        {
            "packages/low/__init__.py": '"""What is below. It knows numbers; it must not know words."""',
            "packages/low/numbers.py": "ONE = 1\n",
            "packages/high/__init__.py": '"""What is above. Knows words; must not know apps."""',
            "packages/high/words.py": "from low.numbers import ONE\n",
            "apps/__init__.py": '"""The app. It knows all; it must not know better."""',
            "apps/run.py": "import high.words\nfrom low import numbers\n",
        },
    )
    return tmp_path


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_source_without_a_fault_passes(tree: Path) -> None:
    assert (circles(import_graph(tree)), crowded(tree), too_long(tree), unexplained(tree)) == ([], {}, {}, {})


@pytest.mark.parametrize(
    "line",
    [
        "from high import words",
        "from high.words import ONE",
        "import high.words",
        "import high.words as other",
        "def later() -> None:\n    from high.words import ONE",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from high.words import ONE",
    ],
)
def test_every_line_that_imports_counts(tree: Path, line: str) -> None:
    _write(tree, {"packages/low/numbers.py": line})
    assert circles(import_graph(tree)) == [["high.words", "low.numbers"]]


@pytest.mark.parametrize(
    "line", ["from . import tables", "from .tables import ROWS", "from ..low import tables"]
)
def test_relative_imports_count(tree: Path, line: str) -> None:
    _write(tree, {"packages/low/numbers.py": line, "packages/low/tables.py": "from low.numbers import ONE"})
    assert circles(import_graph(tree)) == [["low.numbers", "low.tables"]]


def test_a_circle_goes_through_a_package_that_imports(tree: Path) -> None:
    _write(tree, {"packages/low/__init__.py": "from low.numbers import ONE"})
    _write(tree, {"packages/low/numbers.py": "from low import ONE"})
    assert circles(import_graph(tree)) == [["low", "low.numbers"]]


def test_circles_of_several_files_are_told_apart(tree: Path) -> None:
    ring = {f"packages/low/r{each}.py": f"from low.r{(each + 1) % 3} import X" for each in range(3)}
    pair = {
        "packages/high/a.py": "import high.b\nimport low.r0",
        "packages/high/b.py": "import high.a",
        "packages/high/c.py": "import high.a",
    }
    _write(tree, ring | pair)
    assert circles(import_graph(tree)) == [["high.a", "high.b"], ["low.r0", "low.r1", "low.r2"]]


def test_a_crowded_folder_is_found(tree: Path) -> None:
    here = {f"packages/low/m{each}.py": "" for each in range(MAX_FILES - 2)}
    _write(tree, here)
    assert crowded(tree) == {}  # with __init__.py and numbers.py just as many as may be
    _write(tree, {"packages/low/one_more.py": ""})
    assert crowded(tree) == {"packages/low": MAX_FILES + 1}
    _write(tree, {f"packages/syft_ext/messages/m{each}.py": "" for each in range(MAX_FILES + 1)})
    assert crowded(tree) == {"packages/low": MAX_FILES + 1}


def test_a_long_file_is_found(tree: Path) -> None:
    _write(tree, {"apps/run.py": "x = 1\n" * MAX_LINES})
    assert too_long(tree) == {}
    _write(tree, {"apps/run.py": "x = 1\n" * (MAX_LINES + 1)})
    assert too_long(tree) == {"apps/run.py": MAX_LINES + 1}


@pytest.mark.parametrize(
    ("text", "lack"),
    [
        ("", "a docstring of two sentences"),
        ("# a comment. It knows, it must not.", "a docstring of two sentences"),
        ('"""Knows numbers; must not know words."""', "a docstring of two sentences"),
        ('"""Numbers. They must not be words."""', "what it knows"),
        ('"""Numbers. It knows them."""', "what it must not know or do"),
    ],
)
def test_a_package_that_does_not_explain_itself_is_found(tree: Path, text: str, lack: str) -> None:
    _write(tree, {"packages/low/inner/__init__.py": text})
    assert unexplained(tree) == {"packages/low/inner": lack}


def test_a_folder_that_is_no_package_is_found(tree: Path) -> None:
    _write(tree, {"packages/low/inner/module.py": ""})
    assert unexplained(tree) == {"packages/low/inner": "it has no __init__.py"}
