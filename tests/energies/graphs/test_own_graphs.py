"""Graphs of the user's own: every form is the same one, and goes where its energy goes."""

from __future__ import annotations

import copy

import networkx as nx
import numpy as np
import pytest
import torch

from attenergy.attention import relax
from attenergy.energies import make_energy
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
ON_GRAPHS = [
    name
    for name, spec in REGISTRY.energies.items()
    if "graph" in spec.options and spec.domain != "magnetisation"
]
NODES = 5


def make(name):
    return make_energy(name, dim=4, num_heads=2, registry=REGISTRY).double()


def graph():
    """A path of five nodes with a chord, of two weights."""
    path = nx.path_graph(NODES)
    path.add_edge(0, 3, weight=2.0)
    return path


def edges():
    index = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4, 3], [1, 2, 3, 4, 3, 0, 1, 2, 3, 0]])
    return index, torch.tensor([1.0, 1, 1, 1, 2, 1, 1, 1, 1, 2], dtype=torch.float64)


def point(energy):
    torch.manual_seed(0)
    shape = (2, 2, NODES, 4)
    return energy.from_real(torch.randn(shape).double()), torch.randn(shape).double()


@pytest.mark.parametrize("name", ON_GRAPHS)
def test_every_form_of_a_graph_is_the_same(name):
    energy = make(name)
    xi, X = point(energy)
    matrix = nx.to_numpy_array(graph())
    want = energy.use_graph(torch.from_numpy(matrix))(xi, X)
    assert not torch.allclose(want, energy.use_graph(None)(xi, X))
    index, weights = edges()
    for given, more in (
        (graph(), {}),
        (nx.DiGraph(graph()), {}),
        (matrix, {}),
        (index, {"nodes": NODES, "weights": weights}),
        (index.numpy(), {"nodes": NODES, "weights": weights.numpy()}),
    ):
        torch.testing.assert_close(energy.use_graph(given, **more)(xi, X), want)


@pytest.mark.parametrize("nodes", [NODES, 600])
@pytest.mark.parametrize("name", ON_GRAPHS)
def test_a_graph_goes_where_its_energy_goes(name, nodes):
    energy = make(name)
    energy.use_graph(nx.cycle_graph(nodes) if nodes > NODES else graph())
    fresh, other = make(name), make(name)
    other.use_graph(np.eye(3)[::-1][[0, 2, 1]] * 0.0)  # replaced by what is loaded
    for twin in (fresh, other):
        twin.load_state_dict(energy.state_dict())
    for twin in (fresh, other, copy.deepcopy(energy)):
        assert twin.state_dict().keys() == energy.state_dict().keys()
        if nodes == NODES:
            xi, X = point(energy)
            torch.testing.assert_close(twin(xi, X), energy(xi, X))
        mine, theirs = twin.state_dict().values(), energy.state_dict().values()
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b)
            assert a.data_ptr() != b.data_ptr() or a.numel() == 0
    other.load_state_dict(make(name).state_dict())  # the rule's graph again
    assert other.constants() == ()
    assert all(
        t.dtype == torch.float32 for t in energy.float().constants() if t.is_floating_point()
    )


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        (nx.DiGraph([("a", "b")]), {}, "edge 'a' -> 'b' has weight 1, there is no edge back"),
        (nx.Graph([("a", "a")]), {}, "self-loops, of node 'a'"),
        (nx.Graph([(0, 1, {"weight": "heavy"})]), {}, r"that of \(0, 1\) is 'heavy'"),
        (nx.path_graph(3), {"order": [0, 1]}, "once: node 2 is missing"),
        (nx.path_graph(3), {"order": [0, 1, 3]}, "once: 3 is no node"),
        (nx.path_graph(2), {"order": [0, 1, 1]}, "once: a node stands there twice"),
        (torch.zeros(3, 3), {"order": [0, 1, 2]}, "order goes with a networkx graph"),
        (torch.tensor([[0], [1]]), {"nodes": 2, "weights": "w"}, "'weights' must be"),
        ("ring", {}, "'graph' must be a networkx graph"),
        ([[0, 1], [1, 0]], {}, "got list"),
        (np.array(["a"]), {}, "got an array of"),
        (nx.path_graph(3), {"nodes": 3}, "its own nodes"),
        (nx.DiGraph([(0, 1)]), {}, "not symmetric"),
        (nx.Graph([(0, 0)]), {}, "self-loops"),
        (torch.full((2, 2), torch.nan), {}, "finite"),
        (nx.Graph([(0, 1, {"weight": float("inf")})]), {}, "finite"),
        (torch.zeros(3, 3), {"nodes": 4}, "3 nodes"),
        (torch.zeros(3, 3), {"weights": torch.ones(2)}, "go with edges"),
        (torch.tensor([[0], [1]]), {"nodes": 2, "weights": "heavy"}, "'weights' must be"),
    ],
)
def test_what_is_no_graph_is_refused(given, more, message):
    with pytest.raises(ValueError, match=message):
        make("gaussian_spins").use_graph(given, **more)


def test_nodes_of_a_networkx_graph_have_any_names_and_a_stated_order():
    """The order of the nodes is that in which they came, or the one given; names do not count."""
    energy, other = make("gaussian_spins"), make("gaussian_spins")
    xi, X = point(energy)
    names = ["d", "a", ("c", 1), 7, "b"]
    named = nx.relabel_nodes(graph(), dict(enumerate(names)))
    want = energy.use_graph(graph())(xi, X)
    torch.testing.assert_close(energy.use_graph(named)(xi, X), want)
    mixed = nx.Graph()
    mixed.add_nodes_from(names[::-1])
    mixed.add_edges_from(named.edges(data=True))
    assert not torch.allclose(energy.use_graph(mixed)(xi, X), want)
    torch.testing.assert_close(energy.use_graph(mixed, order=names)(xi, X), want)
    backwards = other.use_graph(mixed)(xi.flip(-2), X)
    torch.testing.assert_close(backwards, want)


def test_directed_parallel_isolated_and_other_weights():
    energy = make("gaussian_spins")
    xi, X = point(energy)
    want = energy.use_graph(graph())(xi, X)
    several = nx.MultiGraph(nx.path_graph(NODES))
    several.add_edges_from([(0, 3), (3, 0)])  # two edges of weight 1 are one of weight 2
    torch.testing.assert_close(energy.use_graph(several)(xi, X), want)
    torch.testing.assert_close(energy.use_graph(nx.MultiDiGraph(several))(xi, X), want)
    strengths = nx.Graph()
    strengths.add_nodes_from(range(NODES))
    for i, j, weight in graph().edges(data="weight", default=1.0):
        strengths.add_edge(i, j, strength=weight, weight=9.0)
    torch.testing.assert_close(energy.use_graph(strengths, weights="strength")(xi, X), want)
    # A node without edges rests where its own energy does.
    alone = nx.path_graph(NODES - 1)
    alone.add_node("far")
    rested = relax(energy.use_graph(alone), xi, X, steps=60).state
    free = relax(energy.use_graph(torch.zeros(NODES, NODES)), xi, X, steps=60).state
    torch.testing.assert_close(rested[..., -1, :], free[..., -1, :])
    assert (rested - free)[..., :-1, :].abs().max() > 1e-3
