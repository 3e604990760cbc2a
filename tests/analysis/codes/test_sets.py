"""Controls leave all as it was but what they take away."""

from __future__ import annotations

import math

import torch

from attenergy.analysis.codes.pictures import short_names
from attenergy.analysis.codes.sets import (
    groups_of,
    jackknife,
    permuted_labels,
    scrambled,
    split,
)


def test_permuted_labels_stay_together_in_their_combination() -> None:
    combinations = torch.arange(120) % 6
    labels = combinations // 2  # three classes, two combinations each
    sets = split(120, combinations == 5, combinations, 0)
    assert not (combinations[sets.fit] == 5).any()
    assert sorted(torch.cat([sets.fit, sets.fresh, sets.held_out]).tolist()) == list(range(120))
    drawn, judged = (each[..., 0] for each in permuted_labels(labels[:, None], sets, 30, 0))
    assert judged.eq(2).all()  # of the one held-out combination
    assert drawn.shape == (30, len(sets.fit))
    for each in drawn:
        pairs = set(zip(combinations[sets.fit].tolist(), each.tolist(), strict=True))
        assert len(pairs) == 5  # one label for each combination
        assert sorted(label for _, label in pairs) == [0, 0, 1, 1, 2]
    assert len({tuple(each.tolist()) for each in drawn}) > 10
    alone = split(120, None, None, 0)
    mixed = permuted_labels(labels[:, None], alone, 5, 0)[0][..., 0]
    for each in mixed:
        assert torch.equal(each.bincount(), labels[alone.fit].bincount())
        assert len(set(zip(combinations[alone.fit].tolist(), each.tolist(), strict=True))) == 18


def test_fresh_instances_share_the_permuted_label_of_their_combination() -> None:
    combinations = torch.arange(120) % 6
    sets = split(120, None, combinations, 0)
    fit, judged = permuted_labels(combinations[:, None] % 2, sets, 10, 0)
    where = torch.cat([combinations[sets.fit], combinations[sets.fresh]])
    for each in torch.cat([fit, judged], 1)[..., 0]:
        assert len(set(zip(where.tolist(), each.tolist(), strict=True))) == 6


def test_scrambled_heads_keep_their_distribution() -> None:
    codes = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    mixed = scrambled(codes, 0)
    assert torch.equal(mixed.sort(0).values, codes.sort(0).values)
    rows = {tuple(row) for row in codes.tolist()}
    assert sum(tuple(row) in rows for row in mixed.tolist()) < 5  # no instance stays whole


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    without = (values.sum() - values) / 39
    assert math.isclose(jackknife(without), float(values.std() / 40**0.5))
    assert math.isnan(jackknife(without[:1]))
    groups, count = groups_of(torch.arange(90), None, 0)
    assert count == 40
    assert set(groups.bincount().tolist()) == {2, 3}


def test_short_names_are_where_layers_differ() -> None:
    layers = ["blocks.0.mixer", "blocks.10.mixer", "all layers"]
    assert short_names(layers) == (["0", "10", "all"], "layer (blocks.*.mixer)")
    assert short_names(["one"]) == (["one"], "")
    assert short_names(["a.b", "c"]) == (["a.b", "c"], "")
