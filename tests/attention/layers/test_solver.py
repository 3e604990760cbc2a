"""Layers that move one site after the other."""

from __future__ import annotations

import copy

import pytest
import torch

from attenergy.attention import EnergyAttention, make_layer, relax
from attenergy.energies import guarantee_of
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
IN_TURN = [name for name, spec in REGISTRY.energies.items() if guarantee_of(spec) == "sequential"]


def make(name, **settings):
    torch.manual_seed(0)
    return EnergyAttention(8, 2, name, registry=REGISTRY, **settings).double()


def draw(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def seen_by_the_energy(layer, x):
    """States and patterns as the layer makes them."""
    xi, X = layer.projections.states(x, None)
    xi = layer.energy.from_real(xi)
    return xi, (X if layer.energy.reads_patterns else xi)


@pytest.mark.parametrize("name", IN_TURN)
def test_a_layer_in_turn_is_relax_in_turn(name):
    layer, x = make(name, steps=2, solver="coordinate_descent", read="state"), draw(2, 4, 8)
    xi, X = seen_by_the_energy(layer, x)
    state = relax(
        layer.energy, xi, X, steps=2, step_size=layer.step_size, solver="coordinate_descent"
    ).state
    torch.testing.assert_close(layer(x), layer.projections.merge(state))


def test_there_are_energies_that_descend_in_turn():
    assert {"ising_mean_field", "energy_transformer", "potts"} <= set(IN_TURN)


@pytest.mark.parametrize("name", ["ising_mean_field", "potts", "energy_transformer"])
def test_the_energy_of_a_layer_in_turn_falls_with_every_step(name):
    x, values = draw(2, 4, 8), []
    for steps in range(1, 6):
        layer = make(name, steps=steps, solver="coordinate_descent")
        start, X = seen_by_the_energy(layer, x)
        state = relax(
            layer.energy, start, X, steps=steps, step_size=layer.step_size, solver=layer.solver
        ).state
        values.append(layer.energy(state, X if layer.energy.reads_patterns else state))
    steps = torch.stack(values).diff(dim=0)
    assert (steps <= 1e-12).all()
    assert (steps < -1e-6).any()


def test_the_solver_counts_and_at_once_is_the_default():
    x = draw(1, 4, 8)
    at_once, named = make("energy_transformer"), make("energy_transformer", solver="descent")
    in_turn = make("energy_transformer", solver="coordinate_descent")
    assert at_once.solver == "descent"
    assert torch.equal(at_once(x), named(x))
    assert not torch.allclose(at_once(x), in_turn(x))
    assert "solver=coordinate_descent" in repr(in_turn)


def test_weights_are_read_after_steps_in_turn():
    layer, x = make("lse", steps=3, solver="coordinate_descent", read="weights"), draw(2, 3, 8)
    xi, X = seen_by_the_energy(layer, x)
    state = relax(
        layer.energy, xi, X, steps=2, step_size=layer.step_size, solver="coordinate_descent"
    ).state
    weights = layer.energy.weights(state, X, None, None)
    want = layer.projections.merge(weights @ layer.projections.values(x))
    torch.testing.assert_close(layer(x), want)


def test_layers_in_turn_train_and_copy():
    layer, x = (
        make("energy_transformer", solver="coordinate_descent"),
        draw(1, 3, 8).requires_grad_(),
    )
    assert torch.autograd.gradcheck(layer, (x,), fast_mode=True)
    layer(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))


def test_make_layer_knows_the_solver():
    layer = make_layer(
        "potts", embed_dim=8, num_heads=2, registry=REGISTRY, solver="coordinate_descent"
    )
    assert layer.solver == "coordinate_descent"


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        ("coordinate", r"no solver 'coordinate' \(did you mean 'coordinate_descent'\?\)"),
        ("langevin", "no layer is trained through it; take one of descent, coordinate_descent"),
        (1, "no solver '1'"),
    ],
)
def test_solvers_that_no_layer_has(solver, message):
    with pytest.raises(ValueError, match=message):
        make("lse", solver=solver)
