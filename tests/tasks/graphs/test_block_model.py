from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
import pytest
import torch

from attenergy.tasks import IGNORE, BlockModel
from attenergy.tasks.core.contents import graph_codes
from attenergy.tasks.graphs.block_model import assignments

SMALL = {"nodes": 8, "degree": 2.5, "mixing": 0.3}


def test_graphs_are_as_documented() -> None:
    task = BlockModel(nodes=12, blocks=3, degree=3.0, mixing=0.4, shown=2)
    batch = task.batch("train", 0, 3000)
    assert batch.inputs.shape == (3000, 12, 3)
    assert batch.mask.shape == (3000, 12, 12)
    assert batch.mask.diagonal(dim1=1, dim2=2).all()
    assert torch.equal(batch.mask, batch.mask.mT)
    shown = batch.inputs.sum(-1) == 1
    assert (batch.inputs.sum(1) == 2).all()
    assert torch.equal(shown, batch.targets == IGNORE)
    labels = torch.where(shown, batch.inputs.argmax(-1), batch.targets)
    assert all((labels == block).sum(-1).eq(4).all() for block in range(3))
    same = labels[:, :, None] == labels[:, None, :]
    edges = batch.mask & ~torch.eye(12, dtype=torch.bool)
    degree = edges.double().sum(-1).mean().item()
    assert degree == pytest.approx(3.0, abs=0.06)
    assert (edges & ~same).sum().item() / edges.sum().item() == pytest.approx(0.4, abs=0.02)


def slow_posterior(task: BlockModel, features: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Weigh every assignment by the product over all pairs of nodes, in plain loops."""
    n, k = task.size, task.blocks
    total = np.zeros((n, k))
    for labels in itertools.product(range(k), repeat=n):
        if any(labels.count(block) != n // k for block in range(k)):
            continue
        if any(row.any() and row[label] == 0 for row, label in zip(features, labels, strict=True)):
            continue
        weight = 1.0
        for i, j in itertools.combinations(range(n), 2):
            p = task.within if labels[i] == labels[j] else task.across
            weight *= p if edges[i, j] else 1 - p
        total[np.arange(n), labels] += weight
    return total / total.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    "options",
    [SMALL, {"nodes": 6, "blocks": 3, "degree": 1.5, "mixing": 0.8}, {**SMALL, "shown": 2}],
)
def test_the_posterior_is_a_sum_over_assignments(options: dict) -> None:
    task = BlockModel(**options)
    posterior = task.posterior(task.instances("test", 0, 100))
    batch = task.batch("test", 0, 100)
    for index in (0, 3, 99):
        expected = slow_posterior(task, batch.inputs[index].numpy(), batch.mask[index].numpy())
        np.testing.assert_allclose(posterior[index].numpy(), expected, atol=1e-12)


def test_the_posterior_scores_its_own_ceiling() -> None:
    task = BlockModel(nodes=12, degree=3.5, mixing=0.25)
    ceiling = task.ceiling("test")
    instances = task.instances("test", 0, 1024)
    scores = task.metrics(task.posterior(instances), task.encode(instances).targets)["accuracy"]
    assert scores.mean().item() == pytest.approx(ceiling.value, abs=5 * ceiling.error + 0.02)
    assert 0.6 < ceiling.value < 0.95
    assert BlockModel(nodes=40).ceiling("test") is None


def test_assignments_are_all_multiset_permutations() -> None:
    expected = sorted(set(itertools.permutations([0, 0, 1, 1, 1, 2])))
    assert assignments([2, 3, 1]).tolist() == [list(row) for row in expected]


def test_codes_of_graphs_do_not_depend_on_the_numbers_of_nodes() -> None:
    generator = torch.Generator().manual_seed(1)
    half = (torch.rand(300, 7, 7, generator=generator) < 0.4).triu(1)
    edges, colours = half | half.mT, torch.randint(2, (300, 7), generator=generator)
    order = torch.rand(300, 7, generator=generator).argsort(-1)
    moved = edges.gather(1, order[:, :, None].expand(-1, -1, 7))
    moved = moved.gather(2, order[:, None, :].expand(-1, 7, -1))
    codes = graph_codes(edges, colours)
    assert torch.equal(codes, graph_codes(moved, colours.gather(1, order)))
    assert not torch.equal(codes, graph_codes(moved, colours))

    def coloured(index: int) -> nx.Graph:
        graph = nx.from_numpy_array(edges[index].numpy())
        nx.set_node_attributes(graph, dict(enumerate(colours[index].tolist())), "colour")
        return graph

    def same(a: nx.Graph, b: nx.Graph) -> bool:
        return nx.is_isomorphic(a, b, node_match=lambda x, y: x["colour"] == y["colour"])

    graphs = [coloured(index) for index in range(40)]
    for i, j in itertools.combinations(range(40), 2):
        assert same(graphs[i], graphs[j]) == (codes[i] == codes[j]).item()


def test_splits_share_no_graph_however_numbered() -> None:
    task = BlockModel(**SMALL)
    hashes = {
        split: set(task._content(task.instances(split, 0, 2000)).flatten().tolist())
        for split in task.splits
    }
    assert len(set.union(*hashes.values())) == sum(map(len, hashes.values()))
    assert all(len(codes) > 500 for codes in hashes.values())


def test_the_form_of_pytorch_geometric() -> None:
    task = BlockModel()
    batch = task.batch("test", 7, 1)
    data = task.data("test", 7)
    assert torch.equal(data.x, batch.inputs[0])
    assert torch.equal(data.y, batch.targets[0])
    assert torch.equal(data.scored, data.y != IGNORE)
    assert not data.has_self_loops()
    assert data.is_undirected()
    dense = torch.eye(20, dtype=torch.bool)
    dense[tuple(data.edge_index)] = True
    assert torch.equal(dense, batch.mask[0])
    assert data.edge_attr is None


def test_what_a_person_sees() -> None:
    sample = BlockModel(**SMALL).sample("test", 0)
    text = str(sample)
    assert sum(sample.shown) == 2
    assert text.count("?") == 8 - 2 + 1
    assert all(f"{i}-{j}" in text for i, j, _ in sample.edges)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 21}, "'nodes' must be a multiple of blocks = 2, got 21"),
        ({"nodes": 4, "shown": 2}, "'shown' must be below nodes/blocks = 2"),
        ({"mixing": 0.0}, "'mixing' must be above 0 and below 1, got 0.0"),
        ({"degree": 15.0}, "leave both probabilities of an edge below 1"),
        ({"degree": math.nan}, "'degree' must be above 0"),
        ({"blocks": 1}, "'blocks' must be a whole number >= 2, got 1"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BlockModel(**options)
