"""EnergyConv against dense attention, against the gradient of a sum over nodes, and its laws."""

from __future__ import annotations

import math

import pytest
import torch
from torch_geometric.nn import GATConv
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csr_tensor

from attenergy.attention import EnergyAttention
from attenergy.attention.graphs import EnergyConv
from attenergy.attention.graphs.segments import has_segments
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from tests.attention.conftest import REGISTRY, draw
from tests.attention.graphs.conftest import ON_GRAPHS, C, H, N, make_conv


def pairs():
    """Pairs (energy, how) of all energies that stand on a graph; `eager` is the reference."""
    for name, energy in ON_GRAPHS.items():
        yield name, "eager"
        if energy.has_weights:
            yield name, "padded"
        if has_segments(energy):
            yield name, "segments"


PAIRS = list(pairs())
#: Node 5 has no neighbours, node 4 only itself; edges are in no order.
EDGES = torch.tensor([[3, 0, 2, 1, 0, 4, 2, 5], [1, 1, 0, 2, 2, 4, 1, 3]])
UNSEEN = 5


def as_dense(conv):
    """EnergyAttention with the maps and the energy of a conv."""
    layer = EnergyAttention(
        C, conv.heads, conv.energy.spec, steps=conv.relaxation.steps, read=conv.relaxation.read,
        registry=REGISTRY,
    ).double()  # fmt: skip
    layer.energy.load_state_dict(conv.energy.state_dict())
    for name in ("query", "key", "value", "out"):
        if getattr(conv, name) is not None:
            getattr(layer.projections, name).load_state_dict(getattr(conv, name).state_dict())
    return layer


def adjacency(values=None):
    """(target, source), boolean or with numbers on the edges."""
    empty = torch.zeros(N, N, dtype=torch.bool) if values is None else values.new_zeros(N, N)
    return empty.index_put((EDGES[1], EDGES[0]), torch.tensor(True) if values is None else values)


@pytest.mark.parametrize(("energy", "form"), PAIRS)
def test_it_is_dense_attention_with_the_adjacency_as_the_mask(energy, form):
    """Values and gradients; the numbers on the edges are the field."""
    conv = make_conv(energy, form=form)
    x, weight = draw(N, C).requires_grad_(), draw(EDGES.shape[1])
    if not conv.energy.reads_field:
        weight = None
    got = conv(x, EDGES, weight)
    field = None if weight is None else adjacency(weight)
    want = as_dense(conv)(x[None], mask=adjacency(), field=field)[0]
    torch.testing.assert_close(got, want)
    pulled = draw(N, C)
    if want.requires_grad:
        mine, theirs = (torch.autograd.grad((o * pulled).sum(), x)[0] for o in (got, want))
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("energy", "form"), PAIRS)
def test_a_node_without_neighbours_keeps_its_state(energy, form):
    conv = make_conv(energy, form=form)
    x = draw(N, C).requires_grad_()
    got = conv(x, EDGES[:, EDGES[1] != 3])[3]
    state = conv.energy.from_real(conv.query(x[3]).view(H, 1, -1)).flatten()
    want = conv.out(state) if conv.value is None else conv.out.bias
    torch.testing.assert_close(got, want)
    if got.requires_grad:
        got.sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in conv.parameters())


@pytest.mark.parametrize("form", ["eager", "padded", "segments"])
def test_a_step_is_the_gradient_of_a_sum_over_nodes(form):
    """sum_i 1/2 |xi_i|^2 - lse over neighbours / beta, written out node by node, one head."""
    conv = make_conv("lse", heads=1, steps=1, read="state", form=form)
    x, beta = draw(N, C), conv.energy.values()["beta"].item()
    X = conv.key(x)

    def total(xi):
        value = 0.5 * (xi * xi).sum()
        for i in range(N):
            neighbours = X[EDGES[0, EDGES[1] == i]]
            if len(neighbours):
                value = value - torch.logsumexp(beta * neighbours @ xi[i], 0) / beta
        return value

    xi = conv.query(x)
    stepped = xi - torch.func.grad(total)(xi)
    stepped[[UNSEEN]] = xi[[UNSEEN]]
    torch.testing.assert_close(conv(x, EDGES), conv.out(stepped))


