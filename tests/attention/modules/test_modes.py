"""Modes come back part by part."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from attenergy import analysis
from attenergy.attention import LanguageModel
from attenergy.attention.modules.modes import evaluating

SIZES = {"vocabulary": 7, "length": 6, "width": 8, "heads": 2, "mlp": 12, "layers": "lse/hyla"}
MODEL = LanguageModel(**SIZES)
COUNT = len(list(MODEL.modules()))
modes = st.lists(st.booleans(), min_size=COUNT, max_size=COUNT)


def model_in(own: list[bool]) -> LanguageModel:
    for part, training in zip(MODEL.modules(), own, strict=True):
        part.training = training
    return MODEL


def modes_of(model: nn.Module) -> list[bool]:
    return [part.training for part in model.modules()]


@given(modes)
def test_every_part_is_in_evaluation_mode_and_then_in_its_own(own):
    model = model_in(own)
    with evaluating(model):
        assert not any(modes_of(model))
        model.blocks[0].train()
    assert modes_of(model) == own
    with pytest.raises(ZeroDivisionError), evaluating(model):
        raise ZeroDivisionError
    assert modes_of(model) == own


@given(modes)
def test_generating_leaves_every_part_in_its_mode(own):
    model, tokens = model_in(own), torch.zeros(1, 2, dtype=torch.long)
    model.generate(tokens, 1)
    with pytest.raises(ValueError, match="must be whole numbers"):
        model.generate(tokens.double(), 1)
    assert modes_of(model) == own


def test_analyses_leave_every_part_in_its_mode():
    model = model_in([number % 3 == 0 for number in range(COUNT)])
    own, tokens = modes_of(model), torch.randint(7, (3, 4))
    analysis.redundancy(model, [tokens], evaluate=lambda m: float(m(tokens).square().mean()))
    analysis.diagnose(model, tokens)
    assert modes_of(model) == own


class Merged(nn.Linear):
    """As adapters are often written: what is learned is part of the weight in evaluation mode."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width)
        self.adapter = nn.Parameter(torch.zeros(width, width))
        self.merged = False

    def train(self, mode: bool = True) -> Merged:
        super().train(mode)
        if mode == self.merged:
            with torch.no_grad():
                self.weight += -self.adapter if mode else self.adapter
            self.merged = not mode
        return self


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False])
def test_parts_with_a_train_of_their_own_are_as_they_were(outer, inner):
    part = Merged(4)
    model = nn.Sequential(part, nn.Sequential(nn.Dropout(), nn.Linear(4, 4)))
    with torch.no_grad():
        part.adapter += 1.0
    model.train(outer)
    part.train(inner)
    weight = part.weight.detach().clone()
    with evaluating(model):
        assert part.merged
    assert (model.training, part.training, part.merged) == (outer, inner, not inner)
    torch.testing.assert_close(part.weight.detach(), weight)
