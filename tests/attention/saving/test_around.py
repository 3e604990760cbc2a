"""Layers with maps of their own around heads, saved whole: drop-ins, and layers on graphs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

import attenergy
from attenergy.attention.graphs import EnergyGNN
from attenergy.attention.saving.weights import SavedError
from attenergy.registry import ArgumentError
from tests.attention.conftest import REGISTRY
from tests.attention.graphs.conftest import ON_GRAPHS
from tests.attention.saving.conftest import (
    EDGES,
    MADE,
    Doubled,
    X,
    check_same,
    conv,
    gnn,
    multihead,
)


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


def network(**options):
    return gnn(8, 6, num_layers=2, out_channels=5, **options)


OTHER = {
    "steps of one layer": lambda m: setattr(m.convs[0].relaxation, "steps", 7),
    "dropout of one layer": lambda m: setattr(m.convs[0], "dropout", 0.5),
    "dropout of the network": lambda m: setattr(m.dropout, "p", 0.5),
    "activation with an option": lambda m: setattr(m, "act", nn.LeakyReLU(0.5)),
    "another normalisation": lambda m: m.norms.__setitem__(0, nn.LayerNorm(6)),
    "option of a normalisation": lambda m: setattr(m.norms[0], "eps", 1.0),
    "mode of a normalisation": lambda m: setattr(m.norms[0], "mode", "node"),
    "width": lambda m: setattr(m.convs[0], "out", nn.Linear(m.convs[0].out.in_features, 9)),
    "one layer more": lambda m: setattr(m, "num_layers", 3),
    "direction of edges": lambda m: setattr(m.convs[0], "flow", "target_to_source"),
    "a layer of another kind": lambda m: m.convs.__setitem__(0, GCNConv(8, 6)),
    "a layer with a forward": lambda m: m.convs.__setitem__(
        0, Doubled(8, 6, 2, head_dim=3, add_self_loops=True, registry=REGISTRY)),
    "dropout that is none": lambda m: setattr(m.convs[0], "dropout", 1.5),
    "a flag that is none": lambda m: setattr(m.convs[0], "add_self_loops", "yes"),
}  # fmt: skip


@pytest.mark.parametrize("change", OTHER)
def test_a_network_that_its_arguments_do_not_make_is_refused(change, tmp_path):
    module = network(norm="LayerNorm")
    OTHER[change](module)
    with pytest.raises(ArgumentError):
        module.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


FOLLOWED = {
    "no activation": lambda: network(act=None),
    "an activation as a module": lambda: network(act=nn.Tanh()),
    "options that are the usual ones": lambda: network(norm="LayerNorm", norm_kwargs={}),
    "in place": lambda: network(act_kwargs={"inplace": True}),
    "last layer": lambda: network(jk="last", norm="GraphNorm"),
    "one layer and a normalisation": lambda: gnn(8, 6, num_layers=1, norm="LayerNorm"),
    "sizes of numpy": lambda: gnn(np.int64(8), np.int64(6), num_layers=np.int64(2)),
}
SET = {
    "no activation": lambda m: setattr(m, "act", None),
    "another activation": lambda m: setattr(m, "act", nn.ELU()),
    "activation first": lambda m: setattr(m, "act_first", True),
    "another step size in all": lambda m: [setattr(c.relaxation, "steps", 3) for c in m.convs],
    "another solver in all": lambda m: [
        setattr(c.relaxation, "solver", "coordinate_descent") for c in m.convs
    ],
}


@pytest.mark.parametrize("name", [*FOLLOWED, *SET])
def test_a_network_as_it_is_now_is_saved(name, tmp_path):
    module = FOLLOWED[name]() if name in FOLLOWED else network(norm="LayerNorm", steps=2)
    if name in SET and name not in FOLLOWED:
        SET[name](module)
    check_same(module, attenergy.load(module.save_pretrained(tmp_path / "saved")), (X, EDGES))


def test_a_network_is_a_layer_and_a_model(tmp_path):
    folder = network().save_pretrained(tmp_path / "saved")
    assert isinstance(attenergy.load(folder, part="model"), EnergyGNN)


def test_a_sub_class_with_a_constructor_of_its_own_is_saved_as_what_it_is(tmp_path):
    class Mine(EnergyGNN):
        def __init__(self, hidden, sizes=()):
            super().__init__(8, hidden, 3, heads=2, norm="LayerNorm", act=None)

        def build(self):  # a name that users take
            return self

    module = Mine(6, sizes=(1, 2))
    again = attenergy.load(module.save_pretrained(tmp_path / "saved"))
    assert type(again) is EnergyGNN
    torch.testing.assert_close(again.eval()(X, EDGES), module.eval()(X, EDGES))


def test_a_width_that_came_with_the_weights_is_known(tmp_path):
    module = conv(-1, 4, heads=2)
    module.load_state_dict(conv(8, 4, heads=2).state_dict())
    again = attenergy.load(module.save_pretrained(tmp_path / "saved"))
    torch.testing.assert_close(again(X, EDGES), module(X, EDGES))


def test_another_solver_or_backend_changes_the_form_of_sets():
    heads = conv(8, 4, heads=2, steps=3).relaxation
    assert heads.form == "segments"
    heads.solver = "coordinate_descent"
    assert heads.form == "padded"
    heads.solver = "descent"
    assert heads.form == "segments"
    heads.backend = "eager"
    assert heads.form == "padded"
    fixed = conv(8, 4, heads=2, steps=3, form="segments").relaxation
    with pytest.raises(ArgumentError, match="no form 'segments'"):
        fixed.solver = "coordinate_descent"
    assert fixed.solver == "descent"
    with pytest.raises(ValueError, match="no form 'nonsense'"):
        fixed.form = "nonsense"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gnn(-1, 6, num_layers=2), "in_channels is -1"),
        (lambda: conv(-1, 6, 2), "before it has seen features of sources and targets"),
        (lambda: network(act=torch.tanh), "an activation that is no module has no name"),
    ],
)
def test_what_nobody_could_read_is_said(make, words, tmp_path):
    with pytest.raises(ArgumentError, match=words):
        make().save_pretrained(tmp_path / "saved")


@pytest.mark.parametrize("name", ["conv", "network", "aggregation", "multihead"])
@pytest.mark.parametrize(
    "change",
    [
        {"in_channels": 10**12, "channels": 10**12, "kdim": 10**12},
        {"num_layers": 10**9, "add_zero_attn": "no"},
        {"norm": "os.system", "act": "__import__", "read": "thoughts"},
        {"unheard_of": 1},
        {"in_channels": "many", "steps": -1},
        {"registry": "mine", "dtype": "float64"},
        {"heads": 2, "device": "meta"},
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
