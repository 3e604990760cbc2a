"""Graph layers are called as PyTorch Geometric's own, and take graphs with nothing in them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.nn import GATConv, HeteroConv, to_hetero
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csr_tensor

from attenergy.attention.graphs import EnergyAggregation, EnergyConv, EnergyGNN
from tests.attention.conftest import REGISTRY, draw
from tests.attention.graphs.conftest import ON_GRAPHS, C, H, N, make_conv

EDGES = torch.tensor([[3, 0, 2, 1, 0, 4, 2], [1, 1, 0, 2, 2, 3, 1]])
NARROW = EDGES[:, EDGES[1] < 4]  # four targets
EMPTY = EDGES[:, :0]


@pytest.mark.parametrize("energy", ["lse", "rbm", "uhop", "elliptical"])
def test_targets_without_features_start_from_the_bias(energy):
    """As many as the sources, or as `size` or the matrix says."""
    conv, x = make_conv(energy, (C, 3)), draw(N, C)
    with torch.no_grad():
        want = conv((x, draw(N, 3) * 0), EDGES)
    torch.testing.assert_close(conv((x, None), EDGES), want)
    for size in ((N, 4), (None, 4)):
        torch.testing.assert_close(conv((x, None), NARROW, size=size), want[:4])
    adj_t = torch.sparse_coo_tensor(
        NARROW.flip(0), torch.ones(NARROW.shape[1]), (4, N), check_invariants=True
    )
    torch.testing.assert_close(conv((x, None), adj_t), want[:4])
    conv((x, None), EDGES).square().sum().backward()
    assert all(p.grad is not None for p in conv.parameters())


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_the_same_calls_as_graph_attention():
    """Whatever GATConv takes, with the same shapes."""
    x = torch.randn(N, C)
    calls = {
        "tensor": lambda conv: conv(C, C)(x, EDGES),
        "pair": lambda conv: conv((C, C), C, add_self_loops=False)((x, x[:4]), NARROW),
        "list": lambda conv: conv((C, C), C, add_self_loops=False)([x, x[:4]], EDGES),
        "one width": lambda conv: conv(C, C)((x, x[:4]), NARROW),
        "none": lambda conv: conv((C, C), C, add_self_loops=False)((x, None), EDGES),
        "size": lambda conv: conv(C, C)(x, EDGES, size=(N, N)),
        "none and size": lambda conv: conv((C, C), C, add_self_loops=False)(
            (x, None), NARROW, size=(N, 4)
        ),
        "lazy": lambda conv: conv(-1, C)(x, EDGES),
        "lazy pair": lambda conv: conv((-1, -1), C, add_self_loops=False)((x, x[:4, :3]), NARROW),
        "lazy none": lambda conv: conv((-1, -1), C, add_self_loops=False)((x, None), EDGES),
        "coo": lambda conv: conv(C, C, add_self_loops=False)(
            x, to_torch_coo_tensor(EDGES.flip(0), size=(N, N))
        ),
        "features": lambda conv: conv(C, C, edge_dim=3)(
            x, EDGES, edge_attr=torch.randn(EDGES.shape[1], 3)
        ),
        "no edges": lambda conv: conv(C, C)(x, EMPTY),
        "no nodes": lambda conv: conv(C, C)(x[:0], EMPTY),
    }
    for name, call in calls.items():
        assert call(EnergyConv).shape == call(GATConv).shape, name


@pytest.mark.parametrize("width", [-1, (-1, -1), (-1, C)])
def test_widths_are_seen_in_the_first_input(width):
    torch.manual_seed(3)
    lazy, x = EnergyConv(width, C, heads=H, registry=REGISTRY), torch.randn(N, C)
    lazy.reset_parameters()
    twin = copy.deepcopy(lazy)
    assert lazy(x, EDGES).shape == (N, C)
    assert type(lazy.query) is type(lazy.key) is torch.nn.Linear
    spread = torch.cat([lazy.key.weight, lazy.value.weight]).std().item()
    assert spread == pytest.approx(C**-0.5, rel=0.3)
    assert (lazy.key.bias == 0).all()
    twin.load_state_dict(lazy.state_dict())
    torch.testing.assert_close(twin(x, EDGES), lazy(x, EDGES))
    gnn = EnergyGNN(-1, C, num_layers=2, out_channels=3, registry=REGISTRY)
    assert gnn(x, EDGES).shape == (N, 3)


def test_a_model_for_nodes_of_several_kinds():
    data = HeteroData()
    data["a"].x, data["b"].x = torch.randn(4, 5), torch.randn(3, 7)
    data["a", "to", "b"].edge_index = torch.tensor([[0, 3, 1], [0, 0, 2]])
    data["b", "to", "a"].edge_index = torch.tensor([[0, 1], [3, 1]])
    model = to_hetero(
        EnergyGNN((-1, -1), C, 2, 3, registry=REGISTRY, add_self_loops=False), data.metadata()
    )
    out = model(data.x_dict, data.edge_index_dict)
    assert out["a"].shape == (4, 3)
    wrapped = HeteroConv(
        {kind: EnergyConv((-1, -1), C, registry=REGISTRY) for kind in data.edge_types}
    )
    assert wrapped(data.x_dict, data.edge_index_dict)["b"].shape == (3, C)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("sparse", [to_torch_coo_tensor, to_torch_csr_tensor])
@pytest.mark.parametrize("width", [1, 3])
def test_values_of_a_sparse_adjacency_are_features_of_its_edges(sparse, width):
    conv, x = make_conv(edge_dim=width), draw(N, C)
    attr = draw(EDGES.shape[1], width)
    with torch.sparse.check_sparse_tensor_invariants():
        adj_t = sparse(EDGES.flip(0), attr[:, 0] if width == 1 else attr, size=(N, N))
    torch.testing.assert_close(conv(x, adj_t), conv(x, EDGES, edge_attr=attr))
    torch.testing.assert_close(make_conv()(x, adj_t).shape, x.shape)


GRAPHS = {
    "no nodes": (0, EMPTY),
    "no edges": (3, EMPTY),
    "one edge": (3, torch.tensor([[0], [1]])),
    "an isolated node": (4, torch.tensor([[0, 1, 2, 0], [1, 2, 0, 2]])),
}


@pytest.mark.parametrize("name", ON_GRAPHS)
def test_graphs_with_nothing_in_them(name, named):
    """Finite values and gradients, and every parameter has one."""
    options = {"heads": H, "energy": name, "registry": REGISTRY, "steps": 2}
    conv, pool = EnergyConv(C, C, **options), EnergyAggregation(C, **options)
    gnn = EnergyGNN(C, C, 2, 3, **options)
    for graph, (count, edges) in GRAPHS.items():
        x = torch.randn(count, C)
        index = torch.zeros(count, dtype=torch.long)
        for module, arguments, given, shape in (
            (conv, (x, edges), {}, (count, C)),
            (gnn, (x, edges), {}, (count, 3)),
            (pool, (x, index), {"dim_size": 2}, (2, C)),
        ):
            with named(f"{graph}, {type(module).__name__}"):
                module.zero_grad()
                out = module(*arguments, **given)
                assert out.shape == shape
                assert out.isfinite().all()
                out.square().sum().backward()
                grads = {n: p.grad for n, p in module.named_parameters() if p.requires_grad}
                assert [n for n, g in grads.items() if g is None or not g.isfinite().all()] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((N, C))}, r"x \(sources\) must be a torch tensor, got ndarray"),
        (
            {"x": (torch.zeros(N, C), np.zeros((N, C)))},
            r"x \(targets\) must be a torch tensor, got",
        ),
        ({"x": (None, torch.zeros(N, C))}, r"x \(sources\) must be a torch tensor, got NoneType"),
        ({"x": torch.zeros(2, N, C)}, r"got \(2, 6, 8\) for the sources"),
        ({"edge_index": EDGES.numpy()}, "edge_index must be a torch tensor, got ndarray"),
        ({"edge_index": EDGES.double()}, "integers"),
        ({"size": (N, 4)}, "size says 4 targets, x has 6"),
        ({"size": (4, N)}, "size says 4 sources, x has 6"),
        ({"size": (4,)}, r"size must be \(sources, targets\)"),
        ({"edge_index": torch.eye(5).to_sparse()}, "adj_t says 5 sources, x has 6"),
        ({"x": (torch.zeros(N, C), None), "size": (N, 2)}, "target nodes are numbered 0 to 1"),
    ],
)
def test_calls_that_do_not_fit(change, message):
    conv, given = EnergyConv(C, C, registry=REGISTRY), {"x": torch.zeros(N, C), "edge_index": EDGES}
    with pytest.raises((TypeError, ValueError), match=message):
        conv(**given | change)


@pytest.mark.parametrize("layer", [EnergyConv, EnergyAggregation, EnergyGNN])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"betta": 1.0}, "betta"),
        ({"beta": float("nan")}, "beta"),
        ({"beta": float("inf")}, "beta"),
        ({"step_size": float("nan")}, "step_size"),
        ({"step_size": float("inf")}, "step_size"),
        ({"bias": "no"}, "bias must be True or False"),
        ({"heads": 0}, "heads must be at least 1"),
        ({"heads": 1.5}, "heads must be a whole number"),
        ({"head_dim": float("nan")}, "head_dim must be a whole number"),
        ({"form": "segment"}, "did you mean 'segments'"),
    ],
)
def test_settings_that_do_not_fit(layer, options, message):
    sizes = {EnergyConv: (C, C), EnergyAggregation: (C,), EnergyGNN: (C, C, 2)}[layer]
    with pytest.raises(ValueError, match=message):
        layer(*sizes, registry=REGISTRY, **options)


@pytest.mark.parametrize("name", ["edge_weight", "edge_attr"])
@pytest.mark.parametrize("kind", [list, lambda x: x.numpy()])
def test_numbers_of_edges_are_tensors(name, kind):
    edges = torch.tensor([[0, 1, 2], [1, 0, 1]])
    with pytest.raises(TypeError, match=f"{name} must be a torch tensor"):
        EnergyConv(4, 4, edge_dim=1)(torch.randn(3, 4), edges, **{name: kind(torch.randn(3))})


def test_an_unknown_form_is_refused():
    for form in ("segment", 1.0):
        with pytest.raises(ValueError, match="form"):
            EnergyConv(4, 4, form=form)


def test_an_unsorted_adjacency_is_read_and_left_as_it_was():
    edges = torch.tensor([[0, 1, 2, 3], [1, 0, 1, 2]])
    x, conv = torch.randn(4, 4), EnergyConv(4, 4)
    adj_t = torch.sparse_coo_tensor(edges.flip(0), torch.ones(4), (4, 4), check_invariants=True)
    torch.testing.assert_close(conv(x, adj_t), conv(x, edges))
    assert not adj_t.is_coalesced()
