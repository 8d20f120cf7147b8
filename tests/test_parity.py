"""The page on the original PyGrid names only what exists: operations, SDK calls, commands and tests."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import click
import pytest

import syft_ext as sy
import syft_ext.client
import syft_ext.federated
import syft_ext.nodes
import syft_ext.pointers
from apps.cli.main import cli
from syft_ext.messages import operations

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "pygrid-parity.md"

#: Section → its rows, so that none is lost: routes, families and calls of the original as we know them.
ROWS = {
    "Domain: general and set-up": 12,
    "Domain: users": 17,
    "Domain: roles and groups": 11,
    "Domain: data": 15,
    "Domain: Workers": 6,
    "Domain and Network: associations": 6,
    "Network": 10,
    "Worker app": 5,
    "Model-centric federated learning": 20,
    "Messages and services": 21,
    "Client": 21,
    "0.2.x, which later versions dropped": 16,
    "WebRTC and duet": 4,
    "Encrypted computation and privacy libraries": 6,
    "Security holes of the original": 15,
    "Deployment": 6,
}
SDK_STARTS = {"domain": "DomainClient", "network": "NetworkClient", "pointer": "RemoteTensor"}


def rows() -> list[tuple[str, list[str]]]:
    """(section, cells) of every row."""
    found, section = [], ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| ") and not line.startswith("| PyGrid |"):
            found.append((section, [cell.strip() for cell in line.strip("| ").split(" | ")]))
    return found


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_no_row_is_lost() -> None:
    counts: dict[str, int] = {}
    for section, _ in rows():
        counts[section] = counts.get(section, 0) + 1
    assert counts == ROWS


@pytest.mark.parametrize(("section", "cells"), rows(), ids=lambda value: str(value[0])[:60])
def test_a_row_says_what_does_it_and_shows_it_or_why_not(section: str, cells: list[str]) -> None:
    assert len(cells) == 3, cells
    _, here, shown = cells
    if here == "–":
        assert re.match(r"Why not: \w.{20,}", shown)
        return
    assert any(test_exists(name) for name in quoted(shown)), shown
    assert all(test_exists(name) for name in quoted(shown)), shown
    for name in quoted(here):
        assert exists(name), name


def exists(name: str) -> bool:
    """Whether what stands in backticks is there: an operation, a command, an SDK call, a route, a setting."""
    if name.startswith("grid "):
        return command_exists(name.split()[1:])
    if re.fullmatch(r"(GET|POST) /\S+", name) or name in (
        "trusted_proxies",
        "pool_selection",
        "environments",
    ):
        return True  # shown by the row's test
    if "(" not in name and re.fullmatch(r"[a-z_]+\.[a-z_]+", name) and name in operations():
        return True
    return call_exists(name)


@functools.cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_exists(name: str) -> bool:
    file, _, function = name.partition("::")
    path = ROOT / file
    return path.is_file() and function.startswith("test_") and function in functions_of(path)


test_exists.__test__ = False  # type: ignore[attr-defined]  # a helper, whatever it is called


def command_exists(words: list[str]) -> bool:
    command: click.Command | None = cli
    for word in words:
        if not isinstance(command, click.Group):
            return False
        command = command.get_command(click.Context(command), word)
    return command is not None


@functools.cache
def classes() -> dict[str, type]:
    """Every class of the SDK by its name."""
    found: dict[str, type] = {}
    for package in (syft_ext.client, syft_ext.federated, syft_ext.nodes, syft_ext.pointers):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            found.update({name: value for name, value in vars(module).items() if inspect.isclass(value)})
    return found


def call_exists(name: str) -> bool:
    """``domain.users.create()``: each step is an attribute of what the one before it gives."""
    first, *steps = re.sub(r"\(.*\)$", "", name).split(".")
    here: Any = sy if first == "sy" else classes().get(SDK_STARTS.get(first, ""))
    if here is None or not steps:
        return False
    for step in steps:
        if isinstance(here, property):
            annotation = str(inspect.signature(here.fget).return_annotation)  # type: ignore[arg-type]
            here = classes().get(annotation.partition("[")[0])
        here = getattr(here, step, None)
        if here is None:
            return False
    return True


def test_nothing_unpacks_archives() -> None:
    """The original unpacked uploaded archives, with whatever paths were in them."""
    images = ROOT / "apps" / "images"  # of the worker: packages of Debian's, held to digests, read in memory
    for path in [*(ROOT / "packages").rglob("*.py"), *(ROOT / "apps").rglob("*.py")]:
        if path.is_relative_to(images):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"tarfile", "zipfile"} & set(names), path
            assert not (isinstance(node, ast.Attribute) and node.attr in ("extractall", "unpack_archive")), (
                path
            )


def test_the_check_can_fail() -> None:
    good = (
        "users.create",
        "domain.users.create()",
        "sy.login()",
        "grid users create",
        "domain.me.keys.remove()",
    )
    bad = (
        "users.conjure",
        "domain.users.conjure()",
        "sy.conjure()",
        "grid users conjure",
        "domain.me.keys.conjure()",
        "users",
    )
    assert all(map(exists, good)) and not any(map(exists, bad))
    assert not test_exists("tests/test_parity.py::test_nothing")
    assert not test_exists("tests/nowhere.py::test_nothing")
