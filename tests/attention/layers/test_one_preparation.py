"""A forward checks its tensors and opens its mask once, however many steps it takes."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from attenergy.attention import EnergyAttention
from attenergy.energies import Energy
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
LENGTH = 5


def causal() -> torch.Tensor:
    return torch.ones(1, 1, LENGTH, LENGTH, dtype=torch.bool).tril()


def padded() -> torch.Tensor:
    """One sample as it is under `causal`, one whose last two states see nothing."""
    mask = causal().repeat(2, 1, 1, 1)
    mask[1, :, -2:] = False
    return mask


def make(name: str) -> EnergyAttention:
    torch.manual_seed(0)
    return EnergyAttention(8, 2, name, steps=4, registry=REGISTRY).double()


@pytest.mark.parametrize("name", ["lse", "graph_memory", "vector_spins", "l2_lse", "learned"])
@pytest.mark.parametrize(("mask", "opened"), [(causal(), 0), (padded(), 1), (None, 0)])
def test_shapes_and_masks_are_looked_at_once(
    monkeypatch: pytest.MonkeyPatch, name: str, mask: torch.Tensor | None, opened: int
) -> None:
    layer, calls = make(name), Counter[str]()
    for method in ("check", "opened"):
        original = getattr(type(layer.energy), method)

        def counted(self: Energy, *args, original=original, method=method):  # type: ignore
            calls[method] += 1
            return original(self, *args)

        monkeypatch.setattr(type(layer.energy), method, counted)
    x = torch.randn(2, LENGTH, 8, dtype=torch.float64)
    layer(x, mask=mask)
    radial = layer.energy.spec.quadratic == "radial"  # A changes with the states
    assert calls["check"] == 1
    assert calls["opened"] == opened or radial


@pytest.mark.parametrize("name", ["lse", "graph_memory", "vector_spins", "sparsemax", "learned"])
def test_rows_that_all_see_something_give_the_same_beside_empty_ones(name: str) -> None:
    """Without an empty row nothing is opened and nothing put back: the numbers are the same."""
    layer = make(name)
    x = torch.randn(2, LENGTH, 8, dtype=torch.float64, requires_grad=True)
    alone, both = layer(x[:1], mask=causal()), layer(x, mask=padded())[:1]
    torch.testing.assert_close(alone, both)
    (want,), (got,) = (torch.autograd.grad(y.square().sum(), x) for y in (alone, both))
    torch.testing.assert_close(got, want)
