"""The table of routes: filled by whatever makes the first pointer of a process, and by nothing twice."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from syft_ext.pointers import operations as operations
from syft_ext.pointers.inplace import in_place
from syft_ext.pointers.record import refuse
from syft_ext.pointers.routes import FUNCTIONS, Order, _route, add_choice, add_functions, add_routes
from syft_ext.pointers.rules import RULES
from syft_ext.pointers.views import VIEWS, view

aten = torch.ops.aten


def run(code: str) -> str:
    """What a process of its own prints: here, other tests have filled the table."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["sending", "stored"])
def test_whatever_makes_pointers_fills_the_table(module: str) -> None:
    code = f"""
import syft_ext.pointers.{module}
from syft_ext.pointers import routes
import torch
print(routes._route(torch.ops.aten.add.Tensor).__name__, torch.equal in routes.FUNCTIONS)
"""
    assert run(code) == "_direct True"


def test_without_the_operations_nothing_is_computed() -> None:
    code = """
from syft_ext.pointers.routes import dispatch
import torch
try:
    dispatch(torch.ops.aten.add.Tensor, [], {})
except RuntimeError as error:
    print(error)
"""
    assert run(code) == "import syft_ext.pointers.operations before computing with remote tensors"


@pytest.mark.parametrize(
    ("func", "name"),
    [
        (aten.detach.default, "_alias"),  # a route of its own, before anything else
        (aten.index.Tensor, "_index"),  # although the op set holds it
        (aten.expand.default, "view"),  # although the op set holds it
        (aten.add.Tensor, "_direct"),
        (aten.matmul.default, "_rewrite"),  # although torch can take it apart
        (aten.add_.Tensor, "_rewrite"),  # although it writes to its operand
        (aten.matmul.out, "in_place"),
        (aten.unsqueeze_.default, "reshape_in_place"),
        (torch.ops.prims.convert_element_type.default, "_prim"),
        (aten.adjoint.default, "_compose"),
        (aten.nonzero.default, "refuse"),
    ],
)
def test_the_kinds_are_tried_in_order(func: Any, name: str) -> None:
    assert _route(func).__name__ == name


def test_rules_and_views_have_routes_of_their_own() -> None:
    assert all(_route(func) is route for func, route in RULES.items())
    assert all(_route(func) is view for func in VIEWS)
    assert not RULES.keys() & VIEWS.keys()


def test_nothing_gets_a_second_route() -> None:
    with pytest.raises(ValueError, match=r"aten\.detach\.default has a route already"):
        add_routes({aten.matmul.default: refuse, aten.detach.default: refuse})
    assert _route(aten.matmul.default) is not refuse
    with pytest.raises(ValueError, match="has a route already"):
        add_choice(Order.IN_PLACE, lambda func: in_place)
    with pytest.raises(ValueError, match="has a route already"):
        add_functions({torch.equal: torch.equal})
    assert FUNCTIONS[torch.equal] is not torch.equal


def test_sending_is_installed_where_torch_came_after_the_sdk() -> None:
    code = """
import syft_ext as sy
import torch
before = hasattr(torch.Tensor, "send")
sy.RemoteTensor
print(before, hasattr(torch.Tensor, "send"), hasattr(torch.nn.Module, "get"))
"""
    assert run(code) == "True True True", "at the import of torch itself"


def test_loading_a_stored_object_installs_sending() -> None:
    code = """
import syft_ext, sys
assert "torch" not in sys.modules
import syft_ext.pointers.stored
import torch
print(hasattr(torch.Tensor, "send"))
"""
    assert run(code) == "True"
