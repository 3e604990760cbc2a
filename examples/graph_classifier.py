"""Do the sides of the nodes follow the edges? Graphs classified by spins that pull on each other.

Run it with `python examples/graph_classifier.py [STEPS SEEDS]`; the graphs are drawn by the script.

Each graph has two groups of nodes with few edges between them, and each node a number: its side, +1
or -1, and noise. In class 1 the sides are the groups, in class 0 the same sides are dealt out at
random, so neither the numbers alone nor the edges alone tell the class. The spins of a graph have
one energy: neighbours pull on each other, and the number of a node pulls on its own spin.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv, global_mean_pool
from torch_geometric.utils import to_dense_batch, to_undirected

import attenergy
from attenergy.attention.graphs import EnergyConv

WIDTH = 32


def draw(count: int, seed: int, noise: float = 0.7) -> list[Data]:
    """So many graphs of 12 to 20 nodes; the class is `y`."""
    torch.manual_seed(seed)
    graphs = []
    for label in torch.randint(2, (count,)).tolist():
        n = 2 * int(torch.randint(6, 11, ()))
        group = torch.arange(n) % 2
        there = torch.rand(n, n) < torch.where(group[:, None] == group, 0.5, 0.05)
        edges = to_undirected(there.triu(1).nonzero().T, num_nodes=n)
        side = group if label else group[torch.randperm(n)]
        x = 2.0 * side[:, None] - 1 + noise * torch.randn(n, 1)
        graphs.append(Data(x=x, edge_index=edges, y=torch.tensor([label])))
    return graphs


class Spins(nn.Module):
    """Nodes (n, E) to nodes: the spins of each graph relax together, three steps."""

    def __init__(self, energy: str) -> None:
        super().__init__()
        self.relax = attenergy.EnergyAttention(WIDTH, 4, energy, steps=3)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """`batch` says whose graph a node is of, as in PyTorch Geometric."""
        self.relax.use_graph(edge_index, batch=batch)
        nodes, there = to_dense_batch(x, batch)  # (B, L, E), and (B, L) where a node is
        own = torch.eye(nodes.shape[1], dtype=torch.bool) & there[:, None]
        moved: Tensor = self.relax(nodes, mask=own[:, None])[there]  # a spin sees its own node
        return moved


MODELS = {
    "no edges": nn.Identity,
    "GCN": lambda: GCNConv(WIDTH, WIDTH),
    "lse": lambda: EnergyConv(WIDTH, WIDTH, heads=4, energy="lse", steps=2),
    "Gaussian spins": lambda: Spins("gaussian_spins"),
    "vector spins": lambda: Spins("vector_spins"),
}


class Classifier(nn.Module):
    """A batch of graphs to logits (B, 2): two layers between nodes, then the mean over nodes."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(1, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.layers = nn.ModuleList(MODELS[name]() for _ in range(2))
        self.lift, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, graphs: Batch) -> Tensor:
        """The class of every graph."""
        x = self.embed(graphs.x)
        for layer in self.layers:
            given = {Spins: (graphs.edge_index, graphs.batch), nn.Identity: ()}
            x = x + gelu(layer(x, *given.get(type(layer), (graphs.edge_index,))))
        logits: Tensor = self.out(global_mean_pool(gelu(self.lift(x)), graphs.batch))
        return logits


def main(steps: int = 300, seeds: int = 2) -> dict[str, list[float]]:
    """Return the accuracy of every model on graphs that were never seen, one number per seed."""
    train, test = draw(1024, seed=0), Batch.from_data_list(draw(512, seed=1))
    print("chance          0.500")
    scores: dict[str, list[float]] = {name: [] for name in MODELS}
    for name in MODELS:
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = Classifier(name)
            optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
            for _ in range(steps):
                some = Batch.from_data_list([train[i] for i in torch.randint(len(train), (32,))])
                loss = cross_entropy(model(some), some.y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                right = model.eval()(test).argmax(-1) == test.y
            scores[name].append(right.float().mean().item())
        print(f"{name:15}", *(f"{score:.3f}" for score in scores[name]), flush=True)
    return scores


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
