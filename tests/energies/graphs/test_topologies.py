"""Graphs on states and patterns: shape, degrees, seeds."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from attenergy.energies import TOPOLOGIES, adjacency
from attenergy.energies.graphs.topologies import edge_index, nearest_neighbours

SIZES = range(1, 41)
RANDOM = ("erdos_renyi", "watts_strogatz", "barabasi_albert", "stochastic_block")
MAY_FALL_APART = ("erdos_renyi", "watts_strogatz", "stochastic_block")


@pytest.mark.parametrize("rule", TOPOLOGIES)
def test_every_size_is_a_simple_connected_graph(rule):
    for nodes in SIZES:
        edges = adjacency(rule, nodes)
        assert edges.shape == (nodes, nodes)
        assert edges.dtype == torch.float64
        assert torch.equal(edges, edges.mT)
        assert edges.diagonal().count_nonzero() == 0
        assert torch.equal(edges, edges.clamp(0, 1).round())
        if rule not in MAY_FALL_APART:
            assert nx.is_connected(nx.from_numpy_array(edges.numpy())), nodes


def test_degrees():
    for nodes in SIZES:
        assert (adjacency("complete", nodes).sum(-1) == nodes - 1).all()
        ring = adjacency("ring", nodes).sum(-1)
        assert (ring == 2).all() if nodes > 2 else (ring == nodes - 1).all()
        if nodes >= 6:
            assert adjacency("watts_strogatz", nodes).sum() == 4 * nodes
        if nodes >= 4:
            assert adjacency("barabasi_albert", nodes).sum() == 2 * 2 * (nodes - 2)


@pytest.mark.parametrize("width", range(1, 7))
def test_square_lattices_are_networkx_grids(width):
    grid = nx.grid_2d_graph(width, width)
    wanted = torch.from_numpy(nx.to_numpy_array(grid, nodelist=sorted(grid)))
    assert torch.equal(adjacency("lattice", width * width), wanted)


def test_inner_nodes_of_a_lattice_have_four_neighbours():
    edges = adjacency("lattice", 36)
    inner = [6 * row + column for row in range(1, 5) for column in range(1, 5)]
    assert (edges[inner].sum(-1) == 4).all()
    assert edges.sum() == 2 * 2 * 6 * 5


def test_a_lattice_that_is_not_full_is_the_beginning_of_a_full_one():
    for nodes in range(26, 36):
        assert torch.equal(adjacency("lattice", nodes), adjacency("lattice", 36)[:nodes, :nodes])


@pytest.mark.parametrize("rule", TOPOLOGIES)
def test_a_seed_decides(rule):
    for nodes in (3, 12, 25):
        same = torch.equal(adjacency(rule, nodes, 1), adjacency(rule, nodes, 2))
        assert torch.equal(adjacency(rule, nodes, 1), adjacency(rule, nodes, 1))
        assert same == (rule not in RANDOM or (nodes == 3 and rule != "stochastic_block")), nodes


def test_known_graphs_of_a_seed():
    """The draws of networkx are part of what a trained layer is."""
    wanted = nx.to_numpy_array(nx.watts_strogatz_graph(20, 4, 0.2, seed=7), nodelist=range(20))
    assert torch.equal(adjacency("watts_strogatz", 20, 7), torch.from_numpy(wanted))
    wanted = nx.to_numpy_array(nx.barabasi_albert_graph(20, 2, seed=7), nodelist=range(20))
    assert torch.equal(adjacency("barabasi_albert", 20, 7), torch.from_numpy(wanted))


def test_a_graph_first_seen_while_tracing_is_real_afterwards():
    with FakeTensorMode():
        adjacency("ring", 777)
    assert adjacency("ring", 777).sum().item() == 2 * 777


@pytest.mark.parametrize("width", range(1, 4))
def test_cubic_lattices_are_networkx_grids(width):
    grid = nx.grid_graph([width] * 3)
    wanted = torch.from_numpy(nx.to_numpy_array(grid, nodelist=sorted(grid)))
    assert torch.equal(adjacency("lattice3", width**3), wanted)


def test_chains_are_paths():
    for nodes in SIZES:
        wanted = nx.to_numpy_array(nx.path_graph(nodes))
        assert torch.equal(adjacency("chain", nodes), torch.from_numpy(wanted))


@pytest.mark.parametrize("rule", ["erdos_renyi", "stochastic_block"])
@pytest.mark.parametrize("degree", [4, 10])
def test_random_graphs_have_the_mean_degree_that_is_asked_for(rule, degree):
    means = [adjacency(rule, 200, seed, degree).sum(-1).mean().item() for seed in range(10)]
    assert sum(means) / 10 == pytest.approx(degree, rel=0.05)


def test_blocks_keep_to_themselves():
    edges = adjacency("stochastic_block", 200, 3, degree=8, blocks=4, mixing=0.25)
    block = torch.arange(200) // 50
    across = edges[block[:, None] != block].sum() / edges.sum()
    assert across.item() == pytest.approx(0.25, abs=0.04)
    apart = adjacency("stochastic_block", 200, 3, degree=8, blocks=4, mixing=0.0)
    assert apart[block[:, None] != block].sum() == 0


@pytest.mark.parametrize("rule", TOPOLOGIES)
def test_edges_are_those_of_the_matrix(rule):
    for nodes in (1, 2, 7, 30):
        index, matrix = edge_index(rule, nodes, 2), torch.zeros(nodes, nodes).double()
        matrix[index[0], index[1]] = 1.0
        assert torch.equal(matrix, adjacency(rule, nodes, 2))
        half = index.shape[1] // 2
        assert torch.equal(index[:, half:], index[:, :half].flip(0))
        assert (index[0, :half] < index[1, :half]).all()


def test_nearest_neighbours():
    """Points on a line: the neighbours are those beside them, seen by brute force."""
    X = torch.tensor([0.0, 1.0, 3.0, 3.5, 9.0]).double().unsqueeze(-1).requires_grad_()
    nearest = nearest_neighbours(X, 1)
    assert nearest.shape == (1, 5, 5)
    assert not nearest.requires_grad
    pairs = {(0, 1), (1, 0), (2, 3), (3, 2), (3, 4), (4, 3)}
    assert {tuple(p) for p in nearest[0].nonzero().tolist()} == pairs
    mask = torch.tensor([[True, True, True, False, True], [False, False, False, True, False]])
    first, second = nearest_neighbours(X, 1, mask)
    hidden = {(0, 1), (1, 0), (1, 2), (2, 1), (2, 4), (4, 2)}
    assert {tuple(p) for p in first.nonzero().tolist()} == hidden
    assert second.sum() == 0


def test_more_neighbours_than_patterns_is_the_complete_graph():
    X = torch.randn(2, 4, 3)
    assert torch.equal(nearest_neighbours(X, 9)[:, 0], (1 - torch.eye(4)).expand(2, 4, 4))


@pytest.mark.parametrize(
    "numbers",
    [{"degree": 0}, {"degree": 2.5}, {"blocks": 0}, {"rewire": 1.5}, {"mixing": -0.1}],
)
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(ValueError, match=f"a graph's {next(iter(numbers))} must"):
        adjacency("stochastic_block", 8, **numbers)


def test_unknown_rules_are_refused():
    with pytest.raises(
        ValueError, match=r"no graph 'latice' \(did you mean 'lattice'\?\); known: "
    ):
        adjacency("latice", 4)
    with pytest.raises(ValueError, match="at least 1 node"):
        adjacency("lattice", 0)
    with pytest.raises(ValueError, match="'knn' is built from patterns"):
        adjacency("knn", 4)