def test_weights_are_a_softmax_over_neighbours():
    conv, x = make_conv(steps=1), draw(N, C)
    out, (edges, weights) = conv(x, EDGES, return_attention_weights=True)
    assert torch.equal(edges, EDGES)
    scores = ((conv.query(x)[EDGES[1]] * conv.key(x)[EDGES[0]]).view(-1, H, C // H)).sum(-1)
    for node in EDGES[1].unique():
        arrive = EDGES[1] == node
        want = torch.softmax(scores[arrive] / (C // H) ** 0.5, 0)
        torch.testing.assert_close(weights[arrive], want)
    torch.testing.assert_close(out, conv(x, EDGES))


@pytest.mark.parametrize("form", ["padded", "segments"])
@pytest.mark.parametrize("energy", ["lse", "l2_lse"])
def test_the_logarithm_of_a_number_stands_for_parallel_edges(energy, form):
    conv, x = make_conv(energy, form=form), draw(N, C)
    counts = torch.tensor([1, 3, 1, 2, 1, 1, 4, 1])
    got = conv(x, EDGES, counts.double().log())
    torch.testing.assert_close(got, conv(x, EDGES.repeat_interleave(counts, dim=1)))


@pytest.mark.parametrize(("energy", "form"), PAIRS)
def test_the_order_of_edges_and_the_names_of_nodes_do_not_matter(energy, form):
    conv, x = make_conv(energy, form=form), draw(N, C)
    got, shuffled = conv(x, EDGES), torch.randperm(EDGES.shape[1])
    torch.testing.assert_close(conv(x, EDGES[:, shuffled]), got)
    names = torch.randperm(N)
    renamed = torch.empty_like(x).index_copy(0, names, x)
    torch.testing.assert_close(conv(renamed, names[EDGES])[names], got)


@pytest.mark.parametrize("energy", ["lse", "rbm", "elliptical"])
def test_a_bipartite_graph_is_a_part_of_the_whole_one(energy):
    conv = make_conv(energy)
    sources, targets = draw(4, C), draw(3, C)
    edges = torch.tensor([[0, 3, 1, 2], [0, 0, 2, 2]])
    whole = conv(torch.cat([sources, targets]), edges + torch.tensor([[0], [4]]))
    torch.testing.assert_close(conv((sources, targets), edges), whole[4:])


def test_a_bipartite_graph_has_two_widths():
    conv = EnergyConv((5, 3), 8, heads=2, edge_dim=2)
    edges = torch.tensor([[0, 3], [1, 0]])
    out = conv((torch.randn(4, 5), torch.randn(2, 3)), edges, edge_attr=torch.randn(2, 2))
    assert out.shape == (2, 8)


@pytest.mark.parametrize("sparse", [to_torch_coo_tensor, to_torch_csr_tensor])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_a_sparse_adjacency_is_read_by_rows(sparse):
    conv, x = make_conv(), draw(N, C)
    with torch.sparse.check_sparse_tensor_invariants():
        adj_t = sparse(EDGES.flip(0), size=(N, N))
    torch.testing.assert_close(conv(x, adj_t), conv(x, EDGES))


def test_self_loops_replace_those_there_are():
    x, weight = draw(N, C), draw(EDGES.shape[1])
    looped, bare = make_conv(add_self_loops=True), make_conv()
    own = torch.arange(N).expand(2, -1)
    others = EDGES[0] != EDGES[1]
    edges = torch.cat([EDGES[:, others], own], 1)
    field = torch.cat([weight[others], weight.new_zeros(N)])
    torch.testing.assert_close(looped(x, EDGES, weight), bare(x, edges, field))


def test_features_of_edges_become_numbers_on_them():
    conv, x = make_conv(edge_dim=3), draw(N, C)
    attr, weight = draw(EDGES.shape[1], 3), draw(EDGES.shape[1])
    mapped = attr @ conv.edge.weight.T
    got = conv(x, EDGES, weight, attr)
    torch.testing.assert_close(got, conv(x, EDGES, mapped + weight[:, None]))
    single = make_conv(edge_dim=1)
    torch.testing.assert_close(
        single(x, EDGES, None, weight), single(x, EDGES, None, weight[:, None])
    )


@pytest.mark.parametrize("edges", [EDGES[:, :0], EDGES[:, [7]]])
@pytest.mark.parametrize("energy", ["lse", "rbm", "elliptical"])
def test_few_or_no_edges(energy, edges):
    out = make_conv(energy)(draw(N, C), edges)
    assert out.shape == (N, C)
    assert out.isfinite().all()


@pytest.mark.parametrize("energy", ["lse", "rbm", "elliptical"])
def test_no_nodes(energy):
    assert make_conv(energy)(draw(0, C), EDGES[:, :0]).shape == (0, C)


@pytest.mark.parametrize(
    ("energy", "form"), [(e, f) for e, f in PAIRS if e in ("lse", "l2_lse", "rbm", "elliptical")]
)
def test_first_and_second_derivatives(energy, form):
    conv = make_conv(energy, heads=1, form=form, channels=2)
    edges = torch.tensor([[0, 1, 2], [1, 2, 2]])
    x, weight = draw(3, 2).requires_grad_(), draw(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: conv(a[0], edges, a[1]), (x, weight))
    assert torch.autograd.gradgradcheck(lambda *a: conv(a[0], edges, a[1]), (x, weight))


def test_dropout_acts_in_training_only():
    conv, x = make_conv(dropout=0.9), draw(N, C)
    assert not torch.equal(conv(x, EDGES), conv(x, EDGES))
    conv.eval()
    assert torch.equal(conv(x, EDGES), conv(x, EDGES))
    assert torch.equal(conv(x, EDGES), make_conv()(x, EDGES))


def test_an_uneven_graph_costs_what_its_edges_cost():
    """A hub with many neighbours: the segment form makes no block of nodes times degree."""
    hub, count = make_conv(), 3000
    edges = torch.stack([torch.arange(count), torch.zeros(count, dtype=torch.long)])
    sizes = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            sizes.append(out.numel() if isinstance(out, torch.Tensor) else 0)
            return out

    with Sizes(), torch.no_grad():
        hub(draw(count, C), edges)
    assert max(sizes) <= count * C


def test_a_bias_that_mixes_patterns_has_no_segment_form(tmp_path):
    """Summed field on every score: a softmax over all patterns, but no sum of separate elements."""
    path = tmp_path / "mixed.yaml"
    path.write_text(
        "version: 1\nenergies:\n  mixed:\n    title: Mixed\n    reference: none\n"
        "    formula: 0.5*|xi|^2 - lse(beta * X @ xi + h * sum_n(h))/beta\n"
        "    parameters:\n      beta: {init: 1.0, constraint: positive}\n"
        "    quadratic: 1.0\n    step_size: {default: 1.0}\n    steps: {default: 1}\n"
    )
    registry = load_registry(path, plugins=False)
    energy = make_energy("mixed", dim=3, registry=registry)
    assert energy.is_attention
    assert not has_segments(energy)


def test_it_takes_the_place_of_graph_attention():
    """The same call and the same shapes as PyTorch Geometric's own layer."""
    x, attr = torch.randn(N, C), torch.randn(EDGES.shape[1], 3)
    theirs = GATConv(C, 4, heads=2, edge_dim=3)(x, EDGES, attr)
    assert EnergyConv(C, 8, heads=2, edge_dim=3)(x, EDGES, edge_attr=attr).shape == theirs.shape


def test_settings_of_layers_are_understood_by_the_padded_form():
    settings = {"learn_step_size": "per_step", "energy_per_step": True, "step_size": 0.7}
    conv, x = make_conv(steps=3, **settings), draw(N, C)
    assert conv.relaxation.form == "padded"
    dense = EnergyAttention(C, H, "lse", steps=3, registry=REGISTRY, **settings).double()
    for name, module in dense.projections.named_children():
        module.load_state_dict(getattr(conv, name).state_dict())
    torch.testing.assert_close(conv(x, EDGES), dense(x[None], mask=adjacency())[0])
    with torch.no_grad():
        for parameter in conv.relaxation.parameters():
            parameter.add_(1.0)
    conv.reset_parameters()
    fresh = make_conv(steps=3, **settings).relaxation.state_dict()
    torch.testing.assert_close(dict(conv.relaxation.state_dict()), dict(fresh))


@pytest.mark.parametrize("never", [-math.inf, -1e9])
@pytest.mark.parametrize("read", ["weights", "state"])
@pytest.mark.parametrize(
    ("energy", "form"),
    [
        *[(e, f) for e in ("lse", "l2_lse") for f in ("segments", "padded")],
        ("0.5*|xi|^2 - lse(X@xi - h)", "segments"),
        ("sparsemax", "padded"),
    ],
)
def test_edges_whose_numbers_say_never_are_no_edges(energy, form, read, never):
    """Also where they are all edges of a node, for all heads or for one."""
    conv, x = make_conv(energy, form=form, read=read), draw(N, C)
    edges = torch.tensor([[0, 2, 3, 1, 4, 5, 0], [1, 1, 0, 0, 4, 4, 4]])  # of the nodes 0, 1, 4
    cut = torch.tensor([True, True, False, True, False, False, True])

    def outcome(edges, numbers):
        numbers = numbers.clone().requires_grad_()
        out = conv(x, edges, torch.where(torch.isfinite(numbers), numbers, never))
        parameters = [p for p in conv.parameters() if p.requires_grad]
        return out, torch.autograd.grad(
            out.cos().sum(), parameters, allow_unused=True, materialize_grads=True
        )

    numbers = draw(7, H)
    hidden = torch.where(cut[:, None], -math.inf, numbers)
    torch.testing.assert_close(outcome(edges, hidden), outcome(edges[:, ~cut], numbers[~cut]))
    hidden = torch.where(cut[:, None] & torch.tensor([True, False]), -math.inf, numbers)
    out, slopes = outcome(edges, hidden)
    assert out.isfinite().all()
    assert all(slope.isfinite().all() for slope in slopes)
    assert not torch.allclose(out[1], outcome(edges[:, ~cut], numbers[~cut])[0][1])
