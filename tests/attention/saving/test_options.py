"""Whatever acts is saved, or refused when it is set."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import attenergy
from attenergy.attention import (
    EnergyAttention,
    LanguageModel,
    Transformer,
    make_mixer,
)
from attenergy.attention.saving.pretrained import describe
from attenergy.attention.saving.weights import SavedError
from attenergy.energies import make_energy
from tests.attention.conftest import LAYERS, REGISTRY, moved

ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in REGISTRY.energies}
#: Energies whose states are coupled by a graph and by nothing else.
COUPLED = [
    n
    for n, e in REGISTRY.energies.items()
    if "graph" in e.options and ENERGIES[n].states_interact and n != "spherical_spins"
]


def again(module, tmp_path):
    """The same after it was saved and loaded; both in evaluation mode."""
    folder = module.save_pretrained(tmp_path / "saved")
    part = "model" if isinstance(module, Transformer) else "layer"
    loaded = attenergy.load(folder, part=part)
    assert type(loaded) is type(module)
    assert type(type(module).from_pretrained(folder)) is type(module)
    module.eval()
    return loaded.eval()


def check_same(module, tmp_path, *inputs):
    loaded = again(module, tmp_path)
    assert torch.equal(loaded(*inputs), module(*inputs))
    return loaded


@pytest.mark.parametrize("kind", list(LAYERS))
def test_every_public_layer_is_saved(kind, tmp_path):
    check_same(moved(LAYERS[kind]()), tmp_path, torch.randn(2, 4, 8))


@pytest.mark.parametrize("kind", ["lookup", "pooling", "block"])
def test_every_public_layer_is_saved_with_its_options(kind, tmp_path):
    energies = {"attention": "hyper_set", "memory": "lse"} if kind == "block" else {"energy": "rbm"}
    more = {"steps": 3, "step_size": 0.05, "head_dim": 6, "beta": 2.0} | energies
    layer = moved(LAYERS[kind](**more))
    loaded = check_same(layer, tmp_path, torch.randn(2, 4, 8))
    assert describe(loaded).settings == describe(layer).settings
    assert describe(loaded).memory == describe(layer).memory


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 5), ("step_size", 0.3), ("solver", "coordinate_descent"), ("dropout", 0.4)],
)
@pytest.mark.parametrize("kind", ["attention", "lookup", "pooling"])
def test_options_that_were_set_later_are_saved(kind, name, value, tmp_path):
    layer = moved(LAYERS[kind](energy="lse", steps=2, beta=4.0))
    target = layer.attention if kind == "pooling" else layer
    setattr(target, name, value)
    loaded = check_same(layer, tmp_path, torch.randn(2, 4, 8))
    assert getattr(loaded.attention if kind == "pooling" else loaded, name) == value


def test_the_backend_and_the_steps_of_a_solver_are_saved(tmp_path):
    layer = moved(LAYERS["attention"](energy="lse"))
    layer.backend, layer.solver = "scores", "fixed_point"
    loaded = check_same(layer, tmp_path, torch.randn(2, 4, 8))
    assert (loaded.backend, loaded.solver, loaded.steps) == ("scores", "fixed_point", 1)


def test_options_of_the_block_and_of_models_are_saved(tmp_path):
    block = moved(LAYERS["block"]())
    block.steps, block.step_size = 3, 0.2
    check_same(block, tmp_path, torch.randn(2, 4, 8))
    model = moved(
        Transformer(
            kind="vector", size=8, outputs=3, length=6, layers=1, width=8, heads=2, mlp=4,
            positions="none", make_layer=LAYERS["attention"],
        )
    )  # fmt: skip
    model.causal = True
    assert check_same(model, tmp_path / "model", torch.randn(2, 4, 8)).causal


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("window", "window", 2), ("top_k", "kept", 1), ("hyla", "dropout", 0.5)],
)
def test_options_of_mixers_are_saved(name, option, value, tmp_path):
    mixer = moved(make_mixer(name, embed_dim=8, num_heads=2, registry=REGISTRY))
    setattr(mixer, option, value)
    assert getattr(check_same(mixer, tmp_path, torch.randn(2, 6, 8)), option) == value


def test_lists_and_numbers_of_numpy_are_saved(tmp_path):
    scaled = moved(
        make_mixer("attention_sh", embed_dim=8, num_heads=2, scales=[1, 3], registry=REGISTRY)
    )
    check_same(scaled, tmp_path / "a", torch.randn(2, 6, 8))
    numbers = {"steps": np.int64(2), "step_size": np.float32(0.5), "head_dim": np.int32(3)}
    layer = moved(LAYERS["attention"](energy="lse", beta=np.float64(2.0), **numbers))
    assert check_same(layer, tmp_path / "b", torch.randn(2, 6, 8)).step_size == 0.5


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (LAYERS["attention"], "read", "state"),
        (LAYERS["attention"], "num_heads", 4),
        (LAYERS["attention"], "steps", 0),
        (LAYERS["attention"], "steps", 1.5),
        (LAYERS["attention"], "step_size", float("inf")),
        (LAYERS["attention"], "step_size", float("nan")),
        (LAYERS["attention"], "solver", "langevin"),
        (LAYERS["attention"], "solver", "semi_implicit"),
        (LAYERS["attention"], "backend", "sdpaa"),
        (LAYERS["attention"], "dropout", 1.0),
        (lambda: LAYERS["attention"](steps=3, energy_per_step=True), "steps", 4),
        (lambda: LAYERS["attention"](steps=3, energy_per_step=True), "solver", "fixed_point"),
        (lambda: LAYERS["attention"](steps=3, learn_step_size="per_step"), "steps", 4),
        (lambda: LAYERS["attention"](steps=3, learn_step_size="shared"), "steps", 1),
        (lambda: LAYERS["attention"](steps=3, learn_step_size="shared"), "step_size", 0.5),
        (lambda: LAYERS["attention"](steps=3, learn_step_size="shared"), "solver", "fixed_point"),
        (lambda: LAYERS["attention"](rotary=True).projections.preparation, "rotary_base", 5.0),
        (LAYERS["block"], "steps", 0),
        (LAYERS["block"], "step_size", float("inf")),
        (lambda: make_mixer("window", embed_dim=8, num_heads=2), "window", 0),
        (lambda: make_mixer("hyla", embed_dim=8, num_heads=2), "normalize", "softmax"),
        (lambda: make_mixer("hyla", embed_dim=8, num_heads=2), "value_network", "linear"),
        (lambda: make_mixer("attention_sh", embed_dim=8, num_heads=2), "scales", (1, 4)),
        (lambda: LanguageModel(vocabulary=5, length=4, width=8, heads=2, layers=1, mlp=0,
                               make_layer=LAYERS["attention"]), "causal", False),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused(make, name, value):
    module = make()
    before = getattr(module, name)
    with pytest.raises(ValueError, match=name):
        setattr(module, name, value)
    assert getattr(module, name) == before
    setattr(module, name, before) if name != "step_size" else None


def test_what_rests_follows_the_number_of_steps():
    layer = LAYERS["attention"](energy="graph_hopfield", read="weights", steps=1)
    coupling = layer.energy.parameters_.raw["coupling"]
    assert not coupling.requires_grad
    layer.steps = 2
    assert coupling.requires_grad
    layer.steps = 1
    assert not coupling.requires_grad


@pytest.mark.parametrize("name", COUPLED)
def test_a_graph_reaches_the_energies_of_all_steps(name):
    layer = LAYERS["attention"](energy=name, steps=3, energy_per_step=True, read="state")
    x, context = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    other = x.clone()
    other[:, 4] += 1.0
    change = {True: [], False: []}
    for call in (layer.energy.use_graph, layer.use_graph):
        call(torch.zeros(5, 5))  # no edges: nothing couples the states
        stored = () if not layer.energy.reads_patterns else (context,)
        change[True].append((layer(other, *stored) - layer(x, *stored))[:, 0])
        call(torch.ones(5, 5) - torch.eye(5))
        change[False].append((layer(other, *stored) - layer(x, *stored))[:, 0])
    for alone, joined in zip(*change.values(), strict=True):
        torch.testing.assert_close(alone, torch.zeros_like(alone), atol=1e-5, rtol=0)
        assert joined.abs().max() > 1e-5


@pytest.mark.parametrize("nodes", [5, 120])
@pytest.mark.parametrize("per_step", [False, True])
def test_a_graph_of_ones_own_is_saved(per_step, nodes, tmp_path):
    """As a matrix, and of many nodes as a list of edges."""

    def make():
        return LAYERS["attention"](energy="graph_hopfield", steps=2, energy_per_step=per_step)

    layer = make().use_graph(nx.cycle_graph(nodes))
    model = Transformer(
        kind="vector", size=8, outputs=3, length=nodes, layers=1, width=8, heads=2, mlp=4,
        positions="none", make_layer=lambda: layer,
    )  # fmt: skip
    x = torch.randn(2, nodes, 8)
    plain = make()
    plain.load_state_dict({n: t for n, t in layer.state_dict().items() if "own_graph" not in n})
    assert not torch.allclose(plain(x), layer(x))
    for name, module in (("layer", layer), ("model", model)):
        check_same(module, tmp_path / name, x)


def test_a_saved_graph_that_is_none_is_refused(tmp_path):
    layer = LAYERS["attention"](energy="graph_hopfield").use_graph(nx.cycle_graph(120))
    folder = layer.save_pretrained(tmp_path / "layer")
    state = load_file(folder / "model.safetensors")
    name = next(n for n in state if n.endswith("own_graph_pairs"))
    for change, message in (
        (lambda t: t + 1, "edges join nodes 0 to 119"),
        (torch.Tensor.float, "whole numbers"),
    ):
        save_file(state | {name: change(state[name])}, folder / "model.safetensors")
        with pytest.raises(SavedError, match=message):
            EnergyAttention.from_pretrained(folder)


def test_a_layer_that_is_on_no_graph_takes_none():
    with pytest.raises(ValueError, match="is on no graph"):
        LAYERS["attention"](energy="lse").use_graph(torch.zeros(3, 3))
