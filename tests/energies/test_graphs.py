"""Graphs on states and patterns: shape, degrees, seeds."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from attenergy.energies import TOPOLOGIES, adjacency

SIZES = range(1, 41)
RANDOM = ("watts_strogatz", "barabasi_albert")


@pytest.mark.parametrize("rule", TOPOLOGIES)
def test_every_size_is_a_simple_connected_graph(rule):
    for nodes in SIZES:
        edges = adjacency(rule, nodes)
        assert edges.shape == (nodes, nodes)
        assert edges.dtype == torch.float64
        assert torch.equal(edges, edges.mT)
        assert edges.diagonal().count_nonzero() == 0
        assert torch.equal(edges, edges.clamp(0, 1).round())
        if rule != "watts_strogatz":  # rewiring may cut a graph
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
        assert same == (rule not in RANDOM or nodes == 3)


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


def test_unknown_rules_are_refused():
    with pytest.raises(
        ValueError, match=r"no graph 'latice' \(did you mean 'lattice'\?\); known: "
    ):
        adjacency("latice", 4)
    with pytest.raises(ValueError, match="at least 1 node"):
        adjacency("lattice", 0)
