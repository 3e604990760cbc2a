"""A layer whose code is whatever its input says, and combinations of two rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import attenergy

HEADS, RULES = 12, 4


def code_reader() -> nn.Module:
    """Linear attention of width 1 + H whose weights are a[h, i, j] = x_i[0] x_j[1 + h]."""
    layer = attenergy.make_mixer("linear", embed_dim=1 + HEADS, num_heads=HEADS, head_dim=1)
    layer = layer.double().requires_grad_(False)
    maps = layer.projections
    for each in (maps.query, maps.key):
        each.weight.zero_()
        each.bias.zero_()
    maps.query.weight[:, 0] = 1.0
    maps.key.weight[:, 1:] = torch.eye(HEADS)
    return nn.Sequential(layer)


def inputs_of(codes: Tensor) -> Tensor:
    """Two tokens of which the last one has the code (N, H) towards itself."""
    last = torch.cat([torch.ones(len(codes), 1, dtype=torch.float64), codes], -1)
    return torch.stack([torch.zeros_like(last), last], 1)


class Planted(NamedTuple):
    """Instances of combinations of two rules, some combinations held out."""

    model: nn.Module
    inputs: Tensor
    rules: Tensor  # (N,), the first of the two
    held_out: Tensor
    combinations: Tensor
    codes: Tensor


@pytest.fixture
def plant() -> Callable[..., Planted]:
    """Plant codes: of the rules, of the combination as a whole, or of nothing."""

    def make(kind: str, *, count: int = 960, seed: int = 0) -> Planted:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        combinations = torch.arange(count) % RULES**2
        first, second = combinations // RULES, combinations % RULES
        noise = 0.2 * draw(count, HEADS)
        codes = {
            "rules": draw(RULES, HEADS)[first] + 0.5 * draw(RULES, HEADS)[second] + noise,
            "combinations": draw(RULES**2, HEADS)[combinations] + noise,
            "nothing": draw(count, HEADS),
        }[kind]
        held_out = (first + second) % RULES == 0  # each rule once, of 16 combinations
        return Planted(code_reader(), inputs_of(codes), first, held_out, combinations, codes)

    return make
