"""What a reader may use says what it is: nearly every public name has a docstring where it is met first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("packages/grid", "packages/syft_ext", "apps")
MIN_SHARE = 0.95

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Documentable = ast.Module | ast.ClassDef | _Function


@dataclass(frozen=True)
class Name:
    """A public module, class, function or method; a property counts as a method."""

    file: Path
    line: int
    path: str
    documented: bool


class Classes:
    """The classes of the project by their simple name: what their methods say, and what they build on."""

    def __init__(self, trees: list[ast.Module]) -> None:
        self._bases: dict[str, set[str]] = {}
        self._documented: dict[str, set[str]] = {}
        for node in (each for tree in trees for each in ast.walk(tree) if isinstance(each, ast.ClassDef)):
            self._bases.setdefault(node.name, set()).update(filter(None, map(_last_name, node.bases)))
            methods = {each.name for each in _definitions(node.body) if ast.get_docstring(each)}
            self._documented.setdefault(node.name, set()).update(methods)

    def inherited(self, node: ast.ClassDef, method: str) -> bool:
        """Whether a base of the class, of any height, has a docstring for this method."""
        waiting, seen = [name for name in map(_last_name, node.bases) if name], {node.name}
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if method in self._documented.get(name, ()):
                return True
            waiting += self._bases.get(name, ())
        return False


def _last_name(node: ast.expr) -> str | None:
    """What stands last in ``a.b.Name``, ``Name[T]`` or ``@name(...)``."""
    match node:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=inner) | ast.Call(func=inner):
            return _last_name(inner)
    return None


def _definitions(body: list[ast.stmt]) -> Iterator[ast.ClassDef | _Function]:
    """Those of a module or class; those under ``if``, ``try`` and ``with`` too, those inside functions not."""
    for node in body:
        if isinstance(node, ast.ClassDef | _Function):
            yield node
        else:
            for block in ("body", "orelse", "handlers", "finalbody"):
                inner = getattr(node, block, [])
                yield from _definitions([part for part in inner if isinstance(part, ast.stmt)])
                for handler in (part for part in inner if isinstance(part, ast.ExceptHandler)):
                    yield from _definitions(handler.body)


def _public(node: ast.AST, file: Path, within: str, classes: Classes) -> Iterator[Name]:
    """The public names of a module or class, those of its classes too."""
    assert isinstance(node, ast.Module | ast.ClassDef)
    for each in _definitions(node.body):
        if each.name.startswith("_") or (
            isinstance(each, _Function) and _said_elsewhere(each, node, file, classes)
        ):
            continue
        path = f"{within}.{each.name}" if within else each.name
        yield Name(file, each.lineno, path, _has_docstring(each))
        if isinstance(each, ast.ClassDef):
            yield from _public(each, file, path, classes)


def _said_elsewhere(node: _Function, owner: ast.AST, file: Path, classes: Classes) -> bool:
    """Whether a reader meets what this function does at another place first."""
    decorators = {_last_name(each) for each in node.decorator_list}
    return (
        bool(decorators & {"overload", "setter", "deleter"})
        or "handles" in decorators  # the message says what the operation does
        or any(_has_help(each) for each in node.decorator_list)
        or (isinstance(owner, ast.ClassDef) and classes.inherited(owner, node.name))
        or (file.parent.name == "versions" and node.name in {"upgrade", "downgrade"})
    )


def _has_help(decorator: ast.expr) -> bool:
    """Whether this makes a click command or group with a help text."""
    return (
        isinstance(decorator, ast.Call)
        and _last_name(decorator) in {"command", "group"}
        and any(keyword.arg == "help" for keyword in decorator.keywords)
    )


def _has_docstring(node: _Documentable) -> bool:
    return bool((ast.get_docstring(node) or "").strip())


def public_names(sources: dict[Path, str]) -> list[Name]:
    """The public names that these files define, in their order; ``sources`` maps a path to its text."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    classes = Classes(list(trees.values()))
    found: list[Name] = []
    for path, tree in trees.items():
        if path.stem == "__init__" or not path.stem.startswith("_"):
            found.append(Name(path, 1, "the module", _has_docstring(tree)))
            found += _public(tree, path, "", classes)
    return found


def missing(names: list[Name]) -> str:
    """One line for each name without a docstring."""
    return "\n".join(
        f"{each.file.as_posix()}:{each.line}: {each.path}" for each in names if not each.documented
    )


def share(names: list[Name]) -> float:
    """How many of the names have a docstring: 0 to 1."""
    return sum(each.documented for each in names) / len(names)


@cache
def _project() -> list[Name]:
    """All at once: a base class may stand in another part."""
    files = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))
    return public_names({path.relative_to(ROOT): path.read_text() for path in files})


@pytest.mark.parametrize("part", PARTS)
def test_public_names_say_what_they_are(part: str) -> None:
    names = [each for each in _project() if each.file.is_relative_to(part)]
    assert len(names) > 50
    assert share(names) >= MIN_SHARE, f"{share(names):.1%} of {len(names)} in {part}:\n{missing(names)}"


def test_what_is_missing_is_found() -> None:
    source = '''
"""A module."""

class Base:
    """A base."""
    def said(self): """Said here."""
    def silent(self): ...
    @property
    def width(self): ...
    @width.setter
    def width(self, value): ...
    def __len__(self): ...
    def _own(self): ...
    class Inner: ...

class _Private:
    def inside(self): ...

class Below(Base[int]):
    def said(self): ...
    def silent(self): ...
    @handles(Message)
    def answer(self): ...

try:
    def tried():
        def nested(): ...
except ImportError:
    def tried(): """Said."""

@main.command(help="Says it.")
def with_help(): ...

@main.command()
def without_help(): ...

@overload
def over(x: int) -> int: ...
'''
    names = public_names({Path("a.py"): source, Path("b/__init__.py"): "", Path("b/__main__.py"): ""})
    assert missing(names).splitlines() == [
        "a.py:7: Base.silent",
        "a.py:9: Base.width",
        "a.py:14: Base.Inner",
        "a.py:19: Below",
        "a.py:21: Below.silent",
        "a.py:26: tried",
        "a.py:35: without_help",
        "b/__init__.py:1: the module",
    ]
    assert share(names) == 4 / 12


def test_a_migration_is_said_by_its_module() -> None:
    text = '"""What it adds."""\ndef upgrade(): ...\ndef downgrade(): ...\ndef other(): ...'
    names = public_names({Path("migrations/versions/0001_a.py"): text})
    assert missing(names) == "migrations/versions/0001_a.py:4: other"
