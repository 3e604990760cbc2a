"""How EnergyConv is run, copied and saved, and what it refuses."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from attenergy.attention.graphs import EnergyConv
from tests.attention.conftest import REGISTRY, draw
from tests.attention.graphs.conftest import C, H, N, make_conv

EDGES = torch.tensor([[3, 0, 2, 1, 0, 4, 2, 5], [1, 1, 0, 2, 2, 4, 1, 3]])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("energy", ["lse", "rbm", "elliptical"])
def test_it_runs_without_recording_gradients(energy, mode):
    conv, x = make_conv(energy), draw(N, C)
    want = conv(x, EDGES)
    with mode():
        got = conv(x, EDGES)
    assert not got.requires_grad
    torch.testing.assert_close(got, want.detach())


@pytest.mark.long
@pytest.mark.parametrize(("energy", "form"), [("lse", "segments"), ("rbm", "padded")])
def test_it_compiles_as_one_graph(energy, form):
    """The padded form needs the largest degree, which the compiler must be told to carry."""
    conv, x = make_conv(energy, form=form), draw(N, C)
    torch.compiler.reset()
    with torch._dynamo.config.patch(capture_scalar_outputs=form == "padded"):
        compiled = torch.compile(conv, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x, EDGES), conv(x, EDGES))


def test_copies_and_saved_states():
    conv, x = make_conv("rbm", edge_dim=2), draw(N, C)
    attr = draw(EDGES.shape[1], 2)
    want = conv(x, EDGES, None, attr)
    other = EnergyConv(C, C, H, "rbm", steps=2, edge_dim=2, registry=REGISTRY).double()
    other.load_state_dict(conv.state_dict())
    for twin in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv)), other):  # noqa: S301
        assert torch.equal(twin(x, EDGES, None, attr), want)


def test_reset_draws_maps_anew_and_sets_the_energy_back():
    conv, start = make_conv(beta=2.0), make_conv(beta=2.0).energy.values()["beta"]
    before = conv.query.weight.clone()
    with torch.no_grad():
        for parameter in conv.energy.parameters():
            parameter.add_(1.0)
    conv.reset_parameters()
    torch.testing.assert_close(conv.energy.values()["beta"], start)
    assert not torch.equal(conv.query.weight, before)
    assert not conv.out.bias.any()


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        ("energy_transformer", "states alone"),
        ("graph_hopfield", "couples its states"),
        ("graph_memory", "in an order"),
        ("lze", "lse"),
        ("hyla", "mixer"),
    ],
)
def test_energies_that_cannot_stand_on_a_graph(energy, words):
    with pytest.raises(ValueError, match=words):
        EnergyConv(C, C, H, energy, registry=REGISTRY)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"form": "segment"}, "segments"),
        ({"energy": "rbm", "form": "segments"}, "has no form 'segments'"),
        ({"heads": 3}, "multiple of heads"),
        ({"heads": 0}, "heads must be at least 1"),
        ({"head_dim": 0}, "head_dim must be at least 1"),
        ({"edge_dim": 0}, "edge_dim must be at least 1"),
        ({"dropout": 1.0}, "dropout"),
        ({"steps": 0}, "steps"),
        ({"energy": "learned", "edge_dim": 2}, "reads no field"),
        ({"energy": "elliptical", "read": "weights"}, "no weights"),
        ({"bata": 1.0}, "beta"),
    ],
)
def test_options_that_do_not_fit(options, words):
    with pytest.raises(ValueError, match=words):
        EnergyConv(C, C, **({"heads": H, "registry": REGISTRY} | options))


def test_inputs_that_do_not_fit():
    conv, x, weight = make_conv(), draw(N, C), draw(EDGES.shape[1])
    for call, words in (
        (lambda: conv(x, EDGES + 1), "0 to 5, edge_index has 1 to 6"),
        (lambda: conv(x, EDGES.double()), "integers"),
        (lambda: conv(x, EDGES.bool()), "of int64 or int32, .* got .* of torch.bool"),
        (lambda: conv(x[:, 1:], EDGES), rf"\(N, {C}\), got \({N}, {C - 1}\) for the sources"),
        (lambda: conv((x, x[:, 1:]), EDGES), rf"\({N}, {C - 1}\) for the targets"),
        (lambda: conv(x, EDGES, weight[1:]), "edge_weight must be"),
        (lambda: conv(x, EDGES, None, weight), "no edge_dim"),
        (lambda: conv(x, EDGES, None, weight.long()), "no edge_dim"),
        (lambda: make_conv(edge_dim=2)(x, EDGES, None, weight), r"\(8, 2\)"),
        (lambda: make_conv("learned")(x, EDGES, weight), "reads no field"),
        (
            lambda: make_conv("learned")(x, EDGES, return_attention_weights=True),
            "read by its state",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            call()


FORMS = [("lse", "padded"), ("lse", "segments"), ("rbm", "padded")]


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("kind", [torch.int64, torch.uint8, torch.bool, torch.float32, torch.half])
@pytest.mark.parametrize(("energy", "form"), FORMS)
def test_features_of_edges_have_the_type_of_the_weights(energy, form, kind):
    """As those of nodes; a sparse adjacency brings them, too."""
    conv, x = make_conv(energy, edge_dim=1, form=form), draw(N, C)
    attr = torch.ones(EDGES.shape[1], 1).to(kind)
    adjacency = torch.sparse_coo_tensor(EDGES.flip(0), attr[:, 0], (N, N)).coalesce()
    for call in (lambda: conv(x, EDGES, None, attr), lambda: conv(x, adjacency)):
        with pytest.raises(ValueError, match=rf"edge_attr must be .*, got {kind}"):
            call()


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("width", [C, 2 * C])  # PyTorch adds up wide and narrow rows in two ways
@pytest.mark.parametrize(("energy", "form"), FORMS)
def test_edges_of_either_integer_type_are_the_same(energy, form, width, loops):
    conv, x = make_conv(energy, width, form=form, add_self_loops=loops), draw(N, width)
    want = conv(x, EDGES)
    torch.testing.assert_close(conv(x, EDGES.int()), want)
    there = torch.zeros(N, N, dtype=torch.float64)
    there[EDGES[1], EDGES[0]] = 1.0
    rows = there.to_sparse_csr()
    rows = torch.sparse_csr_tensor(
        rows.crow_indices().int(), rows.col_indices().int(), rows.values(), rows.shape
    )
    torch.testing.assert_close(conv(x, rows), want)


def test_edges_go_from_source_to_target_whatever_is_set_later():
    conv, x = make_conv(), draw(N, C)
    want = conv(x, EDGES)
    conv.flow = "target_to_source"
    with pytest.raises(ValueError, match=r"flow 'source_to_target' alone.*edge_index.flip\(0\)"):
        conv(x, EDGES)
    conv.flow = "source_to_target"
    torch.testing.assert_close(conv(x, EDGES), want)
