"""Damage of patterns: how much, where, and what is refused."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention.memory import Noise, flips, gaussian, masked, noise_of


def damaged(noise, patterns, seed=0):
    return noise_of(noise)(patterns, torch.Generator().manual_seed(seed))


def test_each_kind_does_what_it_says():
    patterns = torch.rand(500, 40, dtype=torch.float64) + 0.5
    hidden = damaged("masked(0.3)", patterns) == 0
    assert (hidden.sum(-1) == 12).all()
    assert hidden.any(0).all()  # anywhere
    torch.testing.assert_close(
        hidden.double().mean(0), torch.full((40,), 0.3).double(), atol=0.1, rtol=0
    )
    turned = damaged(flips(0.25), patterns)
    assert ((turned == -patterns).sum(-1) == 10).all()
    assert ((turned == patterns).sum(-1) == 30).all()
    moved = damaged("gaussian(0.2)", patterns) - patterns
    assert float(moved.std()) == pytest.approx(0.2, rel=0.05)
    assert abs(float(moved.mean())) < 0.01


@pytest.mark.parametrize("noise", ["gaussian(0)", "masked(0)", "flips(0.0)"])
def test_no_noise_changes_nothing(noise):
    patterns = torch.randn(3, 5)
    assert torch.equal(damaged(noise, patterns), patterns)


def test_seeds_and_types():
    patterns = torch.randn(4, 8)
    one = damaged("flips(0.5)", patterns, seed=1)
    assert torch.equal(one, damaged("flips(0.5)", patterns, seed=1))
    assert not torch.equal(one, damaged("flips(0.5)", patterns, seed=2))
    wide = damaged("gaussian(0.5)", patterns.double())
    assert wide.dtype == torch.float64
    torch.testing.assert_close(damaged("gaussian(0.5)", patterns), wide.float())


def test_texts_and_functions():
    assert str(noise_of(" masked( 0.5 ) ")) == "masked(0.5)"
    assert noise_of(masked(0.5)).amount == 0.5

    def shifted(patterns, generator):
        return patterns + 1

    own = noise_of(shifted)
    assert isinstance(own, Noise)
    assert str(own) == "shifted"
    assert torch.equal(own(torch.zeros(2, 3), torch.Generator()), torch.ones(2, 3))


def test_what_is_refused():
    for text, hint in (
        ("mask(0.5)", "did you mean 'masked'"),
        ("masked", "did you mean 'masked'"),
        ("masked(half)", "'half' is no number"),
        ("masked(1.5)", "fraction must lie between 0 and 1"),
        ("gaussian(-1)", "sigma must be a number from 0"),
        ("gaussian(nan)", "sigma must be a finite number"),
    ):
        with pytest.raises(ValueError, match=hint):
            noise_of(text)
    with pytest.raises(TypeError, match=r"noise must be a text such as .* got float"):
        noise_of(0.5)
    with pytest.raises(ValueError, match="fraction"):
        flips(float("nan"))
    with pytest.raises(ValueError, match="sigma"):
        gaussian(float("inf"))
    for wrong, text in ((lambda p, g: p[:1], "keep the shape"), (lambda p, g: p / 0, "finite")):
        with pytest.raises(ValueError, match=text):
            noise_of(wrong)(torch.ones(2, 3), torch.Generator())
