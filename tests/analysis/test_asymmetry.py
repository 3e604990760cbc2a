"""Curl of fields whose Jacobian is known."""

from __future__ import annotations

import math

import pytest
import torch

from attenergy.analysis import curl
from attenergy.attention import EnergyAttention, gradient, make_layer
from attenergy.energies import make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_linear_fields():
    matrix, x = draw(6, 6), draw(2, 3)

    def field(m):
        return lambda y: (m @ y.flatten()).view(2, 3)

    want = float((matrix - matrix.mT).norm() / matrix.norm())
    assert curl(field(matrix), x) == pytest.approx(want)
    assert curl(field(matrix + matrix.mT), x) == pytest.approx(0, abs=1e-15)
    assert curl(field(matrix - matrix.mT), x) == pytest.approx(2.0)


def test_a_rotation_of_the_plane():
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double()
    assert curl(lambda x: x @ turn.mT, draw(1, 2)) == pytest.approx(2.0)
    for angle in (0.1, 0.7):
        c, s = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[c, -s], [s, c]]).double()
        want = 2 * math.sqrt(2) * s / math.sqrt(2)
        assert curl(lambda x, t=turn: x @ t.mT, draw(1, 2)) == pytest.approx(want)


def test_a_field_that_does_not_move_has_none():
    assert curl(torch.zeros_like, draw(2, 2)) == 0.0
    assert curl(lambda x: 0 * x + 3.0, draw(2, 2)) == 0.0


def test_random_fields_are_near_root_two():
    maps = [torch.nn.Linear(40, 40).double() for _ in range(5)]
    curls = [curl(m, draw(1, 40)) for m in maps]
    assert all(abs(value - math.sqrt(2)) < 0.1 for value in curls)


@pytest.mark.parametrize("name", REGISTRY.energies)
def test_energies_have_none_and_hand_written_reads_have(name):
    with float64():
        energy = make_energy(name, dim=4, registry=REGISTRY)
    xi, X, values = energy.from_real(draw(3, 4)), draw(5, 4), draw(5, 4)
    if energy.reads_patterns or energy.states_interact:  # else a game: no joint energy
        assert curl(lambda s: gradient(energy, s, X), xi) < 1e-12
    if energy.has_weights and name != "gaussian_spins":  # its weights are those of the field alone
        assert curl(lambda s: energy.weights(s, X, None, None) @ values, xi) > 0.1


def test_attention_with_free_keys_and_values_has_curl():
    layer = EnergyAttention(6, 2, registry=REGISTRY, backend="scores").double()
    x, context = draw(1, 4, 6), draw(1, 5, 6)
    assert curl(lambda y: layer(y, context), x) > 0.1
    assert curl(layer, x) > 0.1


@pytest.mark.parametrize("name", ["linear", "hyla"])
def test_mixers_have_curl_at_their_own_states(name):
    layer = make_layer(name, embed_dim=6, num_heads=2, registry=REGISTRY).double()
    assert curl(lambda y: layer(y, need_weights=True)[0], draw(1, 4, 6)) > 0.1


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"keep the shape \(2, 3\) of its states, got \(3,\)"):
        curl(lambda x: x.sum(0), draw(2, 3))
    with pytest.raises(ValueError, match="not finite"):
        curl(torch.sqrt, torch.tensor([0.0, 1.0]))
