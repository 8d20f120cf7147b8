"""Graph networks of the package torch_geometric, on one graph: its nodes and edges are one input."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .zoo import Case, normal, output_loss, whole

__all__ = ["GRAPHS"]

_EDGES = torch.stack([whole(7, 12), (torch.arange(12) * 5 + 1) % 7])
_GRAPH = (normal(7, 4), _EDGES, whole(3, 7))
_WEIGHTED = (normal(7, 4), _EDGES, normal(12, 2), whole(3, 7))
_CLASSIFY = output_loss(F.cross_entropy)


def library() -> Any:
    return pytest.importorskip("torch_geometric.nn", reason="pip install grid-platform[test]")


class Two(nn.Module):
    """Two layers of one kind."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        layer = getattr(library(), kind)
        self.one, self.two = layer(4, 6, **options), layer(6, 3, **options)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        return self.two(F.relu(self.one(x, edges)), edges)


class Isomorphism(nn.Module):
    """GIN, and a prediction for the graph as a whole added to that of each node."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = library().GINConv(
            nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), train_eps=True
        )

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        nodes = self.layer(x, edges)
        graph = library().global_mean_pool(nodes, torch.zeros(7, dtype=torch.long), size=1)
        return nodes + graph


class Messages(nn.Module):
    """An MPNN: NNConv by edge features, a GRU cell (Gilmer et al., 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = library().NNConv(4, 4, nn.Linear(2, 16), aggr="mean")
        self.cell, self.head = nn.GRUCell(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor, edges: Tensor, features: Tensor) -> Tensor:
        for _ in range(2):
            x = self.cell(F.relu(self.layer(x, edges, features)), x)
        return self.head(x)


_LOOPS = "`add_self_loops=False`, with the loops among the edges"

GRAPHS = {
    "GCN": Case(lambda: Two("GCNConv", add_self_loops=False), _GRAPH, _CLASSIFY, fixed=True, note=_LOOPS),
    "GAT": Case(lambda: Two("GATConv", add_self_loops=False), _GRAPH, _CLASSIFY, fixed=True, note=_LOOPS),
    "GCN that adds loops itself": Case(
        lambda: Two("GCNConv"), _GRAPH, _CLASSIFY, fixed=True, refused="add_self_loops=False"
    ),
    "GraphSAGE": Case(lambda: Two("SAGEConv"), _GRAPH, _CLASSIFY, fixed=True),
    "GIN": Case(Isomorphism, _GRAPH, _CLASSIFY, fixed=True),
    "MPNN (NNConv and GRU)": Case(Messages, _WEIGHTED, _CLASSIFY, fixed=True),
}
