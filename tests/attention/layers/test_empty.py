"""No samples, no states or no patterns: as `nn.MultiheadAttention` takes them, everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attenergy.attention import (
    AssociativeMemory,
    EnergyAttention,
    LanguageModel,
    Transformer,
    backends,
    make_mixer,
    relax,
)
from attenergy.attention.memory.retrieval_model import Retrieval
from attenergy.attention.solvers.catalogue import check_solver, trainable
from attenergy.energies import make_energy
from attenergy.testing.cases import float64
from tests.attention.conftest import LAYERS, REGISTRY, draw, model_sizes

NAMES = list(REGISTRY.energies)
#: (B, L, S)
SHAPES = ((0, 3, 4), (2, 0, 4), (2, 3, 0), (2, 0, 0))
E = 8


def solvers(energy):
    for solver in trainable():
        try:
            check_solver(solver, energy)
        except ValueError:
            continue
        yield solver


def ways(name):
    """Options of layers that reach every solver of an energy and every backend, but `traced`."""
    energy = make_energy(name, dim=4, num_heads=2, registry=REGISTRY)
    yield from ({"backend": b} for b in ("auto", *backends(energy)) if b != "traced")
    yield from ({"solver": s} for s in solvers(energy))


def checked(layer, b, length, *context, **given):
    """What a layer gives, of the right shape; every trained parameter gets a derivative of 0."""
    layer.zero_grad()
    out = layer(draw(b, length, E), *context, **given)
    assert out.shape == (b, length, E)
    assert out.isfinite().all()
    out.sum().backward()
    for name, p in layer.named_parameters():
        assert not p.requires_grad or (p.grad is not None and p.grad.isfinite().all()), name
    return out


def hidden(b, stored):
    return torch.zeros(b, 1, 1, stored, dtype=torch.bool)


@pytest.mark.by_kind("lse", "elliptical", "graph_hopfield")
@pytest.mark.parametrize("name", NAMES)
def test_layers_take_nothing(name):
    for way in ways(name):
        check_that_it_takes_nothing(name, **way)


@pytest.mark.long
@pytest.mark.by_kind("elliptical")  # two seconds each, for four traces
@pytest.mark.parametrize("name", NAMES)
def test_traced_layers_take_nothing(name):
    check_that_it_takes_nothing(name, backend="traced")


def check_that_it_takes_nothing(name, **way):
    with float64():
        layer = EnergyAttention(E, 2, name, steps=2, registry=REGISTRY, **way)
    bias = layer.projections.out.bias.detach()
    checked(layer, 2, 0)
    for b, length, stored in SHAPES:
        if not layer.energy.reads_patterns:
            checked(layer, b, min(length, stored))
            continue
        out = checked(layer, b, length, draw(b, stored, E))
        checked(layer, b, length, draw(b, stored, E), mask=hidden(b, stored))
        if layer.read == "weights" and not stored:
            torch.testing.assert_close(out, bias.expand_as(out), msg=lambda m: f"{way}: {m}")


@pytest.mark.parametrize("name", NAMES)
def test_states_without_patterns_stay_where_they_are(name):
    energy = make_energy(name, dim=4, registry=REGISTRY).double()
    if not energy.reads_patterns:
        pytest.skip("an energy of the states alone")
    xi = energy.from_real(draw(2, 3, 4))
    got = relax(energy, xi, draw(2, 0, 4), steps=2, trace=True)
    torch.testing.assert_close(got.state, xi)
    assert not got.residuals.any()
    assert not got.energies.any()
    nothing = relax(energy, draw(2, 0, 4), draw(2, 5, 4), steps=2, trace=True)
    joint = energy.states_interact
    assert nothing.energies.shape == ((3, 2) if joint else (3, 2, 0))


def test_weights_of_no_patterns_and_of_no_states():
    with float64():
        layer = EnergyAttention(E, 2, "lse", steps=2, registry=REGISTRY)
    for b, length, stored in SHAPES:
        out, weights = layer(draw(b, length, E), draw(b, stored, E), need_weights=True)
        assert weights.shape == (b, 2, length, stored)
        assert (
            layer(draw(b, length, E), draw(b, stored, E), trace=True).weights.shape == weights.shape
        )
        assert out.shape == (b, length, E)


def test_without_patterns_the_result_is_that_of_pytorch():
    with float64():
        plain, layer = nn.MultiheadAttention(E, 2, batch_first=True), EnergyAttention(E, 2, "lse")
    nn.init.normal_(plain.out_proj.bias)
    layer.projections.out.load_state_dict(plain.out_proj.state_dict())
    x, context = draw(2, 3, E), draw(2, 0, E)
    torch.testing.assert_close(layer(x, context), plain(x, context, context)[0])


@pytest.mark.parametrize("name", list(REGISTRY.mixers))
def test_mixers_take_nothing(name):
    with float64():
        mixer = make_mixer(name, embed_dim=E, num_heads=2, length=6, registry=REGISTRY)
    ways = [{}, {"need_weights": True}] if mixer.has_weights else [{}]
    for b, length, stored in SHAPES:
        for more in [{"is_causal": causal, **way} for causal in (False, True) for way in ways]:
            x = draw(b, length, E)
            outs = [mixer(x, **more), mixer(x, mask=hidden(b, length), **more)]
            if mixer.takes_context:
                outs.append(mixer(x, draw(b, stored, E), mask=hidden(b, stored), **more))
            for out in outs:
                read = out[0] if "need_weights" in more else out
                assert read.shape == x.shape
                assert read.isfinite().all()


def test_pooling_and_lookup_take_nothing():
    with float64():
        pooling, lookup = LAYERS["pooling"](), LAYERS["lookup"]()
    assert pooling(draw(0, 4, E)).shape == (0, 3, E)
    bias = pooling.attention.projections.out.bias
    torch.testing.assert_close(pooling(draw(2, 0, E)), bias.expand(2, 3, E))
    for b, length, _ in SHAPES:
        checked(lookup, b, length)


@pytest.mark.by_kind("lse", "energy_transformer")
@pytest.mark.parametrize("name", NAMES)
def test_models_take_nothing(name):
    sizes = model_sizes(name)
    for readout in ("position", "bottleneck"):
        with float64():
            model = Transformer(
                kind="vector", size=3, outputs=2, positions="relative", conv=2, readout=readout,
                **sizes,
            )  # fmt: skip
        for b, length in ((0, 4), (2, 0), (0, 0)):
            padding = torch.ones(b, length, dtype=torch.bool)
            out = model(draw(b, length, 3))
            assert out.shape == (b, length, 2)
            model.zero_grad()
            out.sum().backward()
            assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
            assert model(draw(b, length, 3), mask=padding).shape == (b, length, 2)
    if model.blocks[0].mixer.energy.states_interact:
        return
    with float64():
        language = LanguageModel(vocabulary=7, **sizes)
    assert language(torch.zeros(0, 4, dtype=torch.int64)).shape == (0, 4, 7)
    assert language(torch.zeros(2, 0, dtype=torch.int64)).shape == (2, 0, 7)
    assert language.generate(torch.zeros(0, 4, dtype=torch.int64), 2).shape == (0, 6)
    assert language.generate(torch.zeros(0, 4, dtype=torch.int64), 1, temperature=0).shape == (0, 5)


def test_the_block_takes_nothing():
    with float64():
        block = LAYERS["block"]()
    for b, length in ((0, 4), (2, 0), (0, 0)):
        checked(block, b, length)
        checked(block, b, length, mask=torch.ones(b, length, dtype=torch.bool))
        assert block(draw(b, length, E), trace=True).energies.shape == (3, b)


def test_a_memory_recalls_nothing():
    for name in ("lse", "classical_hopfield", "graph_memory"):
        memory = AssociativeMemory(name, registry=REGISTRY).store(draw(3, 4).sign())
        got = memory.recall(draw(0, 4), trace=True)
        assert got.state.shape == (0, 4)
        assert got.converged.shape == (0,)
        assert memory.recall(draw(2, 0, 4)).state.shape == (2, 0, 4)
        assert memory.energy(draw(0, 4)).shape == (0,)


def test_retrieval_of_nothing():
    with float64():
        model = Retrieval(EnergyAttention(4, 1, "lse", registry=REGISTRY), 2)
    assert model(draw(0, 3, 4)).shape == (0, 4, 2)
    alone = draw(2, 1, 4).sign()  # the corrupted pattern, and no others
    assert torch.equal(model(alone).argmax(-1), (alone[:, 0] > 0).long())
