"""Every operation of the op set, in-place operations and views: what runs there is what torch does here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.utils._pytree as pytree

import syft_ext as sy
from syft_ext.plans.graph.ops import ALLOWED
from tests.pointers.samples import TENSORS, calls
from tests.pointers.site import Site, seeded

FACTORIES = {"arange.default", "arange.start_step", "full.default", "ones.default", "zeros.default"}


def same(remote: Any, local: Any) -> None:
    """Equal in values, type, shape and strides, everything fetched in one answer."""
    ours, theirs = pytree.tree_leaves(remote), pytree.tree_leaves(local)
    pairs = [(r, x) for r, x in zip(ours, theirs, strict=True) if x is not None]
    for pointer, expected in pairs:
        assert isinstance(pointer, sy.RemoteTensor)
        assert (pointer.dtype, pointer.shape) == (expected.dtype, expected.shape)
        assert pointer.stride() == expected.stride()
    values = sy.RemoteList([pointer for pointer, _ in pairs]).get_copy()
    for value, (_, expected) in zip(values, pairs, strict=True):
        torch.testing.assert_close(value, expected.detach(), rtol=0, atol=0, equal_nan=True)


def test_every_operation_of_the_op_set(north: Site) -> None:
    local = calls(TENSORS)
    reachable = set(ALLOWED) - {f"aten.{name}" for name in FACTORIES} - {"aten.scalar_tensor.default"}
    assert set(local) == reachable, "a sample for each operation, and no other"
    remote = calls({name: tensor.send(north.sue) for name, tensor in TENSORS.items()})
    same([remote[name] for name in local], list(local.values()))


FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "operators": lambda x: (x + 1) * 2 - x / 3 + (x > 0) * x - (-x) ** 2 + 5 % (x.abs() + 1),
    "properties": lambda x: (x.T, x.mT, x.data, x.detach()),
    "reductions": lambda x: (x.mean(1), x.std(), x.var(0), x.norm(), x.max(1), x.quantile(0.3, dim=0)),
    "shapes": lambda x: (x.view(-1), x.reshape(4, 3), x.flatten(), x[None], x.chunk(2, 1), x.unbind(0)),
    "indices": lambda x: (x[0], x[:, 1:3], x[..., -1], x[torch.tensor([2, 0])], x[[0, 1], [1, 2]]),
    "joins": lambda x: (torch.cat([x, x]), torch.stack([x, x], 2), torch.einsum("ij,kj->ik", x, x)),
    "masks": lambda x: (torch.where(x > 0, x, 0.0), x.masked_fill(x < 0, 1.0), x.clamp(-0.5, 0.5)),
    "losses": lambda x: (
        F.cross_entropy(x, torch.tensor([0, 1, 2])),
        F.mse_loss(x, x * 2),
        F.binary_cross_entropy_with_logits(x, (x > 0).float()),
        F.smooth_l1_loss(x, x + 2),
    ),
    "types": lambda x: (x.double(), x.to(torch.int64), x.bool(), x.half().float()),
    "linear algebra": lambda x: (x @ x.T, torch.outer(x[0], x[1]), x.trace(), torch.linalg.vector_norm(x, 1)),
    "new tensors": lambda x: (x.new_zeros(2), torch.ones_like(x), x.new_full((2,), 3.0), torch.zeros_like(x)),
    "ranks": lambda x: (x.sort(1), x.topk(2), x.argsort(1), x.cumsum(1), x.flip(0), x.roll(1, 0)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_as_users_write_them(north: Site, name: str) -> None:
    x = seeded(3, 4)
    close = name in ("reductions", "linear algebra", "losses")
    remote, local = FUNCTIONS[name](x.send(north.sue)), FUNCTIONS[name](x)
    if not close:
        return same(remote, local)
    values = [pointer.get() for pointer in pytree.tree_leaves(remote)]
    torch.testing.assert_close(values, pytree.tree_leaves(local), rtol=1e-6, atol=1e-6)
    return None


def _views(x: torch.Tensor) -> Iterator[torch.Tensor]:
    """In-place operations, on tensors and through every kind of view of them."""
    x.add_(1).mul_(2)
    x[0] = 5.0
    x[1:, ::2] -= 1
    row, flat, transposed = x[1], x.view(-1), x.t()
    row.zero_()
    flat[5] = 7.0
    transposed[2].add_(3)
    x.unsqueeze(0).squeeze(0).permute(1, 0)[0] *= -1
    x[torch.tensor([0, 2])] = 9.0
    x[x > 8] = 4.0
    x.detach().sub_(0.5)
    torch.add(x, 1, out=x)
    copied = x.clone()
    copied.copy_(x[0])
    x.clamp_(max=6)
    folded = x.clone().unsqueeze_(1).transpose_(0, 2)
    folded[0] = -1.0
    yield from (x, row, flat, transposed, copied, folded)


def test_writing_in_place_reaches_everything_that_shares_the_memory(north: Site) -> None:
    x = seeded(3, 4)
    same(list(_views(x.send(north.sue))), list(_views(x.clone())))


def test_in_place_operations_have_gradients(north: Site) -> None:
    def gradient(w: torch.Tensor) -> torch.Tensor:
        y = w * 2
        y[0].mul_(3)
        y.view(-1)[5:7] = 1.0
        y += w
        (y**2).sum().backward()
        assert w.grad is not None
        return w.grad

    w = seeded(3, 4)
    same(gradient(w.send(north.sue).requires_grad_()), gradient(w.clone().requires_grad_()))


def test_chance_is_drawn_there_and_follows_the_seed_here(north: Site) -> None:
    x = torch.ones(4000).send(north.sue)

    def draw() -> list[torch.Tensor]:
        torch.manual_seed(5)
        drawn = [F.dropout(x, 0.25), torch.rand_like(x), torch.randn_like(x), x.clone().uniform_(2, 3)]
        values: list[torch.Tensor] = sy.RemoteList(drawn).get()
        return values

    first, again = draw(), draw()
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    dropped, uniform, normal, between = first
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 4 / 3]))
    assert abs(float((dropped == 0).float().mean()) - 0.25) < 0.03
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(float(uniform.mean()) - 0.5) < 0.03
    assert abs(float(normal.std()) - 1) < 0.05 and abs(float(normal.mean())) < 0.06
    assert between.min() >= 2 and between.max() < 3


def test_local_operands_go_along_as_they_are_when_they_are_used(north: Site) -> None:
    x, here = seeded(3), torch.ones(3)
    total = x.send(north.sue) + here
    here.zero_()
    assert torch.equal(total.get(), x + 1)
