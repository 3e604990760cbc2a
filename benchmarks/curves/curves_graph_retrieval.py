"""Does a graph over the states help them to find their memory, and when does it smooth too much?

The nodes of a stochastic block model belong to blocks, each block to one stored pattern. A node
starts at its block's pattern plus Gaussian noise, and all nodes relax together on
`graph_hopfield`, whose Laplacian term has strength `coupling`. Counted are the nodes whose state
ends nearest to their own block's pattern.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from curves import Data, mean_and_error, run

from attenergy.attention import relax
from attenergy.energies import adjacency, make_energy
from attenergy.registry import Registry

COUPLINGS = (0.001, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 3.0, 10.0)


def retrieved(
    coupling: float,
    seed: int,
    nodes: int,
    *,
    blocks: int = 4,
    dim: int = 16,
    noise: float = 0.8,
    beta: float = 8.0,
    registry: Registry | None = None,
) -> float:
    """Share of the nodes that find their own pattern; patterns have length 1."""
    normal = partial(
        torch.randn, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    X = torch.nn.functional.normalize(normal((blocks, dim)), dim=-1)
    graph = adjacency("stochastic_block", nodes, seed, degree=8, blocks=blocks, mixing=0.1)
    own = torch.arange(nodes) * blocks // nodes
    start = X[own] + noise * normal((nodes, dim))
    energy = make_energy(
        "graph_hopfield", dim=dim, registry=registry, beta=beta, coupling=coupling
    ).double()
    energy.use_graph(graph)  # type: ignore[operator]
    with torch.no_grad():
        state = relax(energy, start, X, steps=100, step_size=1.0).state
    nearest = torch.cdist(state, X).argmin(-1)
    return float((nearest == own).double().mean())


def curve(
    nodes: int = 120, draws: int = 20, noise: float = 0.8, registry: Registry | None = None
) -> Data:
    """Share of nodes that find their pattern, mean and standard error, for every coupling."""
    rows = []
    for coupling in COUPLINGS:
        shares = [
            retrieved(coupling, seed, nodes, noise=noise, registry=registry)
            for seed in range(draws)
        ]
        mean, error = mean_and_error(torch.tensor(shares))
        rows.append({"coupling": coupling, "retrieved": mean, "standard_error": error})
    return {"nodes": nodes, "blocks": 4, "noise": noise, "draws": draws, "rows": rows}


def measure(quick: bool) -> Data:
    """The curve; quick: few nodes and draws."""
    return curve(40, 4) if quick else curve()


def draw(axes: Any, data: Data) -> None:
    columns = [[r[n] for r in data["rows"]] for n in ("coupling", "retrieved", "standard_error")]
    axes[0].errorbar(*columns, fmt="o-", capsize=2)
    axes[0].axhline(1 / data["blocks"], color="grey", linestyle=":", label="chance")
    axes[0].set(
        xscale="log",
        xlabel="strength of the graph's coupling",
        ylabel="nodes that find their pattern",
        title=f"{data['blocks']} blocks of {data['nodes'] // data['blocks']} nodes",
    )
    axes[0].legend()


if __name__ == "__main__":
    run("graph_retrieval", __doc__, measure, draw)
