from __future__ import annotations

import itertools

import networkx as nx
import pytest
import torch

from attenergy.tasks import IGNORE, Estimate, GroundState
from attenergy.tasks.graphs.ground_state import GRAPHS, lowest


def energy(couplings: list[list[float]], spins: tuple[int, ...]) -> float:
    """-sum J_ij s_i s_j over pairs, in plain loops."""
    n = len(spins)
    return -sum(
        couplings[i][j] * spins[i] * spins[j] for i, j in itertools.combinations(range(n), 2)
    )


@pytest.mark.parametrize(
    ("graph", "nodes"),
    [("chain", 5), ("ring", 6), ("lattice", 9), ("regular", 8), ("complete", 7)],
)
def test_no_state_has_lower_energy(graph: str, nodes: int) -> None:
    task = GroundState(nodes=nodes, graph=graph)
    batch = task.batch("test", 0, 40)
    for index in (0, 17, 39):
        features, targets = batch.inputs[index], batch.targets[index]
        couplings = features[:, :nodes].tolist()
        pinned = int((targets == IGNORE).nonzero())
        side = features[pinned, -1].item()
        assert torch.equal(features[:, nodes:-1], torch.eye(nodes))
        assert features[:, -1].abs().sum().item() == 1
        free = [(-1, 1)] * nodes
        free[pinned] = (side,)
        best = min(itertools.product(*free), key=lambda spins: energy(couplings, spins))
        answer = [1 if spin == 1 else 0 for spin in best]
        answer[pinned] = IGNORE
        assert targets.tolist() == answer
        joined = batch.mask[index] & ~torch.eye(nodes, dtype=torch.bool)
        assert torch.equal(joined, features[:, :nodes] != 0)


def test_along_a_chain_the_signs_multiply() -> None:
    couplings = torch.randn(200, 9, dtype=torch.float64)
    pairs = torch.stack([torch.arange(9), torch.arange(1, 10)])
    spins = lowest(couplings, pairs, 10)
    expected = torch.cat([torch.ones(200, 1), couplings.sign().cumprod(-1)], -1)
    assert torch.equal(spins * spins[:, :1], expected.long())


@pytest.mark.parametrize(("graph", "degree"), [("lattice", 4), ("regular", 3), ("complete", 11)])
def test_graphs(graph: str, degree: int) -> None:
    made = GRAPHS[graph](12, 5)
    assert nx.is_connected(made)
    assert sorted(made.nodes) == list(range(12))
    assert {d for _, d in made.degree} == {degree}


def test_spins_pins_and_couplings_are_fair(looks_uniform) -> None:
    task = GroundState(nodes=9)
    fields, batch = task.instances("train", 0, 4000), task.batch("train", 0, 4000)
    assert looks_uniform(fields["pinned"], 9)
    assert looks_uniform(batch.targets[batch.targets != IGNORE], 2)
    assert looks_uniform((fields["spins"].gather(1, fields["pinned"][:, None])[:, 0] + 1) // 2, 2)
    assert fields["couplings"].mean().item() == pytest.approx(0, abs=0.02)
    assert fields["couplings"].std().item() == pytest.approx(1, abs=0.02)
    assert task.ceiling("test") == Estimate(1.0, 0.0, 0)
    solved = torch.nn.functional.one_hot(batch.targets.clamp(min=0), 2).double()
    solved[0, int(batch.targets[0].argmax())] = 0.5
    solved[1] = 1 - solved[1]
    metrics = task.metrics(solved, batch.targets)
    assert metrics["solved"][0] == metrics["solved"][1] == 0
    assert metrics["accuracy"][1] == 0
    assert metrics["accuracy"][2:].eq(1).all()
    assert metrics["solved"][2:].eq(1).all()


def test_the_form_of_pytorch_geometric() -> None:
    task = GroundState(nodes=9)
    data, batch = task.data("valid", 3), task.batch("valid", 3, 1)
    i, j = data.edge_index
    assert torch.equal(data.edge_attr[:, 0], batch.inputs[0, i, j])
    assert data.num_edges == 36
    assert torch.equal(data.scored, batch.targets[0] != IGNORE)
    assert "(+" in str(task.sample("valid", 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 17}, "'nodes' must be at most 16, got 17"),
        ({"nodes": 10}, r"product of two sides from 3 \(9, 12, 15 or 16\), got 10"),
        ({"nodes": 7, "graph": "regular"}, "must be even, from 4, got 7"),
        ({"graph": "latice"}, "lattice"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroundState(**options)
