"""Networks of energy layers, graph transformers and explanations."""

from __future__ import annotations

import copy

import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks
from torch_geometric.nn import GCNConv, GPSConv

from attenergy.attention.graphs import EnergyConv, EnergyGNN, energize_gps
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
N, C = 6, 8
#: 0 -> 1 -> 2 and 3 -> 4 -> 5, with a self-loop on 2.
EDGES = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 2, 4, 5]])


@pytest.mark.parametrize("jk", [None, "last", "cat", "max", "lstm"])
@pytest.mark.parametrize("energy", ["lse", "polynomial"])
def test_a_deep_network_with_jumping_knowledge(energy, jk):
    model = EnergyGNN(
        5, C, 3, out_channels=7, norm="LayerNorm", jk=jk, dropout=0.1,
        energy=energy, heads=4, steps=2, edge_dim=2, registry=REGISTRY,
    ).double()  # fmt: skip
    attr, weight = draw(5, 2), draw(5)
    out = model(draw(N, 5), EDGES, edge_weight=weight, edge_attr=attr)
    assert out.shape == (N, 7)
    out.square().sum().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing
    assert [conv.energy.dim for conv in model.convs] == [2, 2, 2]


def test_information_travels_one_edge_per_layer():
    x = draw(N, C).requires_grad_()
    for depth, reached in ((1, [4, 5]), (2, [3, 4, 5]), (3, [3, 4, 5])):
        model = EnergyGNN(C, C, depth, heads=2, registry=REGISTRY).double()
        (slopes,) = torch.autograd.grad(model(x, EDGES)[5].square().sum(), x)
        assert slopes.abs().sum(1).nonzero().flatten().tolist() == reached


def test_without_self_loops_a_node_reads_its_neighbours_alone():
    """Node 5 sees node 4 alone, which sees node 3 alone: a softmax over one weight is 1."""
    x = draw(N, C).requires_grad_()
    model = EnergyGNN(C, C, 2, heads=2, add_self_loops=False, registry=REGISTRY).double()
    (slopes,) = torch.autograd.grad(model(x, EDGES)[5].square().sum(), x)
    assert slopes.abs().sum(1).nonzero().flatten().tolist() == [3]


def test_a_network_is_set_back_and_refuses_what_does_not_fit():
    model = EnergyGNN(C, C, 2, heads=2, registry=REGISTRY)
    before = model.convs[0].query.weight.clone()
    model.reset_parameters()
    assert not torch.equal(model.convs[0].query.weight, before)
    with pytest.raises(ValueError, match="multiple of heads"):
        EnergyGNN(C, C, 2, heads=3)
    with pytest.raises(ValueError, match="in_channels"):
        EnergyGNN(0, C, 2)


def graphs():
    """Two graphs of 4 and 2 nodes in one batch."""
    edges = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 0, 5]])
    return draw(N, C), edges, torch.tensor([0, 0, 0, 0, 1, 1])


def gps(**options):
    torch.manual_seed(0)
    return GPSConv(C, GCNConv(C, C), heads=2, norm=None, **options).double()


def test_log_sum_exp_leaves_a_graph_transformer_as_it_was():
    conv, inputs = gps(), graphs()
    want = conv(*inputs)
    assert energize_gps(conv, registry=REGISTRY) is conv
    torch.testing.assert_close(conv(*inputs), want)
    with torch.no_grad():
        torch.testing.assert_close(conv.eval()(*inputs), want)


@pytest.mark.parametrize("train", [True, False])
def test_a_graph_transformer_calls_the_energy(train, monkeypatch):
    conv = energize_gps(gps(), "rbm", steps=2, registry=REGISTRY).train(train)
    calls = []
    run = type(conv.attn).forward
    monkeypatch.setattr(
        type(conv.attn), "forward", lambda self, *a, **k: calls.append(1) or run(self, *a, **k)
    )
    with torch.set_grad_enabled(train):
        out = conv(*graphs())
    assert (len(calls), out.shape) == (1, (N, C))
    conv.reset_parameters()


@pytest.mark.parametrize("energy", ["rbm", "polynomial", "sparsemax", "elliptical"])
def test_graphs_of_a_batch_do_not_see_each_other(energy):
    conv, (x, edges, batch) = energize_gps(gps(), energy, steps=2, registry=REGISTRY), graphs()
    got = conv(x, edges, batch)
    torch.testing.assert_close(got[:4], conv(x[:4], edges[:, :4]))
    torch.testing.assert_close(got[4:], conv(x[4:], edges[:, 4:] - 4))


def test_every_layer_of_a_model_gets_the_energy():
    model = torch.nn.ModuleList([gps(), gps()])
    energize_gps(model, "rbm", registry=REGISTRY)
    assert [conv.attn.heads.energy.spec.title for conv in model] == [
        REGISTRY.energies["rbm"].title
    ] * 2
    assert model[0].attn is not model[1].attn
    for other in (GCNConv(C, C), gps(attn_type="performer")):
        with pytest.raises(ValueError, match="GPSConv"):
            energize_gps(other)


