"""Checks of arguments: every kind of number counts, and none is too large to be spoken of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attenergy.attention import AssociativeMemory, EnergyAttention, EnergyMultiheadAttention
from attenergy.attention.modules.arguments import (
    check_finite,
    check_flag,
    check_from_zero,
    check_positive,
    check_share,
    check_size,
    check_whole,
)

REALS = [float, np.float16, np.float32, np.float64]
WHOLE = [int, np.int8, np.int64, np.uint32]
FLAGS = [True, False, 1, 0, np.True_, np.False_, np.int64(1), np.uint8(0)]


@pytest.mark.parametrize("kind", REALS + WHOLE)
@pytest.mark.parametrize("check", [check_finite, check_positive, check_from_zero])
def test_numbers(check, kind):
    number = check("n", kind(2))
    assert type(number) is float
    assert number == 2


@pytest.mark.parametrize("kind", REALS)
def test_shares(kind):
    assert type(check_share("n", kind(0.5))) is float


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("check", [check_whole, check_size])
def test_whole_numbers(check, kind):
    assert type(check("n", kind(2), 1)) is int


@pytest.mark.parametrize("flag", FLAGS)
def test_flags(flag):
    assert check_flag("n", flag) is bool(flag)


@pytest.mark.parametrize("flag", [2, np.int64(2), 0.0, np.float32(1), "no", None, [True]])
def test_what_is_no_flag(flag):
    with pytest.raises(ValueError, match="n must be True or False, got"):
        check_flag("n", flag)


@pytest.mark.parametrize(
    "number",
    [10**400, -(10**400), 10**5000, np.float32("inf"), np.nan],
    ids=["large", "small", "of_many_digits", "infinite", "nan"],
)
@pytest.mark.parametrize("check", [check_finite, check_positive, check_from_zero, check_share])
def test_numbers_that_are_too_large(check, number):
    with pytest.raises(ValueError, match="n must be ") as caught:
        check("n", number)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("flag", [np.True_, np.False_])
def test_layers_with_flags_of_numpy_are_saved(flag, tmp_path):
    layers = [
        EnergyAttention(8, 2, bias=flag, rotary=flag, beta=np.float32(2), step_size=np.float32(1)),
        EnergyMultiheadAttention(
            8, 2, bias=flag, add_zero_attn=flag, batch_first=flag, steps=np.int64(2)
        ),
    ]
    for layer in layers:
        folder = layer.save_pretrained(tmp_path / type(layer).__name__)
        again = type(layer).from_pretrained(folder)
        assert repr(again) == repr(layer)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_seeds_and_steps_of_a_memory(kind, mode):
    signs = torch.randn(4, 12).sign()
    memory = AssociativeMemory("polynomial", power=3).store(signs)
    start = torch.randn(6, 12).sign()
    got = memory.recall(start, mode=mode, seed=kind(3), steps=kind(5)).state
    assert torch.equal(got, memory.recall(start, mode=mode, seed=3, steps=5).state)
    memory = AssociativeMemory("lse").store(torch.nn.functional.normalize(torch.randn(4, 8)))
    few = {"noise": "gaussian(0.05)", "tries": 8, "steps": 20}
    assert memory.suggest_beta(**few, seed=kind(3)) == memory.suggest_beta(**few, seed=3)
    assert memory.with_beta(np.float32(2.0)).energy_module.settings == {}
