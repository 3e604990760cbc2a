"""Layers with maps of their own around heads, saved whole: drop-ins, and layers on graphs."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import attenergy
from attenergy.attention.graphs import EnergyAggregation, EnergyConv, EnergyGNN
from attenergy.attention.saving.weights import SavedError
from attenergy.registry import ArgumentError
from tests.attention.conftest import LAYERS, REGISTRY
from tests.attention.graphs.conftest import ON_GRAPHS

EDGES = torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]])
SETS = torch.tensor([0, 0, 1])
X, SMALL = torch.randn(3, 8), torch.randn(3, 6)
SEQUENCE = torch.randn(2, 5, 8)


def conv(*args, **options):
    return EnergyConv(*args, registry=REGISTRY, **options)


def gnn(*args, **options):
    return EnergyGNN(*args, registry=REGISTRY, heads=2, **options)


def multihead(**options):
    return attenergy.EnergyMultiheadAttention(8, 2, batch_first=True, registry=REGISTRY, **options)


def aggregation(**options):
    return EnergyAggregation(8, 2, registry=REGISTRY, **options)


def exchanged():
    return attenergy.EnergyMultiheadAttention.from_multihead(
        nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True), "rbm", registry=REGISTRY
    )


MADE = {
    "conv": (lambda: conv(8, 4, heads=2, steps=2), (X, EDGES)),
    "conv of a pair": (
        lambda: conv((8, 6), 4, 2, "rbm", bias=False, dropout=0.1), ((X, SMALL), EDGES)),
    "conv with edges": (
        lambda: conv(8, 4, 2, "entmax", head_dim=5, edge_dim=3, add_self_loops=True),
        (X, EDGES, None, torch.randn(4, 3))),
    "conv that saw its width": (lambda: conv((-1, -1), 4, 2), ((X, SMALL), EDGES)),
    "conv that was read by state": (
        lambda: conv(8, 4, 2, "classical_hopfield", steps=3), (X, EDGES)),
    "conv of padded sets": (lambda: conv(8, 4, 2, form="padded", solver="fixed_point"), (X, EDGES)),
    "network": (
        lambda: gnn(8, 6, num_layers=3, out_channels=5, energy="lse", steps=2), (X, EDGES)),
    "network of many arguments": (
        lambda: gnn(
            8, 6, 2, 5, 0.2, "gelu", norm="batch_norm", jk="cat", act_first=True, bias=False),
        (X, EDGES)),
    "network that saw its width": (lambda: gnn(-1, 6, num_layers=2), (X, EDGES)),
    "network of one layer": (lambda: gnn((8, 6), 4, num_layers=1), ((X, SMALL), EDGES)),
    "aggregation": (lambda: aggregation(energy="sparsemax", steps=3, bias=False), (X, SETS)),
    "multihead": (lambda: multihead(steps=2, beta=3.0, dropout=0.1), (SEQUENCE,) * 3),
    "multihead of widths": (
        lambda: multihead(kdim=5, vdim=7, bias=False, add_zero_attn=True),
        (SEQUENCE, torch.randn(2, 4, 5), torch.randn(2, 4, 7))),
    "multihead in exchange": (exchanged, (SEQUENCE,) * 3),
}  # fmt: skip
NETWORKS = [name for name in MADE if name.startswith("network")]


def tensors(output):
    return [x for x in output if x is not None] if isinstance(output, tuple) else [output]


def check_same(module, again, inputs):
    assert type(again) is type(module)
    assert again.training
    outputs = [tensors(m.eval()(*inputs)) for m in (module, again)]
    for one, other in zip(*outputs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", MADE)
def test_what_is_read_computes_what_was_saved(name, tmp_path):
    make, inputs = MADE[name]
    module = make()
    module(*inputs)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder = module.save_pretrained(tmp_path / "saved")
    check_same(module, type(module).from_pretrained(folder), inputs)
    check_same(module, attenergy.load(folder), inputs)
    said = [m.description().model_dump(exclude={"name"}) for m in (module, attenergy.load(folder))]
    assert said[0] == said[1]
    card = (folder / "README.md").read_text()
    assert "attenergy.load(" in card


@pytest.mark.parametrize("energy", ON_GRAPHS)
def test_every_energy_that_stands_on_a_graph(energy, tmp_path):
    module = conv(8, 4, heads=2, energy=energy)
    check_same(module, attenergy.load(module.save_pretrained(tmp_path / "saved")), (X, EDGES))


def test_what_is_changed_later_is_saved(tmp_path):
    module = multihead()
    module.heads.steps, module.heads.step_size, module.dropout = 3, 0.5, 0.25
    again = attenergy.load(module.save_pretrained(tmp_path / "saved"))
    assert (again.heads.steps, again.heads.step_size, again.dropout) == (3, 0.5, 0.25)
    layer = conv(8, 4, heads=2)
    layer.relaxation.steps, layer.dropout, layer.add_self_loops = 2, 0.5, True
    again = attenergy.load(layer.save_pretrained(tmp_path / "layer"))
    assert (again.relaxation.steps, again.dropout, again.add_self_loops) == (2, 0.5, True)


CHANGES = {
    "steps of one layer": lambda m: setattr(m.convs[0].relaxation, "steps", 7),
    "dropout of one layer": lambda m: setattr(m.convs[0], "dropout", 0.5),
    "dropout of the network": lambda m: setattr(m.dropout, "p", 0.5),
    "activation": lambda m: setattr(m, "act", nn.Tanh()),
    "normalisation": lambda m: m.norms.__setitem__(0, nn.LayerNorm(6)),
    "width": lambda m: setattr(m.convs[0], "out", nn.Linear(m.convs[0].out.in_features, 9)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_that_is_not_what_its_arguments_say_is_refused(change, tmp_path):
    module = gnn(8, 6, num_layers=2, out_channels=5)
    CHANGES[change](module)
    with pytest.raises(ArgumentError, match=r"cannot be (saved|described)"):
        module.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gnn(8, 6, num_layers=2, act=nn.Tanh()), "made with act of a kind other"),
        (lambda: gnn(8, 6, num_layers=2, act_kwargs={"inplace": True}), "made with act_kwargs"),
        (lambda: gnn(-1, 6, num_layers=2), "before its first input: in_channels is -1"),
        (lambda: conv(-1, 6, 2), "before its first input"),
    ],
)
def test_what_no_folder_can_hold_is_said(make, words, tmp_path):
    with pytest.raises(ArgumentError, match=words):
        make().save_pretrained(tmp_path / "saved")


EVERY = {name: make for name, (make, _) in MADE.items() if "saw its width" not in name} | LAYERS


def a_matrix(module):
    """A module and the name of a matrix that it holds."""
    return next(
        (m, name)
        for m in module.modules()
        for name, parameter in m.named_parameters(recurse=False)
        if parameter.ndim == 2
    )


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "add",
    [
        lambda m, n: prune.random_unstructured(m, n, 0.5),
        parametrizations.weight_norm,
        lambda m, _: m.add_module("adapter", nn.Linear(2, 2)),
    ],
    ids=["pruned", "parametrised", "adapted"],
)
def test_what_would_not_be_read_again_is_not_written(name, add, tmp_path):
    module = EVERY[name]()
    add(*a_matrix(module))
    with pytest.raises(ArgumentError, match=r"cannot be saved: what is built by its arguments"):
        module.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_what_was_made_permanent_is_saved(tmp_path):
    module = multihead()
    parametrizations.weight_norm(module.out_proj)
    nn.utils.parametrize.remove_parametrizations(module.out_proj, "weight")
    inputs = (SEQUENCE,) * 3
    check_same(module, attenergy.load(module.save_pretrained(tmp_path / "saved")), inputs)


@pytest.mark.parametrize("name", ["conv", "network", "aggregation", "multihead"])
@pytest.mark.parametrize(
    "change",
    [
        {"in_channels": 10**12, "channels": 10**12, "kdim": 10**12},
        {"num_layers": 10**9, "add_zero_attn": "no"},
        {"norm": "os.system", "act": "__import__", "read": "thoughts"},
        {"unheard_of": 1},
        {"in_channels": "many", "steps": -1},
    ],
)
def test_a_changed_description_is_an_error_of_saving(name, change, tmp_path):
    folder = MADE[name][0]().save_pretrained(tmp_path / "saved")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["layer"]["settings"] |= change
    path.write_text(json.dumps(config))
    with pytest.raises(SavedError):
        attenergy.load(folder)


@pytest.mark.parametrize("name", ["conv", "network"])
def test_a_description_without_a_size_is_an_error(name, tmp_path):
    folder = MADE[name][0]().save_pretrained(tmp_path / "saved")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    del config["layer"]["settings"]["in_channels"]
    path.write_text(json.dumps(config))
    with pytest.raises(SavedError, match="needs in_channels"):
        attenergy.load(folder)
