"""The shape of the source: imports run one way, rooms and files can be read alone, each room says what it is.

Which room may import which is import-linter's to check (``setup.cfg``); this looks at single files, and counts
every line that imports: those inside functions and under ``TYPE_CHECKING`` too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

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


# -- names ---------------------------------------------------------------------------------------------


def defined_twice(root: Path) -> dict[str, list[str]]:
    """ "package.Class" → the modules that define it, where these are several: grid, syft_ext and apps each."""
    found: dict[str, list[str]] = {}
    for path in _files(root):
        module = _module(root, path)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(f"{module.partition('.')[0]}.{node.name}", []).append(module)
    return {name: modules for name, modules in found.items() if len(modules) > 1}


def test_no_class_name_is_used_twice_in_a_package() -> None:
    assert defined_twice(ROOT) == {}


# -- kinds of nodes ------------------------------------------------------------------------------------

#: The one file that may know what is special about a kind of node.
KINDS = "apps/kinds.py"
#: What also has kinds, some of which are called like those of nodes.
_NOT_NODES = {"principal", "permission"}


def kind_comparisons(root: Path) -> list[str]:
    """ "file:line: comparison" of each with the name of a kind of node, as ``kind == "worker"`` is one."""
    kinds = {path.parent.name for path in (root / "apps").glob("*/app.py")}
    found = []
    for path in _files(root):
        name = str(path.relative_to(root))
        for node in ast.walk(ast.parse(path.read_text())) if name != KINDS else ():
            if _compares_kinds(node, kinds):
                found.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    return found


def _compares_kinds(node: ast.AST, kinds: set[str]) -> TypeGuard[ast.Compare | ast.Match]:
    if isinstance(node, ast.Match):
        patterns = [each.value for each in ast.walk(node) if isinstance(each, ast.MatchValue)]
        return _is_kind(node.subject) and any(_names(pattern) & kinds for pattern in patterns)
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    named = [names for side in sides if (names := _names(side)) and names <= kinds]
    # A list of nothing but kinds is one of kinds, whatever is looked for in it.
    return any(len(names) > 1 for names in named) or bool(named and any(map(_is_kind, sides)))


def _names(node: ast.expr) -> set[str]:
    """The text that stands here, or all texts of a literal collection."""
    parts = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def _is_kind(node: ast.expr) -> bool:
    """Whether it is called a kind, and not that of something else than a node."""
    if isinstance(node, ast.Attribute):
        owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        return node.attr.endswith("kind") and owner not in _NOT_NODES
    return isinstance(node, ast.Name) and node.id.endswith("kind")


def test_no_code_asks_which_kind_of_node_it_has() -> None:
    assert kind_comparisons(ROOT) == []


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


def test_a_class_name_that_is_used_twice_is_found(tree: Path) -> None:
    _write(tree, {"packages/low/a.py": "class Row:\n    class Key: ...\nclass Key: ...\n"})
    _write(tree, {"packages/high/a.py": "class Row: ...", "apps/a.py": "def f():\n    class Key: ...\n"})
    assert defined_twice(tree) == {}  # another package, inside a class or inside a function: another name
    _write(tree, {"packages/low/inner/b.py": "class Row: ..."})
    assert defined_twice(tree) == {"low.Row": ["low.a", "low.inner.b"]}


@pytest.mark.parametrize(
    "comparison",
    [
        "kind == 'domain'",
        "'worker' != node.kind",
        "self.node.kind == 'domain'",
        "node_kind in ('domain', 'network')",
        "arguments[0] in ('domain', 'worker')",
        "hub.kind not in {'domain'}",
        "self.kind is 'worker'",
    ],
)
def test_a_comparison_with_a_kind_of_node_is_found(tree: Path, comparison: str) -> None:
    _write(tree, {f"apps/{kind}/app.py": "" for kind in ("domain", "network", "worker")})
    _write(tree, {"packages/low/numbers.py": f"ONE = 1\nif {comparison}:\n    pass\n"})
    assert kind_comparisons(tree) == [f"packages/low/numbers.py:2: {comparison}"]
    _write(tree, {"packages/low/numbers.py": "", KINDS: f"if {comparison}:\n    pass\n"})
    assert kind_comparisons(tree) == []


def test_a_match_on_the_kind_of_node_is_found(tree: Path) -> None:
    code = "match node.kind:\n    case 'worker' | 'domain':\n        pass\n"
    _write(tree, {f"apps/{kind}/app.py": "" for kind in ("domain", "network", "worker")})
    _write(tree, {"packages/low/numbers.py": code})
    assert [each.partition("\n")[0] for each in kind_comparisons(tree)] == [
        "packages/low/numbers.py:1: match node.kind:"
    ]


@pytest.mark.parametrize(
    "comparison",
    [
        "kind == 'tensor'",
        "ctx.principal.kind == 'worker'",
        "permission.kind == 'worker'",
        "name == 'worker'",
        "{'network', 'landlock'} <= means",
        "kind in KINDS",
    ],
)
def test_what_is_no_kind_of_node_may_be_compared(tree: Path, comparison: str) -> None:
    _write(tree, {f"apps/{kind}/app.py": "" for kind in ("domain", "network", "worker")})
    _write(tree, {"packages/low/numbers.py": f"if {comparison}:\n    pass\n"})
    assert kind_comparisons(tree) == []
