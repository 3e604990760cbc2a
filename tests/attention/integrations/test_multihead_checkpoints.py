"""Checkpoints of attention from before it had an energy, and after."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.attention.conftest import draw
from tests.attention.integrations.conftest import (
    B,
    E,
    H,
    L,
    energise,
    plain,
)


def three(state):
    """A state as it was named when the input maps were always kept apart."""
    out = dict(state)
    for name in [n for n in out if n.endswith("in_proj_weight")]:
        for part, weight in zip("qkv", out.pop(name).chunk(3), strict=True):
            out[name.replace("in_proj", f"{part}_proj")] = weight
    return out


@pytest.mark.parametrize("energy", ["lse", "uhop", "energy_transformer", "learned"])
@pytest.mark.parametrize("form", [dict, three, lambda state: state])
def test_checkpoints_from_before_load_strictly(energy, form):
    """Packed or as three; into a layer kept as three as well, and every map is taken."""
    before = nn.TransformerDecoderLayer(E, H, 16, batch_first=True)
    checkpoint = form(copy.deepcopy(before.state_dict()))
    model = energise(nn.TransformerDecoderLayer(E, H, 16, batch_first=True), "rbm")
    energies = {n: p.clone() for n, p in model.named_parameters() if ".heads." in n}
    assert not any(model.load_state_dict(checkpoint))
    now = model.state_dict()
    assert all(torch.equal(now[name], value) for name, value in before.state_dict().items())
    assert all(torch.equal(now[name], value) for name, value in energies.items())
    apart = energise(nn.MultiheadAttention(E, H), "rbm")
    for name, weight in zip(
        ("q_proj_weight", "k_proj_weight", "v_proj_weight"), apart.in_proj_weight.chunk(3),
        strict=True,
    ):  # fmt: skip
        setattr(apart, name, nn.Parameter(weight.detach().clone()))
    apart.in_proj_weight = None  # as in layers that were pickled then
    state = {n[10:]: w for n, w in checkpoint.items() if n.startswith("self_attn.")}
    assert not any(apart.load_state_dict(state))
    torch.testing.assert_close(apart.v_proj_weight, before.self_attn.in_proj_weight[2 * E :])


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"add_bias_kv": True}])
def test_checkpoints_with_three_maps_and_an_energy_load(options, assign):
    """As earlier versions wrote them: all is taken, the energy too."""
    saved, other = (energise(plain(**options), "rbm") for _ in range(2))
    with torch.no_grad():
        for weight in saved.parameters():
            weight.add_(torch.rand_like(weight))
    given = (draw(B, L, E),) * 3
    assert not torch.allclose(other(*given)[0], saved(*given)[0])
    assert not any(other.load_state_dict(three(saved.state_dict()), assign=assign))
    torch.testing.assert_close(other(*given), saved(*given))
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in other.parameters())


def test_a_checkpoint_with_an_energy_must_hold_all_of_it():
    model = energise(plain(), "elliptical")
    state = model.state_dict()
    of_energy = [name for name in state if name.startswith("heads.")]
    del state[of_energy[0]]
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict(state)
    for name in of_energy[1:]:
        del state[name]
    with pytest.raises(RuntimeError, match="Missing key"):  # it says which version wrote it
        model.load_state_dict(state)
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({n: w for n, w in state.items() if n != "in_proj_weight"})


def test_the_parts_of_the_packed_weight_have_names():
    ours = energise(plain())
    for name, rows in zip("qkv", ours.in_proj_weight.chunk(3), strict=True):
        assert torch.equal(getattr(ours, f"{name}_proj_weight"), rows)
    with torch.no_grad():
        ours.k_proj_weight.zero_()
    assert (ours.in_proj_weight[E : 2 * E] == 0).all()
    assert energise(plain("three")).q_proj_weight.is_leaf
