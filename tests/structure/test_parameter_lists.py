"""No two functions list the same parameters: what is said together again and again is declared once.

See :mod:`syft_ext.messages.vocabulary` for search, publication, mocks and requests.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("packages/syft_ext", "apps")
MANY = 6

Function = tuple[str, str]
"""File and name, with the classes around it."""

#: Functions that may have many parameters in common with one another, and why.
ALLOWED: list[tuple[str, set[Function]]] = [
    (
        "the formulas of two optimisers, as they are printed",
        {
            ("packages/syft_ext/plans/tracing/optim.py", "adam"),
            ("packages/syft_ext/plans/tracing/optim.py", "adamw"),
        },
    ),
    (
        "torch calls each of them by its own operator's parameters",
        {
            ("packages/syft_ext/plans/tracing/decompositions/__init__.py", name)
            for name in (
                "_batch_norm",
                "_batch_norm_eval",
                "_batch_norm_functional",
                "_batch_norm_no_training",
            )
        }
        | {
            ("packages/syft_ext/plans/tracing/decompositions/places.py", name)
            for name in ("_embedding_bag", "_embedding_bag_backward", "_embedding_bag_dense_backward")
        }
        | {("packages/syft_ext/plans/tracing/decompositions/places.py", "_per_sample_weights_backward")}
        | {
            ("packages/syft_ext/plans/tracing/decompositions/pools.py", name)
            for name in ("_avg_pool3d", "_avg_pool_backward.backward", "_max_pool3d")
        }
        | {("packages/syft_ext/plans/preconditions/demands.py", "found_in_plane")}
        | {
            ("packages/syft_ext/mpc/convolving.py", name)
            for name in ("average_pool", "convolution", "convolution_backward", "greatest_pool")
        }
        | {("packages/syft_ext/plans/preconditions/forms.py", name) for name in ("max_pool", "batch_norm")}
        | {
            (f"packages/syft_ext/plans/onnx/{file}.py", name)
            for file, names in {
                "norms": ("_batch_norm", "_batch_norm_backward", "_nll_loss", "_nll_loss_backward"),
                "pools": ("_Windows.__init__", "_max_pool", "_avg_pool"),
                "products": ("_Geometry.of", "_convolution", "_convolution_backward"),
                "shapes": ("_slice", "_slice_scatter"),
            }.items()
            for name in names
        }
        | {
            ("packages/syft_ext/plans/preconditions/forms.py", name)
            for name in (
                "avg_pool",
                "batch_norm_backward",
                "convolution",
                "nll_loss_backward",
                "slice_scatter",
            )
        },
    ),
    (
        "the decorator is the function with its options given beforehand",
        {
            ("packages/syft_ext/plans/tracing/decorator.py", "make_plan"),
            ("packages/syft_ext/plans/tracing/decorator.py", "trace"),
        },
    ),
    (
        "one step of a check, and its recursion",
        {
            ("packages/syft_ext/plans/checking/validate.py", "_check_argument"),
            ("packages/syft_ext/plans/checking/validate.py", "_fits"),
        },
    ),
    (
        "one analysis: as it is called, as it is priced, as it is read, and as it is typed",
        {
            ("packages/syft_ext/statistics/analyze.py", "analyze"),
            ("packages/syft_ext/statistics/price.py", "price"),
            ("packages/syft_ext/statistics/analysis_spec.py", "spec_of"),
            ("apps/cli/commands/statistics.py", "analyze"),
        },
    ),
    (
        "an interface and what implements it",
        {
            ("packages/syft_ext/store/interface.py", "ObjectStore.search"),
            ("packages/syft_ext/store/memory.py", "MemoryStore.search"),
        },
    ),
    (
        "roles and groups are changed alike, by different messages",
        {
            ("apps/cli/commands/accounts/roles.py", "update_role"),
            ("apps/cli/commands/accounts/groups.py", "update_group"),
        },
    ),
]


def parameter_lists(root: Path) -> dict[Function, set[str]]:
    """Function → the names of its parameters. An overload is the function itself, and counts once."""
    found: dict[Function, set[str]] = {}
    for source in SOURCES:
        for path in sorted((root / source).rglob("*.py")):
            for name, node in _functions(ast.parse(path.read_text()), ""):
                names = {
                    each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                }
                key = (str(path.relative_to(root)), name)
                found[key] = found.get(key, set()) | names - {"self", "cls"}
    return found


def _functions(node: ast.AST, within: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield within + child.name, child
        inner = (
            f"{within}{child.name}."
            if hasattr(child, "name") and not isinstance(child, ast.alias)
            else within
        )
        yield from _functions(child, inner)


def parallel(root: Path) -> dict[tuple[Function, Function], list[str]]:
    """Pairs of functions that list the same :data:`MANY` or more parameters."""
    lists = [(key, names) for key, names in parameter_lists(root).items() if len(names) >= MANY]
    return {
        (one, other): sorted(mine & theirs)
        for (one, mine), (other, theirs) in combinations(lists, 2)
        if len(mine & theirs) >= MANY
    }


def test_no_two_functions_list_the_same_parameters() -> None:
    found = {
        pair: names
        for pair, names in parallel(ROOT).items()
        if not any(set(pair) <= functions for _, functions in ALLOWED)
    }
    assert found == {}, "declare them once, in syft_ext.messages.vocabulary or beside it"


def test_what_is_allowed_is_still_needed() -> None:
    needed = {function for pair in parallel(ROOT) for function in pair}
    assert {function for _, functions in ALLOWED for function in functions} - needed == set()


# -- the check can fail --------------------------------------------------------------------------------

_SIX = "a, b, c, d, e, f"


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (f"def one({_SIX}): ...", f"def two({_SIX}): ...", 6),
        (f"def one({_SIX}): ...", f"def one(*, {_SIX}, g=1): ...", 6),
        (f"class A:\n    def one(self, {_SIX}): ...", "async def two(f, e, d, /, c, *, b, a): ...", 6),
        (f"def outer():\n    def one({_SIX}): ...", f"def two({_SIX}): ...", 6),
        (f"def one({_SIX}): ...", "def two(a, b, c, d, e): ...", 0),
        (
            "class A:\n    def one(self, a, b, c, d, e): ...",
            "class B:\n    def one(self, a, b, c, d, e): ...",
            0,
        ),
    ],
)
def test_parallel_lists_are_found(tmp_path: Path, one: str, other: str, common: int) -> None:
    for name, text in (("packages/syft_ext/one.py", one), ("apps/cli/two.py", other)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [len(names) for names in parallel(tmp_path).values()] == ([common] if common else [])
