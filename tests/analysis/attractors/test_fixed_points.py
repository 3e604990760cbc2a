"""Heads whose fixed points are known, and what the analysis says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attenergy
from attenergy.analysis import ANALYSES, FixedPoints, Subject, attention_calls, fixed_points
from attenergy.attention import EnergyAttention
from attenergy.registry import ArgumentError

E = 16


def plain(energy: Any = "lse", heads: int = 1, **settings: Any) -> EnergyAttention:
    """A layer whose states and patterns are its input."""
    layer = EnergyAttention(E, heads, energy=energy, **settings)
    with torch.no_grad():
        for part in layer.projections.children():
            part.weight.copy_(torch.eye(E))
            part.bias.zero_()
    return layer


def far_apart(count: int = 12) -> Tensor:
    """Orthogonal inputs of length 6, (1, count, E)."""
    return 6 * torch.eye(E)[:count].unsqueeze(0)


def clusters(sizes: tuple[int, ...]) -> Tensor:
    """Inputs in tight clusters that are far apart, (1, sum(sizes), E)."""
    noise = 0.01 * torch.randn(sum(sizes), E, generator=torch.Generator().manual_seed(0))
    centres = 6 * torch.eye(E)[: len(sizes)]
    return (centres.repeat_interleave(torch.tensor(sizes), 0) + noise).unsqueeze(0)


def only(result: FixedPoints) -> Any:
    (head,) = result.heads
    return head


def test_patterns_far_apart_at_high_beta_are_single() -> None:
    head = only(fixed_points(plain(beta=4.0), far_apart()))
    assert head.kind == "single pattern"
    assert head.classes["single pattern"] == head.outcomes["rest"] == 1
    assert head.k == 1
    assert head.separation == pytest.approx(36)
    assert head.radius < 1e-6
    assert head.ends > 3


def test_a_beta_near_zero_averages_over_all() -> None:
    head = only(fixed_points(plain(beta=1e-3), far_apart()))
    assert head.kind == "global average"
    assert head.classes["global average"] == 1
    assert head.k == 11  # ceil(0.9 * 12)
    assert (head.reached, head.ends, head.half_radius) == (1, 1, None)


def test_clusters_are_subsets_of_their_size() -> None:
    x = clusters((10, 10, 20))
    result = fixed_points(plain(beta=2.0), x)
    head = only(result)
    # 9 of 40 and 18 of 40 hold 90 % of the weight.
    assert head.classes["large subset"] == 1
    assert head.k == 9
    assert "1 large subset" in result.sentence
    assert 1 < head.ends <= 3


def test_a_landscape_with_one_minimum_has_one_end() -> None:
    head = only(fixed_points(plain("0.5*|xi|^2 - 0.01*sum_n(X @ xi)"), far_apart()))
    assert (head.ends, head.reached, head.outcomes["rest"]) == (1, 1, 1)
    assert head.radius == pytest.approx(0, abs=1e-9)
    assert head.kind == "no class" or head.classes["global average"] == 1


def test_a_head_that_diverges_is_not_counted() -> None:
    x = torch.randn(2, 12, E, generator=torch.Generator().manual_seed(0))
    result = fixed_points(plain("linear_attention", beta=4.0), x, max_steps=30)
    head = only(result)
    assert head.kind == "diverges"
    assert head.outcomes["diverged"] == 1
    assert sum(head.classes.values()) == 0
    assert head.k is head.radius is head.ends is None
    assert "1 diverges" in result.sentence


def test_before_and_after_training_stand_side_by_side() -> None:
    x = far_apart()
    result = fixed_points(plain(beta=4.0), x, untrained=plain(beta=1e-3))
    assert "1 single pattern" in result.sentence
    assert "Before training: 1 global average" in result.sentence
    rows = {row[0]: row[1:] for row in result.tables()[0].rows}
    assert list(rows["single pattern"]) == ["0.0%", "100.0%"]


def test_k_read_is_that_of_the_weights_that_the_model_uses() -> None:
    x = torch.randn(3, 20, E, generator=torch.Generator().manual_seed(0))
    layer = plain(heads=4, beta=0.4)
    (call,) = attention_calls(layer, x)
    assert call.weights is not None
    falling = call.weights.sort(-1, descending=True).values.cumsum(-1)
    k = (falling < 0.9).sum(-1) + 1
    heads = fixed_points(layer, x).heads
    assert [head.k_read for head in heads] == [float(k[:, h].median()) for h in range(4)]


def test_states_are_drawn_where_there_are_many_and_the_same_with_one_seed() -> None:
    x = torch.randn(3, 20, E, generator=torch.Generator().manual_seed(0))
    first, again = (fixed_points(plain(beta=1.0), x, states=10, seed=3) for _ in range(2))
    assert only(first).states == 9  # 3 of each sample
    assert first.numbers() == again.numbers()


def test_a_head_has_the_class_of_its_median_state() -> None:
    x = far_apart()
    mask = torch.ones(12, 12, dtype=torch.bool).tril()
    mask[6:] = torch.eye(12, dtype=torch.bool)[6:]  # these see one pattern alone: of no class
    head = only(fixed_points(plain(beta=1e-3), x, mask=mask, samples=2))
    assert head.patterns == 1
    assert head.kind == "global average"


def test_what_a_mask_hides_is_no_pattern() -> None:
    x = far_apart().expand(1, -1, -1)
    mask = torch.ones(12, 12, dtype=torch.bool).tril()
    head = only(fixed_points(plain(beta=1e-3), x, mask=mask, samples=2))
    assert head.patterns == 6  # the lower middle of 1, ..., 12
    assert head.classes["global average"] == 1


@pytest.mark.parametrize("energy", ["graph_hopfield", "classical_hopfield", "elliptical"])
def test_energies_of_every_kind(energy: str) -> None:
    x = torch.randn(2, 6, E, generator=torch.Generator().manual_seed(0))
    result = fixed_points(plain(energy, heads=2), x, samples=2)
    assert len(result.heads) == 2
    assert all(head.states == 12 for head in result.heads)
    assert json.loads(json.dumps(result.numbers()))["heads"][0]["layer"] == "EnergyAttention"


def test_pytorch_attention_is_read_as_a_step_of_log_sum_exp() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(E, 2, dim_feedforward=8, batch_first=True).eval()
    result = fixed_points(layer, torch.randn(2, 8, E))
    assert [(h.layer, h.head, h.reading) for h in result.heads] == [
        ("self_attn", 0, "log-sum-exp"),
        ("self_attn", 1, "log-sum-exp"),
    ]
    assert any("read as one step" in note for note in result.notes())


def test_layers_without_an_energy_are_named() -> None:
    x = torch.randn(1, 5, E)
    hyla = attenergy.make_mixer("hyla", embed_dim=E, num_heads=2)
    result = fixed_points(nn.Sequential(plain(), hyla), x)
    assert list(result.missing) == ["1"]
    with pytest.raises(ArgumentError, match="no head of Sequential has fixed points"):
        fixed_points(nn.Sequential(hyla), x)
    with pytest.raises(ArgumentError, match="max_steps"):
        fixed_points(plain(), x, max_steps=0)


def test_the_catalogue_runs_it_and_it_is_saved(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    seen: list[tuple[str, int, int]] = []
    subject = Subject(
        plain(heads=2), "mine", [((far_apart(),), {})], make_untrained=lambda: plain(heads=2)
    )
    kind = ANALYSES["fixed-points"]
    options = kind.settings({"samples": 2})
    result = kind.run(subject, options, lambda *step: seen.append(step))
    assert not kind.run(subject, {**options, "untrained": False}, None).numbers().get("before")
    names = {path.name for path in result.save(tmp_path)}
    assert {"fixed-points.json", "fixed-points.md", "fixed-points-heads.png"} <= names
    assert {"fixed-points-shares.svg", "fixed-points-basins.svg"} <= names
    assert seen[0] == ("fixed points of EnergyAttention", 0, 2)
    assert seen[-1] == ("fixed points", 2, 2)


def test_a_state_that_sees_one_pattern_alone_is_of_no_class() -> None:
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 1, 8, batch_first=True)
    (head,) = fixed_points(encoder.eval(), torch.randn(3, 1, 8)).heads
    assert (head.kind, head.rests) == ("no class", True)
