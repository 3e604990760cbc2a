"""Couplings on graphs: kinds, matrix against list, graphs of one's own."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import EnergyAttention, gradient, relax
from attenergy.energies import adjacency, make_energy
from attenergy.energies.graphs import couplings
from attenergy.energies.graphs.couplings import (
    KINDS,
    EdgeList,
    along_last,
    as_matrix,
    coupling_matrix,
    normalised,
    rule_couplings,
    squared,
    times,
)
from attenergy.energies.graphs.topologies import TOPOLOGIES
from attenergy.registry import load_registry
from attenergy.testing.cases import draw, float64

REGISTRY = load_registry(plugins=False)
ON_STATES = ("graph_hopfield", "vector_spins", "gaussian_spins", "potts")
ON_PATTERNS = ("graph_memory", "boltzmann")
LIKE = torch.zeros(1, dtype=torch.float64)


def make(name, dim=4, num_heads=None, **settings):
    with float64():
        return make_energy(name, dim=dim, num_heads=num_heads, registry=REGISTRY, **settings)


@pytest.mark.parametrize("rule", TOPOLOGIES)
@pytest.mark.parametrize("kind", KINDS)
def test_couplings_live_on_the_edges(kind, rule):
    J, edges = coupling_matrix(kind, rule, 20, 3), adjacency(rule, 20, 3)
    assert torch.equal(J, J.mT)
    assert torch.equal((J != 0).double(), edges)
    signs = {"ferromagnetic": {1.0}, "antiferromagnetic": {-1.0}, "plus_minus": {-1.0, 1.0}}
    if kind in signs:
        assert set(J[J != 0].tolist()) == signs[kind]


def test_a_spin_glass_has_variance_one_over_n():
    J = coupling_matrix("spin_glass", "complete", 300, 1)
    off = J[~torch.eye(300, dtype=torch.bool)]
    assert off.var().item() * 300 == pytest.approx(1.0, rel=0.03)
    assert not torch.equal(J, coupling_matrix("spin_glass", "complete", 300, 2))


@pytest.mark.parametrize("rule", TOPOLOGIES)
def test_normalised_couplings_have_spectral_radius_at_most_one(rule):
    for kind in KINDS:
        J = normalised(coupling_matrix(kind, rule, 23, 5))
        assert torch.linalg.eigvalsh(J).abs().max() <= 1 + 1e-12
        assert torch.linalg.eigvalsh(J[5:, 5:]).abs().max() <= 1 + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_lists_and_matrices_compute_the_same(kind, monkeypatch):
    monkeypatch.setattr(couplings, "SPARSE_NODES", 10)
    monkeypatch.setattr(couplings, "SPARSE_SHARE", 0.5)
    edges = rule_couplings(kind, "watts_strogatz", 30, 4, (4,), LIKE)
    assert isinstance(edges, EdgeList)
    matrix = coupling_matrix(kind, "watts_strogatz", 30, 4, 4)
    assert torch.equal(as_matrix(edges), matrix)
    x, s = draw(1, 2, 30, 3), draw(2, 2, 5, 30)
    for change in (lambda J: J, normalised, squared):
        torch.testing.assert_close(times(change(edges), x), times(change(matrix), x))
        torch.testing.assert_close(along_last(change(edges), s), along_last(change(matrix), s))


def test_large_sparse_graphs_are_lists():
    assert isinstance(rule_couplings("plus_minus", "ring", 96, 0, (4,), LIKE), EdgeList)
    assert isinstance(rule_couplings("plus_minus", "ring", 95, 0, (4,), LIKE), torch.Tensor)
    assert isinstance(rule_couplings("plus_minus", "complete", 600, 0, (4,), LIKE), torch.Tensor)
    assert isinstance(
        rule_couplings("plus_minus", "erdos_renyi", 600, 0, (99,), LIKE), torch.Tensor
    )


@pytest.mark.parametrize("name", [*ON_STATES, *ON_PATTERNS])
def test_energies_and_gradients_do_not_depend_on_the_storage(name, monkeypatch):
    energy = make(name, graph="ring")
    xi, X = energy.from_real(draw(3, 12, 4)), draw(4, 12, 4)
    mask = torch.rand(12, 12, generator=torch.Generator().manual_seed(1)) < 0.7
    mask[3] = False

    def everything():
        values = [energy(xi, X), energy(xi, X, mask=mask)]
        values += [gradient(energy, xi, X, mask=mask, backend=b) for b in ("eager", "scores")]
        return [f.detach() for f in values]

    dense = everything()
    monkeypatch.setattr(couplings, "SPARSE_NODES", 4)
    monkeypatch.setattr(couplings, "SPARSE_SHARE", 1.0)
    torch.testing.assert_close(everything(), dense)


def ring_edges(nodes):
    here = torch.arange(nodes)
    there = (here + 1) % nodes
    return torch.stack([torch.cat([here, there]), torch.cat([there, here])])


@pytest.mark.parametrize("name", [*ON_STATES, *ON_PATTERNS])
def test_a_graph_of_ones_own_in_three_forms(name):
    energy, ruled = make(name, graph="complete"), make(name, graph="ring")
    xi, X = energy.from_real(draw(5, 6, 4)), draw(6, 6, 4)
    want = ruled(xi, X)
    graphs = [
        (adjacency("ring", 6), {}),
        (adjacency("ring", 6) > 0, {}),
        (ring_edges(6), {"nodes": 6}),
        (ring_edges(6), {"nodes": 6, "weights": torch.ones(12)}),
    ]
    for graph, more in graphs:
        torch.testing.assert_close(energy.use_graph(graph, **more)(xi, X), want)
    assert not torch.allclose(energy.use_graph(None)(xi, X), want)
    with pytest.raises(ValueError, match="the graph in use has 5 nodes, there are 6"):
        energy.use_graph(adjacency("ring", 5))(xi, X)


@pytest.mark.parametrize("name", [*ON_STATES, *ON_PATTERNS])
@pytest.mark.parametrize("heads", [None, 2])
def test_every_sample_may_have_its_own_graph(name, heads):
    energy, ruled = make(name, num_heads=heads), [make(name, graph=g) for g in ("ring", "complete")]
    axes = (2,) if heads is None else (2, heads)
    xi, X = energy.from_real(draw(7, *axes, 6, 4)), draw(8, *axes, 6, 4)
    energy.use_graph(torch.stack([adjacency("ring", 6), adjacency("complete", 6)]))
    for sample, alone in enumerate(ruled):
        torch.testing.assert_close(energy(xi, X)[sample], alone(xi[sample], X[sample]))


def test_a_pytorch_geometric_batch():
    index = torch.cat([ring_edges(5), ring_edges(3) + 5], -1)
    batch = torch.tensor([0] * 5 + [1] * 3)
    energy, ruled = make("gaussian_spins"), make("gaussian_spins", graph="ring")
    xi, X = draw(9, 2, 5, 4), draw(10, 2, 5, 4)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    mask = mask[:, :, None] & mask[:, None, :]
    value = energy.use_graph(index, batch=batch)(xi, X, mask=mask)
    torch.testing.assert_close(value[0], ruled(xi[0], X[0]))
    torch.testing.assert_close(value[1], ruled(xi[1, :3], X[1, :3]))


def test_a_large_graph_of_ones_own_is_kept_as_a_list():
    energy, ruled = make("vector_spins"), make("vector_spins", graph="ring")
    xi, X = energy.from_real(draw(11, 600, 4)), draw(12, 3, 4)
    energy.use_graph(ring_edges(600), nodes=600)
    assert isinstance(energy.couplings_of_states(xi), EdgeList)
    torch.testing.assert_close(energy(xi, X), ruled(xi, X))


BAD = {
    "not symmetric": (torch.tensor([[0.0, 1.0], [0.0, 0.0]]), {}),
    "self-loops": (torch.eye(2), {}),
    r"\(n, n\) or \(B, n, n\)": (torch.zeros(2, 3), {}),
    "edges are integers": (torch.zeros(3, 4, dtype=torch.long), {}),
    "give `nodes`": (torch.zeros(2, 4, dtype=torch.long), {}),
    "edges join nodes 0 to 2, got 0 to 5": (torch.tensor([[0, 5], [5, 0]]), {"nodes": 3}),
    "2 edges and weights": (
        torch.tensor([[0, 1], [1, 0]]),
        {"nodes": 2, "weights": torch.ones(3)},
    ),
    "both directions": (torch.tensor([[0], [1]]), {"nodes": 600}),
    "must be sorted": (torch.tensor([[0, 1], [1, 0]]), {"batch": torch.tensor([1, 0])}),
    "stay within a sample": (torch.tensor([[0, 1], [1, 0]]), {"batch": torch.tensor([0, 1])}),
    "has self-loops": (torch.tensor([[1], [1]]), {"nodes": 600}),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_graphs_are_refused(message):
    graph, more = BAD[message]
    with pytest.raises(ValueError, match=message):
        make("gaussian_spins").use_graph(graph, **more)


@pytest.mark.parametrize("name", ON_PATTERNS)
def test_neighbours_by_nearness_ignore_the_order_of_patterns(name):
    energy = make(name, graph="knn")
    energy.shape = energy.shape._replace(degree=2)
    xi, X = draw(13, 3, 4), draw(14, 7, 4)
    order = torch.tensor([3, 0, 6, 4, 2, 1, 5])
    torch.testing.assert_close(energy(xi, X[order]), energy(xi, X))
    mask = torch.tensor([True, True, False, True, True, False, True]).expand(3, 7)
    visible = X[mask[0]]
    torch.testing.assert_close(energy(xi, X, mask=mask), energy(xi, visible), rtol=1e-9, atol=1e-9)


def test_states_have_no_neighbours_by_nearness():
    energy = make("gaussian_spins", graph="knn")
    with pytest.raises(ValueError, match="'knn' is one of stored patterns"):
        energy(draw(15, 3, 4), draw(16, 3, 4))


@pytest.mark.parametrize("name", [*ON_STATES, *ON_PATTERNS])
def test_layers_on_a_graph_of_ones_own(name):
    layer = EnergyAttention(8, 2, name, registry=REGISTRY)
    x = torch.randn(2, 5, 8)
    before = layer(x)
    layer.energy.use_graph(ring_edges(5), nodes=5, weights=-torch.ones(10))
    after = layer(x)
    assert after.shape == (2, 5, 8)
    assert not torch.allclose(before, after)
    after.sum().backward()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"couplings": "spinglass"}, r"no couplings 'spinglass' \(did you mean 'spin_glass'\?\)"),
        ({"graph": "rink"}, r"no graph 'rink' \(did you mean 'ring'\?\)"),
        ({"graph_seed": -1}, "'graph_seed' must be a whole number from 0, got -1"),
        ({"graph_degree": 0}, "a graph's degree must be a whole number from 1, got 0"),
    ],
)
def test_bad_options_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make("vector_spins", **settings)


@pytest.mark.long
def test_relaxing_a_thousand_states_on_a_list():
    """Gaussian spins on a long ring: what one state in the middle ends at, by a linear solve."""
    energy = make("gaussian_spins", graph="ring", coupling=0.6)
    X = draw(17, 1000, 4)
    mask = torch.eye(1000, dtype=torch.bool)
    with torch.no_grad():
        got = relax(energy, torch.zeros_like(X), X, mask=mask, steps=150).state
    system = torch.eye(1000).double() - 0.3 * adjacency("ring", 1000)
    torch.testing.assert_close(got, torch.linalg.solve(system, X), rtol=1e-9, atol=1e-9)
