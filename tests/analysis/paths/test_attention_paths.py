"""Paths of planted models: one carries everything, or none does."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import attenergy
from attenergy.analysis import AttentionPaths, attention_paths, prune_heads
from tests.analysis.paths.planted import LENGTH, SYMBOLS, instances, planted


def accuracy(model: nn.Module, x: Tensor, targets: Tensor) -> float:
    with torch.no_grad():
        right = model(x)[:, -1].argmax(-1) == targets[:, -1]
    return float(right.double().mean())


@pytest.fixture(scope="module")
def followed() -> AttentionPaths:
    (x, y), (others, answers) = instances(128), instances(128, seed=1)
    return attention_paths(planted(), [x, others], [y, answers], shuffles=60)


def test_the_path_that_carries_everything_stands_out(followed: AttentionPaths) -> None:
    assert followed.alignment is not None
    value = dict(zip(followed.paths, followed.alignment.value.tolist(), strict=True))
    assert len(value) == followed.number_of_paths == 9
    assert value.pop((0, 1)) == pytest.approx(1.0, abs=1e-9)
    assert max(value.values()) < 0.1
    assert followed.written is not None
    assert followed.written.value[followed.paths.index((0, 1))] == pytest.approx(1.0, abs=1e-9)
    assert [followed.paths[i] for i in followed.best_paths] == [(0, 1)]
    assert set(followed.irrelevant) == {("layers.0", 1), ("layers.1", 0)}
    assert "1 of 9 paths and 2 of 4 heads" in followed.sentence
    assert "best 0 > 1 (1.00 +- 0.00)" in followed.sentence


def test_pruning_all_other_heads_costs_nothing_and_that_path_everything(
    followed: AttentionPaths,
) -> None:
    x, y = instances(256, seed=2)
    model = planted()
    assert accuracy(model, x, y) == 1.0
    assert accuracy(prune_heads(model, followed.irrelevant), x, y) == 1.0
    for head in (("layers.0", 0), ("layers.1", 1)):
        assert accuracy(prune_heads(model, [head]), x, y) < 0.5
    assert followed.scores_without is not None
    alone = dict(zip(followed.every_head, followed.scores_without, strict=True))
    assert {head for head, value in alone.items() if value == 1.0} == set(followed.irrelevant)
    assert followed.costly is None
    scores = {curve.order: curve for curve in followed.curves}
    assert followed.apart
    assert scores["alignment"].at(0) == scores["alignment"].at(2) == 1.0
    assert max(curve.at(4) for curve in followed.curves) < 0.5
    assert scores["random"].at(2) < 0.9
    # The planted heads that matter have the larger output maps too.
    assert scores["magnitude"].at(2) == 1.0


def test_weights_of_the_model_take_the_right_path(followed: AttentionPaths) -> None:
    assert followed.sum_alignment is not None
    sums = dict(zip(followed.sums, followed.sum_alignment.value.tolist(), strict=True))
    assert sums["U of the model"] > sums["all alike"] + 0.2
    assert followed.head_scores is not None
    first, other, off, last = followed.head_scores
    assert first > other
    assert last > off


def test_targets_that_no_path_carries(followed: AttentionPaths) -> None:
    x, y = instances(128)
    draw = torch.Generator().manual_seed(5)
    y[:, -1] = torch.randint(SYMBOLS, (128,), generator=draw)
    result = attention_paths(planted(), [x], [y], shuffles=60)
    assert result.best_paths == []
    assert len(result.irrelevant) == 4
    assert result.alignment is not None
    assert (result.alignment.value < 0.1).all()
    assert result.metric == "accuracy"
    assert result.sentence.startswith("No path of 9 aligns with the task better than shuffled")
    assert not result.apart  # one batch serves both


def test_heads_that_are_alike_have_paths_that_are_alike() -> None:
    model = planted()
    with torch.no_grad():
        for layer in model.layers:
            layer.projections.query.weight.zero_()  # every head reads the mean
    x, y = instances(128)
    y[:, -1] = torch.randint(SYMBOLS, (128,), generator=torch.Generator().manual_seed(5))
    result = attention_paths(model, [x], [y], shuffles=60, skip=False)
    assert result.alignment is not None
    assert result.overlaps is not None
    assert torch.allclose(result.overlaps, torch.ones(4, 4).double())
    value = result.alignment.value
    assert torch.allclose(value, value[:1].expand(4))
    assert result.best_paths == []
    assert len(result.irrelevant) == 4


def test_the_model_is_left_as_it_was_and_seeds_decide() -> None:
    model, (x, y) = planted().train(), instances(64)
    model.layers[0].eval()
    before = copy.deepcopy(model.state_dict())
    results = [attention_paths(model, [x], [y], shuffles=20, seed=3) for _ in range(2)]
    assert results[0].numbers() == results[1].numbers()
    assert model.training
    assert not model.layers[0].training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_one_target_for_each_instance_is_read_where_it_is_said() -> None:
    x, y = instances(64)
    last = attention_paths(planted(), x, y[:, -1], prune=False, shuffles=20)
    assert last.alignment is not None
    assert last.alignment.value[last.paths.index((0, 1))] == pytest.approx(1.0)
    first = attention_paths(planted(), x, y[:, -1], prune=False, shuffles=20, position=0)
    mean = attention_paths(planted(), x, y[:, -1], prune=False, shuffles=20, position="mean")
    assert first.alignment is not None
    assert mean.alignment is not None
    assert first.alignment.value.max() < 0.2
    assert 0.05 < mean.alignment.value[0] < 1
    numbers = torch.nn.functional.one_hot(y[:, -1], SYMBOLS).double()
    alike = attention_paths(planted(), x, numbers, prune=False, shuffles=20)
    assert alike.alignment is not None
    assert torch.allclose(alike.alignment.value, last.alignment.value)


def test_a_last_block_that_computes_the_scored_positions_only() -> None:
    torch.manual_seed(0)
    model = attenergy.Transformer(
        outputs=SYMBOLS, layers=2, width=8, heads=2, mlp=8, positions="relative",
        make_layer=lambda: attenergy.EnergyAttention(8, 2, energy="lse"), kind="vector",
        size=SYMBOLS + LENGTH, length=LENGTH,
    ).double()  # fmt: skip
    x, y = instances(64)
    whole = attention_paths(model, [x], [y], shuffles=20)
    rows = attention_paths(model, [((x,), {"rows": slice(-2, None)})], [y], shuffles=20)
    assert whole.layers == rows.layers == ("blocks.0.mixer", "blocks.1.mixer")
    for a, b in ((whole.alignment, rows.alignment), (whole.head_alignment, rows.head_alignment)):
        assert a is not None
        assert b is not None
        assert torch.allclose(a.value, b.value)
    assert whole.explained is not None
    assert whole.explained < 1 - 1e-3  # norms and feed-forward parts are no part of it
    assert rows.explained == pytest.approx(whole.explained)
    by_norm = [next(c for c in r.curves if c.order == "magnitude") for r in (whole, rows)]
    inner = range(5)
    assert [by_norm[0].at(n) for n in inner] == [by_norm[1].at(n) for n in inner]


def test_a_model_of_many_paths_has_its_heads_looked_at() -> None:
    x, y = instances(64)
    result = attention_paths(planted(), [x], [y], shuffles=60, most_paths=8)
    assert result.paths == ()
    assert result.alignment is None
    assert set(result.irrelevant) == {("layers.0", 1), ("layers.1", 0)}
    assert "9 paths, more than are followed one by one" in "\n".join(result.notes())


def test_a_score_of_ones_own() -> None:
    x, y = instances(64)
    seen: list[int] = []

    def score(model: nn.Module) -> float:
        seen.append(int((model.layers[0].projections.out.weight != 0).sum()))
        return -float(seen[-1])

    result = attention_paths(planted(), [x], [y], shuffles=20, score=score)
    assert result.curves[0].scores[0] == -2.0 * SYMBOLS
    assert result.curves[0].scores[-1] == 0.0
    assert len(seen) <= 16  # of all sets of four heads, each at most once


def test_a_head_that_only_shapes_later_patterns_is_named() -> None:
    """Head 0 of the first layer writes where head 1 of the last is to look, and no symbol."""
    model = planted()
    first, last = model.layers
    with torch.no_grad():
        for layer in model.layers:
            layer.projections.value.weight.zero_()
            layer.projections.out.weight.zero_()
        # A mark in the place of position 5, from position 0 to the last position.
        first.projections.value.weight[0, SYMBOLS] = 1.0
        first.projections.out.weight[SYMBOLS + 2, 0] = 1.0
        query = first.projections.query.weight.view(2, LENGTH, -1)
        query.zero_()
        query[0, 0, SYMBOLS:] = 1.0
        # The last layer's head 1 looks where the mark says, and copies the symbol.
        keys = last.projections.query.weight.view(2, LENGTH, -1)
        keys.zero_()
        keys[1, :, SYMBOLS:] = torch.eye(LENGTH)
        keys[1, LENGTH - 1, -1] = 0.0
        last.projections.value.weight[SYMBOLS:, :] = torch.eye(SYMBOLS, SYMBOLS + LENGTH)
        last.projections.out.weight[:SYMBOLS, SYMBOLS:] = torch.eye(SYMBOLS)
    x, y = instances(128)
    result = attention_paths(model, [x, x], [y, y], shuffles=60)
    assert result.curves[0].at(0) == 1.0
    assert result.costly == ("layers.0", 0)
    assert "0 of layers.0 costs most when it is removed alone: 1.000 to 0." in str(result)
