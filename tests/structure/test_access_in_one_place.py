"""Who may find, aggregate, compute on and read is decided in `grid.access`: no other room writes that again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: What the decision rests on: tables, by the names of their classes and by those that SQL knows.
TABLES = {
    "Grant": "grants",
    "ObjectSource": "object_source",
    "ObjectPermission": "object_permission",
    "PERMISSIONS": "object_permission",
    "DatasetViewer": "dataset_viewer",
}
#: The modules that these are imported from. (A search source has the name of a table.)
_DECLARED = ("grid.access", "grid.storage.objects", "grid.catalogue.tables", "grid.schema")
#: What stands in a condition only where access is decided. (There are many columns called "scope" or "expires_at";
#: their tables may not be named either.)
COMPARED = {"revoked_at", "uses_left", "visibility", "read_permissions", "search_permissions"}
#: Columns that may be compared with one value, as a key is, and not looked for among several, as on a list.
LOOKED_FOR = COMPARED | {"verify_key"}
#: The room that decides, and those whose business tables are.
ROOMS = ("packages/grid/access/", "packages/grid/schema/")

#: Files that may name a table or compare a column, each with the reason.
ALLOWED = {
    "packages/grid/storage/objects/rows.py": "writes and reads an object's own lists, as part of its description",
    "packages/grid/storage/objects/store.py": "the SDK's object store: adds and removes places on lists",
    "packages/grid/catalogue/visibility.py": "tells grid.access.datasets which columns a dataset has",
    "packages/grid/catalogue/datasets.py": "writes whom a dataset names",
    "packages/grid/catalogue/dataset_views.py": "shows its owner whom a dataset names",
    "apps/cli/commands/requests.py": "prints how many uses a grant has left",
}


def _found_in(source: str) -> Iterator[str]:
    """Each "line: what" that names a table of access, or puts one of its columns into a condition."""
    tree = ast.parse(source)
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.startswith(_DECLARED):
                for name in names:
                    if name.name in TABLES:
                        yield f"{node.lineno}: imports {name.name}"
            case ast.Attribute(attr=name) if name in TABLES:
                yield f"{node.lineno}: names {name}"
            case ast.Constant(value=str(text)) if id(node) not in documents:
                words = set(text.replace('"', " ").replace("(", " ").split())
                if {"select", "update", "delete", "insert", "from", "join"} & {
                    word.lower() for word in words
                }:
                    for table in sorted(words & set(TABLES.values())):
                        yield f"{node.lineno}: SQL on {table}"
            case ast.Compare(left=left, comparators=others):
                yield from _operands(node.lineno, left, *others)
            case ast.BinOp(left=left, right=right):
                yield from _operands(node.lineno, left, right)
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=name), attr=method)) if (
                name in LOOKED_FOR and method in _LOOKS
            ):
                yield f"{node.lineno}: asks {name}.{method}"
            case _:
                pass


_LOOKS = {"in_", "not_in", "is_", "is_not", "like", "contains", "isdisjoint", "intersection", "issuperset"}


def _operands(line: int, *sides: ast.expr) -> Iterator[str]:
    for side in sides:
        if isinstance(side, ast.Attribute) and side.attr in COMPARED:
            yield f"{line}: compares {side.attr}"


def _elsewhere() -> Iterator[tuple[str, Path]]:
    for folder in ("packages/grid", "apps"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(ROOMS):
                yield name, path


def test_no_other_room_decides() -> None:
    wrong = [
        f"{name}:{line}"
        for name, path in _elsewhere()
        if name not in ALLOWED
        for line in _found_in(path.read_text())
    ]
    assert not wrong, "ask grid.access instead:\n" + "\n".join(wrong)


def test_every_exception_is_needed() -> None:
    idle = [name for name in ALLOWED if not any(_found_in((ROOT / name).read_text()))]
    assert not idle, f"these need no exception any more: {idle}"


COPIES = {
    "a list": """
from grid.storage.objects.tables import ObjectPermission, ObjectRow
def listed(viewer):
    return exists().where(ObjectPermission.object_id == ObjectRow.id, ObjectPermission.scope == "read")
""",
    "a list, by its module": """
from grid.storage.objects import tables as t
def listed(viewer):
    return exists().where(t.ObjectPermission.scope.in_(("compute", "read")))
""",
    "a list, by its table": "from grid.storage.objects.rows import PERMISSIONS as p\n",
    "a spent grant": """
def covered(grant, now):
    return grant.revoked_at is None and (grant.expires_at is None or grant.expires_at > now)
""",
    "a grant, as SQL": 'found = text("SELECT object_id FROM grants WHERE uses_left > 0")\n',
    "a grant that is left": "good = [each for each in rows if 0 != each.uses_left]\n",
    "a subject": "mine = rows.c.verify_key.in_(subjects)\n",
    "who reads": "may = viewer.subjects & info.read_permissions\n",
    "who finds": "may = not info.search_permissions.isdisjoint(viewer.subjects)\n",
    "a dataset": 'shown = DatasetRow.visibility.in_(("public", "users"))\n',
    "one dataset": 'shown = row.visibility != "private"\n',
    "sources": "def behind():\n    from grid.access.tables import ObjectSource\n    return ObjectSource\n",
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_a_copy_of_the_rule_is_found(copy: str) -> None:
    assert list(_found_in(copy))


def test_what_is_asked_of_the_room_is_fine() -> None:
    asked = '''
"""Select what is from grants."""
from grid.access.decision import allowed
def may(session, viewer, row, now):
    """Of grants: select one."""
    view = View(uses_left=row.uses_left, visibility=row.visibility)
    return allowed(session, viewer, "read", [row.id], now=now), view
'''
    assert list(_found_in(asked)) == []