@pytest.mark.parametrize(
    ("energy", "read"), [("lse", "weights"), ("rbm", "state"), ("elliptical", "state")]
)
def test_an_explainer_sees_which_edges_count(energy, read):
    """Of the edges, those that cannot reach the node get 0, the others something in between."""
    torch.manual_seed(0)
    model = EnergyGNN(C, 4, 2, heads=2, energy=energy, steps=2, read=read, registry=REGISTRY)
    explainer = Explainer(
        model,
        GNNExplainer(epochs=3),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    x = torch.randn(N, C)
    result = explainer(x, EDGES, index=5).edge_mask
    assert result[[0, 1, 2]].eq(0).all()
    assert result[[3, 4]].gt(0).all()
    assert result.lt(1).all()
    assert explainer.get_prediction(x, EDGES).isfinite().all()


@pytest.mark.parametrize("form", ["padded", "segments"])
@pytest.mark.parametrize("looped", [False, True])
def test_an_edge_mask_scales_what_is_read(form, looped):
    conv = EnergyConv(C, C, 2, form=form, add_self_loops=looped, registry=REGISTRY).double()
    x, mask = draw(N, C), torch.tensor([0.5, 0.0, 0.3, 1.0, 0.0], dtype=torch.float64)
    _, (edges, weights) = conv(x, EDGES, return_attention_weights=True)
    remaining = mask
    if looped:  # its own loop comes last, in place of the one there was
        remaining = torch.cat([mask[EDGES[0] != EDGES[1]], mask.new_ones(N)])
    values = conv.value(x).view(N, 2, -1)[edges[0]] * (weights * remaining[:, None]).unsqueeze(-1)
    want = conv.out(torch.zeros(N, 2, C // 2).double().index_add(0, edges[1], values).flatten(1))
    plain = conv(x, EDGES)
    set_masks(conv, mask, EDGES, apply_sigmoid=False)
    torch.testing.assert_close(conv(x, EDGES), want)
    clear_masks(conv)
    torch.testing.assert_close(conv(x, EDGES), plain)


@pytest.mark.parametrize(("energy", "form"), [("lse", "segments"), ("rbm", "padded")])
def test_a_mask_of_ones_changes_nothing(energy, form):
    conv = EnergyConv(C, C, 2, energy, steps=3, read="state", form=form, registry=REGISTRY)
    x, plain = torch.randn(N, C), None
    plain = conv(x, EDGES)
    set_masks(conv, torch.ones(5), EDGES, apply_sigmoid=False)
    torch.testing.assert_close(copy.deepcopy(conv)(x, EDGES), plain)


def test_a_graph_transformer_keeps_what_its_attention_carries():
    """Frozen and tied weights, hooks, other attention; and its checkpoints load."""
    first, second = gps(), gps()
    second.attn.out_proj = first.attn.out_proj
    model = torch.nn.ModuleDict({"first": first, "second": second})
    model.other = copy.deepcopy(first.attn)
    model.requires_grad_(False)
    checkpoint, calls = copy.deepcopy(model.state_dict()), []
    first.attn.register_forward_hook(lambda *_: calls.append(1))
    x, edges, batch = graphs()
    want = first.eval()(x, edges, batch)
    for energy in ("rbm", "uhop", "lse"):
        assert energize_gps(model, energy, registry=REGISTRY) is model
    torch.testing.assert_close(first(x, edges, batch), want)
    assert len(calls) == 2
    assert second.attn.out_proj is first.attn.out_proj
    assert type(model.other) is torch.nn.MultiheadAttention
    assert all(".heads." in name for name, p in model.named_parameters() if p.requires_grad)
    assert not any(model.load_state_dict(checkpoint))


def test_every_parameter_of_a_graph_transformer_gets_a_gradient():
    x, edges, batch = graphs()
    for energy in ("uhop", "learned", "classical_hopfield", "energy_transformer"):
        model = energize_gps(gps(), energy, registry=REGISTRY)
        model(x, edges, batch).square().sum().backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_attention_that_computes_something_else_stays_in_a_graph_transformer():
    class Turned(torch.nn.MultiheadAttention):
        def forward(self, query, key, value, **more):
            return super().forward(query.flip(-1), key, value, **more)

    model = torch.nn.ModuleList([gps(), gps()])
    model[1].attn = Turned(C, 2, batch_first=True)
    with pytest.raises(ValueError, match=r"'1\.attn' is a Turned with its own forward"):
        energize_gps(model, registry=REGISTRY)
    assert type(model[0].attn) is torch.nn.MultiheadAttention
