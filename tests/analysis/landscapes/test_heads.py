"""The landscape of a head of a model: which one, whose patterns, and that it is a section."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attenergy.analysis import AttentionCall, Subject, attention_calls, head_landscape
from attenergy.analysis.landscapes.heads import chosen_head, subject_landscape
from attenergy.attention import EnergyAttention, Relaxation
from attenergy.attention.solvers.problem import pose
from attenergy.energies import make_energy
from attenergy.registry import ArgumentError, UnknownName


def planted(mask=None):
    """Head 0 has one pattern many times, head 1 two opposite ones: one minimum and two."""
    a = 2 * torch.tensor([1.0, 0.0, 0.0, 0.0])
    X = torch.stack([a.expand(6, 4), torch.stack([a, -a] * 3)])[None]
    start = torch.randn(1, 2, 6, 4, generator=torch.Generator().manual_seed(0))
    energy = make_energy("lse", dim=4, num_heads=2, beta=2.0)
    problem, xi = pose(energy, start, X, mask, None, "auto")
    relaxation = Relaxation(xi, energies=problem.value(xi)[None], states=xi[None])
    return AttentionCall("planted", nn.Identity(), problem, relaxation, None)


def test_minima_of_planted_heads():
    call = planted()
    one, two = (head_landscape(call, head, resolution=6) for head in (0, 1))
    assert len(one.minima) == 1
    assert len(two.minima) == 2
    assert {minimum.state[0].sign().item() for minimum in two.minima.minima} == {-1.0, 1.0}
    # 6 patterns, of which 3 are one and the same
    assert {minimum.patterns for minimum in two.minima.minima} == {(1, 3, 5), (2, 4, 6)}
    assert two.chart.section
    assert "section" in " ".join(two.notes())
    assert chosen_head([call])[1] == 1
    assert chosen_head([call], "planted:0") == (call, 0)


def test_what_a_mask_hides_is_not_there():
    """The last state sees the first two patterns, of one kind in head 1 after hiding."""
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[-1] = torch.tensor([True, False, True, False, True, False])
    out = head_landscape(planted(mask), 1, resolution=6)
    assert len(out.minima) == 1
    assert len(out.patterns) == 3
    assert len(head_landscape(planted(mask), 1, state=0, resolution=6).minima) == 2


def test_the_energy_is_that_of_the_layer():
    torch.manual_seed(0)
    layer = EnergyAttention(12, 3, energy="lse", steps=2)
    x = torch.randn(2, 5, 12)
    (call,) = attention_calls(layer, x)
    out = head_landscape(call, 2, sample=1, resolution=4)
    want = call.problem.value(call.start)[1, 2]
    got = out.problem.value(call.start[1, 2].detach().double())
    assert torch.allclose(got.float(), want.detach(), atol=1e-5)
    assert out.paths.shape[1] == 5
    first = out.chart.coordinates(call.start[1, 2].detach().double())
    assert torch.allclose(out.paths[0], first)


def test_softmax_attention_of_torch_is_read_as_log_sum_exp():
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    subject = Subject(encoder, "encoder", [((torch.randn(2, 7, 8),), {})])
    out = subject_landscape(subject, {"head": "self_attn:1"})
    assert "one step down the log-sum-exp energy" in " ".join(out.notes())
    assert out.minima.minima
    assert out.sentence.startswith("self_attn head 1")


def test_what_is_no_head_is_refused():
    call = planted()
    for arguments, message in (
        ({"head": 2}, "heads 0 to 1"),
        ({"sample": 1}, "samples 0 to 0"),
        ({"state": 6}, "states 0 to 5"),
    ):
        with pytest.raises(ArgumentError, match=message):
            head_landscape(call, **arguments)
    with pytest.raises(UnknownName, match="planted"):
        chosen_head([call], "plantd:1")
    nothing = AttentionCall("mixer", nn.Identity(), None, None, None, missing="HYLA has no energy")
    with pytest.raises(ArgumentError, match="HYLA has no energy"):
        head_landscape(nothing)
    with pytest.raises(ArgumentError, match="so none has a landscape"):
        chosen_head([nothing])


@pytest.mark.parametrize("energy", ["classical_hopfield", "causal_tokens"])
def test_spins_and_games_have_no_landscape(energy):
    calls = attention_calls(EnergyAttention(12, 3, energy=energy), torch.randn(2, 5, 12))
    with pytest.raises(ArgumentError, match=r"no surface|a game"):
        head_landscape(calls[0])
    with pytest.raises(ArgumentError, match="so none has a landscape"):
        chosen_head(calls)


def test_states_that_interact_in_a_head_are_held():
    torch.manual_seed(0)
    layer = EnergyAttention(12, 3, energy="graph_hopfield")
    (call,) = attention_calls(layer, torch.randn(2, 5, 12))
    out = head_landscape(call, 1, state=2, resolution=4)
    assert any("the others are held" in note for note in out.notes())
    # At the state that varies, the energy of the joint problem.
    want = call.problem.value(call.start)[0, 1]
    got = out.problem.value(call.start[0, 1, 2:3].detach().double())
    assert torch.allclose(got.float(), want.detach(), atol=1e-5)


def test_a_mixture_of_many_is_counted():
    a = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)) * 0.01
    X = torch.cat([a + torch.tensor([3.0, 0, 0]), torch.tensor([[-4.0, 0, 0], [0.0, -4, 0]])])
    energy = make_energy("lse", dim=3, num_heads=1, beta=1.0)
    problem, xi = pose(energy, X[None, None], X[None, None], None, None, "auto")
    relaxation = Relaxation(xi, energies=problem.value(xi)[None], states=xi[None])
    call = AttentionCall("many", nn.Identity(), problem, relaxation, None)
    out = head_landscape(call, resolution=6)
    labels = {minimum.label for minimum in out.minima.minima}
    assert labels == {"metastable (8 patterns)", "single pattern (9)", "single pattern (10)"}
