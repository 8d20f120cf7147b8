"""What cannot be done says so, and names the line of the user's code that asked for it."""

from __future__ import annotations

import linecache
import pickle
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from syft_ext.errors import (
    BadRequest,
    Forbidden,
    GridError,
    OperationFailed,
    SessionLost,
    TooLarge,
    Unsupported,
)
from tests.pointers.site import Site, seeded

NEEDS_VALUE: dict[str, Callable[[torch.Tensor], Any]] = {
    "if": lambda x: 1 if x.sum() > 0 else 0,
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "numpy": lambda x: x.numpy(),
    "array": lambda x: numpy.asarray(x),
    "list": lambda x: x.tolist(),
    "in": lambda x: 3 in x,
    "equal": lambda x: torch.equal(x, x),
    "allclose": lambda x: torch.allclose(x, x),
}


@pytest.mark.parametrize("name", NEEDS_VALUE)
def test_what_needs_a_value_says_to_get_it(north: Site, name: str) -> None:
    x = seeded(4).send(north.sue)
    with pytest.raises(Unsupported, match=r"is at north\n  Instead: x.get\(\)") as raised:
        NEEDS_VALUE[name](x)
    source = linecache.getline(raised.value.extra["file"], raised.value.extra["line"])
    assert raised.value.extra["file"] == __file__ and f'"{name}": lambda' in source


REFUSED: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "mask": (lambda x: x[x > 0], "torch.where"),
    "nonzero": (lambda x: x.nonzero(), "torch.where"),
    "unique": (lambda x: torch.unique(x), "one_hot"),
    "decomposition": (lambda x: torch.linalg.svd(x.view(2, 2)), "matrix products"),
    "complex": (lambda x: x.to(torch.complex64), "complex64"),
    "expanded": (lambda x: x.expand(2, 4).add_(1), "cannot be changed in place"),
    "here": (lambda x: torch.ones(4).add_(x), "send it first"),
    "pickle": (lambda x: pickle.dumps(x), "cannot be pickled"),
    "gradient here": (lambda x: nn.Linear(4, 1)(x), r"model.send\(data.location\)"),
    "large": (lambda x: x.sum() + torch.zeros(5 << 20), "send it there once"),
    "again": (lambda x: x.send(x.location), "already"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_there_names_an_alternative(north: Site, name: str) -> None:
    run, message = REFUSED[name]
    with pytest.raises(GridError, match=message):
        run(seeded(4).send(north.sue))


def test_operands_that_do_not_fit_are_refused_at_once(north: Site) -> None:
    with pytest.raises(RuntimeError, match="broadcast"):
        seeded(4).send(north.sue) + seeded(3)


def test_the_form_is_shown_and_values_are_not(north: Site) -> None:
    x = torch.tensor([123.456, 1.0]).send(north.sue)
    for shown in (repr(x), str(x), f"{x}", x._repr_html_()):
        assert "f32[2]" in shown and "north" in shown and "123" not in shown


def test_a_fetched_pointer_is_used_up(north: Site) -> None:
    x = seeded(2).send(north.sue)
    assert torch.equal(x.get_copy(), x.get())
    with pytest.raises(GridError, match="get_copy"):
        x + 1


def test_a_refused_action_surfaces_with_the_line_that_recorded_it(north: Site) -> None:
    secret = north.owner.store.put(seeded(3), finders=["*"])
    allowed = north.share(seeded(3), read=True)
    x = north.sue.pointer(allowed.id)
    north.sue.location.barrier()
    allowed.update(programmers=[], readers=[])
    with pytest.raises(Forbidden):
        north.sue.store.describe(secret.id).pointer()  # found, and not computed on

    refused = x * 2
    fine = seeded(3).send(north.sue) + 1
    with pytest.raises(Forbidden, match=r"test_errors.py, line \d+ \(refused = x \* 2\)") as raised:
        fine.get_copy()
    assert raised.value.extra["file"] == __file__
    assert fine.get_copy().shape == (3,), "told once; the rest went on"
    with pytest.raises(Forbidden):
        refused.get()


def test_failing_values_are_told_to_whoever_may_read_them(north: Site) -> None:
    table = north.lend(torch.zeros(3), read=True)
    index = torch.tensor([7]).send(north.sue)
    picked = table[index]  # the row does not exist
    with pytest.raises(OperationFailed, match="index"):
        picked.get()
    hidden = north.lend(torch.zeros(3))[index]
    with pytest.raises(Forbidden):
        hidden.get()


def test_a_lost_session_says_what_to_do_and_the_next_one_works(south: Site) -> None:
    x = seeded(2).send(south.sue)
    x.get_copy()
    south.sue.compute.close()
    with pytest.raises(SessionLost, match="send and load the data again"):
        (x + 1).get()
    with pytest.raises(SessionLost):
        x + 2
    assert torch.equal(seeded(2).send(south.sue).get(), seeded(2))


def test_what_is_no_number_is_refused(north: Site) -> None:
    import syft_ext as sy

    for value in ("text", object(), {"a": ["b"]}):
        with pytest.raises(BadRequest):
            sy.send(value, north.sue)
    with pytest.raises(BadRequest, match="send to a Domain"):
        seeded(2).send("north")
    with pytest.raises(TooLarge):
        seeded(2).send(north.sue) + torch.zeros(2, 3 << 20)
