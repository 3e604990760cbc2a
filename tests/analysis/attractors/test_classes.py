"""How many patterns hold the weight of a state, and what that is called."""

from __future__ import annotations

import torch

from attenergy.analysis.attractors.classes import CLASSES, classify, patterns_for_mass


def test_k_counts_the_patterns_that_hold_the_mass() -> None:
    weights = torch.tensor([
        [1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0.05, 0.05, 0.9, 0, 0, 0, 0, 0, 0, 0],
        [0.6, 0.29, 0.11, 0, 0, 0, 0, 0, 0, 0],
        [0.1] * 10,
        [0.0] * 10,
    ])  # fmt: skip
    assert patterns_for_mass(weights).tolist() == [1, 1, 3, 9, 0]


def test_weights_of_any_size_and_sign_count_by_their_shares() -> None:
    weights = torch.tensor([3.0, -6.0, 0.5, 0.5], dtype=torch.float64)
    assert patterns_for_mass(weights) == patterns_for_mass(weights.abs() / 10) == 2


def test_classes_at_the_bounds_of_the_study() -> None:
    k = torch.tensor([512, 257, 256, 65, 64, 17, 16, 2, 1])
    names = [CLASSES[place].sign for place in classify(k, torch.full_like(k, 512))]
    assert names == ["I", "I", "II", "II", "III", "III", "IV", "IV", "1"]


def test_one_of_few_patterns_is_single_and_one_of_one_is_nothing() -> None:
    k = torch.tensor([1, 2, 1, 0])
    places = classify(k, torch.tensor([3, 3, 1, 3])).tolist()
    assert [CLASSES[p].sign if p >= 0 else "" for p in places] == ["1", "I", "", ""]
