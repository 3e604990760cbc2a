"""The beta that is suggested, against critical values computed without the toolkit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import attenergy
from attenergy.attention.memory import SuggestedBeta, noise_of
from attenergy.attention.memory.retrieval_bound import guaranteed
from attenergy.attention.memory.suggested_beta import sharpened
from attenergy.attention.memory.trials import draw_trials
from attenergy.energies import make_energy
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)


def memory(patterns, name="lse", **settings):
    return attenergy.AssociativeMemory(name, registry=REGISTRY, **settings).store(patterns)


def sphere(count, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(draws, dim=-1)


def critical(count):
    """Least beta at which one of `count` orthonormal patterns has a fixed point of its own.

    With weight p on it and (1 - p)/(count - 1) on the others, p is fixed where
    log(p (count - 1)/(1 - p)) = beta (p - (1 - p)/(count - 1)).
    """
    p = np.linspace(1 / count + 1e-4, 1 - 1e-9, 100_000)
    return float((np.log(p * (count - 1) / (1 - p)) / (p - (1 - p) / (count - 1))).min())


@pytest.mark.parametrize("count", [16, 48])
@pytest.mark.parametrize("name", ["lse", "l2_lse"])
def test_orthogonal_patterns_have_their_critical_beta(count, name):
    patterns = 3.0 * torch.eye(count, dtype=torch.float64)
    suggestion = memory(patterns, name).suggest_beta("gaussian(0)", tries=8, steps=400)
    assert suggestion.recalled == suggestion.best == 1.0
    # The search is exact to 5 %; just above the critical value 400 steps need not be enough.
    assert critical(count) <= 9 * suggestion.beta <= 1.07 * critical(count)
    assert suggestion.guaranteed > suggestion.beta
    assert suggestion.gap == pytest.approx(3 * math.sqrt(2))
    assert float(suggestion) == suggestion.beta


def test_opposite_patterns():
    """x and -x: the state m x goes to tanh(beta m |x|^2) x; recalled with 1 - m below 2 within."""
    patterns = torch.tensor([[2.0, 0.0], [-2.0, 0.0]]).double()
    m = 1 - 2 * 0.25
    want = math.atanh(m) / (4 * m)
    suggestion = memory(patterns).suggest_beta("gaussian(0)", within=0.25, tries=4)
    assert want <= suggestion.beta <= 1.06 * want


def test_more_noise_wants_no_smaller_beta_and_theory_is_never_wrong():
    patterns = sphere(60, 24)
    for noise in ("gaussian(0.05)", "masked(0.25)", "flips(0.05)"):
        suggestion = memory(patterns).suggest_beta(noise, tries=120)
        assert suggestion.recalled > 0.95
        below = memory(patterns).with_beta(suggestion.beta / 3)
        trials = draw_trials(
            below.energy_module, patterns, noise_of(noise), tries=120, within=0.5, seed=7
        )
        ends = below.recall(trials.states).state
        assert float(trials.recalled(ends).double().mean()) < 0.9
        for beta in (suggestion.beta, 2 * suggestion.beta, suggestion.guaranteed):
            sharp = memory(patterns).with_beta(beta)
            certain = guaranteed(sharp.energy_module, patterns, trials)
            recalled = trials.recalled(sharp.recall(trials.states).state)
            assert not (certain & ~recalled).any()
        assert certain.double().mean() > 0.9


def test_patterns_stored_twice_are_said():
    patterns = sphere(20, 16)
    suggestion = memory(torch.cat([patterns, patterns[:5]])).suggest_beta("gaussian(0.02)")
    assert suggestion.recalled == 1.0
    assert "40% of the patterns tried are stored more than once" in str(suggestion)
    assert "stored more than once" not in str(memory(patterns).suggest_beta("gaussian(0.02)"))
    with pytest.raises(ValueError, match="cannot be told apart"):
        memory(patterns[:1].repeat(3, 1)).suggest_beta("gaussian(0.1)")
    with pytest.raises(ValueError, match="cannot be told apart"):
        memory(patterns[:1]).suggest_beta("gaussian(0.1)")


def test_long_patterns_outscore_short_ones():
    """Half the patterns are short: under a dot product they lose to what is long and similar."""
    patterns = sphere(30, 8) + 1.0
    patterns[::2] *= 0.2
    dot = memory(patterns).suggest_beta("gaussian(0)", tries=30)
    assert dot.recalled < 0.6
    assert "score lower with themselves" in str(dot)
    assert "l2_lse" in str(dot)
    distance = memory(patterns, "l2_lse").suggest_beta("gaussian(0)", tries=30)
    assert distance.recalled == 1.0
    assert not distance.notes


def test_hopeless_noise_is_said():
    patterns = sphere(50, 4)
    strong = memory(patterns).suggest_beta("gaussian(1)", tries=64)
    assert strong.recalled < 0.3
    assert "the noise is too strong" in str(strong)


def test_nothing_recalled_is_an_error():
    def away(patterns, generator):
        """Far beyond another pattern."""
        return 10 * patterns.roll(1, 0)

    with pytest.raises(ValueError, match="no beta recalls anything under away"):
        memory(torch.eye(12).double()).suggest_beta(away, tries=12, steps=10)


def test_where_copies_stay_near_their_patterns_at_any_low_beta_it_says_so():
    """On the sphere a low beta hardly moves a state, and weak noise leaves it near its pattern."""
    signs = torch.sign(sphere(5, 12))
    suggestion = memory(signs, "input_gated").suggest_beta("flips(0.1)", tries=5, steps=5)
    assert suggestion.recalled == 1.0
    assert "down to the lowest tried" in str(suggestion)


@pytest.mark.parametrize("name", ["entmax", "lsr", "zero_sink", "vector_spins"])
def test_other_energies_with_a_beta(name):
    patterns = 4 * torch.eye(8, dtype=torch.float64)
    suggestion = memory(patterns, name).suggest_beta("gaussian(0.1)", tries=32, target=0.9)
    assert isinstance(suggestion, SuggestedBeta)
    assert suggestion.recalled > 0.85
    assert suggestion.guaranteed is None


def test_where_beta_only_scales_the_energy_it_stays():
    """On the sphere a power of the scores has the same steps at every beta."""
    signs = torch.sign(sphere(6, 24))
    settings = {"power": 3, "beta": 0.37}
    suggestion = memory(signs, "polynomial", **settings).suggest_beta("flips(0.1)", tries=12)
    assert suggestion.beta == pytest.approx(0.37)
    assert "beta makes no difference" in str(suggestion)


def test_what_has_no_beta_says_so():
    signs = torch.sign(sphere(3, 16))
    with pytest.raises(ValueError, match=r"has no beta.*its parameters: none"):
        memory(signs, "classical_hopfield").suggest_beta("flips(0.1)")
    with pytest.raises(ValueError, match="has no beta"):
        memory(signs, "classical_hopfield").with_beta(2.0)


@pytest.mark.parametrize(
    "name", [n for n, s in REGISTRY.energies.items() if "beta" in s.parameters]
)
def test_a_sharpened_energy_is_one_made_with_that_beta(name):
    rough, fine = (make_energy(name, dim=4, registry=REGISTRY, beta=b).double() for b in (0.7, 1.9))
    sharp = sharpened(rough, 1.9)
    xi, X = rough.from_real(torch.randn(3, 4).double()), torch.randn(3, 4).double()
    fine.load_state_dict(sharp.state_dict())  # what is drawn at random is the same
    torch.testing.assert_close(sharp(xi, X), fine(xi, X))
    assert float(torch.as_tensor(rough.values()["beta"]).detach()) == pytest.approx(0.7)


def test_a_memory_with_another_beta():
    patterns = sphere(5, 4)
    first = memory(patterns, beta=2.0)
    second = first.with_beta(30.0).store(sphere(2, 4, seed=1))
    assert (len(first), len(second)) == (5, 7)
    assert float(first.energy_module.values()["beta"].detach()) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="beta"):
        first.with_beta(0.0)
    with pytest.raises(ValueError, match="memory is empty"):
        attenergy.AssociativeMemory("lse").suggest_beta("gaussian(0.1)")
    for name, value in (("target", 0.0), ("target", 1.1), ("within", 0.6), ("tries", 0)):
        with pytest.raises(ValueError, match=name):
            first.suggest_beta("gaussian(0.1)", **{name: value})


def test_the_same_seed_gives_the_same_suggestion():
    patterns = sphere(40, 8)
    one, two, other = (
        memory(patterns).suggest_beta("gaussian(0.2)", seed=seed, tries=32, steps=5)
        for seed in (3, 3, 4)
    )
    assert one == two
    assert one.curve != other.curve


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_patterns_of_half_precision(dtype):
    patterns = sphere(12, 8)
    full = memory(patterns).suggest_beta("gaussian(0.05)", tries=32)
    half = memory(patterns.to(dtype)).suggest_beta("gaussian(0.05)", tries=32)
    assert half.beta == pytest.approx(full.beta, rel=0.5)
    assert half.recalled >= 0.9
