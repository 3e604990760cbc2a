"""Capacity curves: the classical knee, what theory guarantees, and a memory that never fails."""

from __future__ import annotations

import json
import math

import pytest
import torch

from attenergy.analysis import capacity
from attenergy.attention import AssociativeMemory
from attenergy.registry import ArgumentError, load_registry

REGISTRY = load_registry(plugins=False)


def signs(count, dim, seed=0):
    bits = torch.randint(0, 2, (count, dim), generator=torch.Generator().manual_seed(seed))
    return (2 * bits - 1).double()


def sphere(count, dim):
    draws = torch.randn(count, dim, generator=torch.Generator().manual_seed(0)).double()
    return torch.nn.functional.normalize(draws, dim=-1)


@pytest.mark.long
def test_the_classical_network_fails_near_its_known_capacity():
    dim = 100
    result = capacity(
        "classical_hopfield", signs(40, dim), "flips(0.03)", counts=[4, 8, 22, 40], seeds=3,
        tries=24, steps=15,
    )  # fmt: skip
    few, below, above, many = (count.mean for count in result.counts)
    assert few == 1.0
    assert below > 0.9
    assert above < 0.9  # 0.22 D, the knee is rounded at this width
    assert many < 0.25
    assert 4 <= result.holds <= 8
    assert result.known[0] == pytest.approx(13.8)
    assert "Amit" in result.known[1]
    assert "up to" in result.sentence


def test_orthogonal_patterns_are_all_held_and_theory_says_so():
    memory = AssociativeMemory("lse", beta=30.0, registry=REGISTRY)
    done = []
    result = capacity(
        memory, torch.eye(24).double(), "gaussian(0.05)", seeds=2, tries=16,
        progress=lambda *given: done.append(given),
    )  # fmt: skip
    assert result.holds == 24
    assert [count.mean for count in result.counts] == [1.0] * len(result.counts)
    assert all(count.certain == 1.0 for count in result.counts)
    assert all(count.error == 0 for count in result.counts)
    assert "all that were tried" in result.sentence
    assert done[-1][1] == done[-1][2]
    assert len(memory) == 0  # as it was


def test_what_theory_guarantees_is_never_more_than_what_is_recalled():
    memory = AssociativeMemory("lse", beta=25.0, registry=REGISTRY)
    result = capacity(memory, sphere(400, 8), "gaussian(0.2)", seeds=2, tries=48)
    means = [count.mean for count in result.counts]
    assert means[0] == 1.0
    assert means[-1] < 0.9
    assert all(count.certain <= count.mean for count in result.counts)
    assert any(0 < count.certain < 1 for count in result.counts)


def test_nothing_is_held_at_a_low_beta():
    memory = AssociativeMemory("lse", beta=0.5, registry=REGISTRY)
    result = capacity(memory, sphere(20, 12), "gaussian(0)", counts=[10, 20], seeds=1, tries=20)
    assert result.holds == 0
    assert "less than 0.95 even of the fewest" in result.sentence
    assert math.isnan(result.counts[0].error)


def test_what_is_written(tmp_path):
    result = capacity(
        "polynomial", signs(8, 16), "flips(0.1)", counts=[2, 8], seeds=[3, 5], tries=8
    )
    written = {path.name for path in result.save(tmp_path)}
    assert written == {"capacity.json", "capacity.md", "capacity.png", "capacity.svg"}
    data = json.loads((tmp_path / "capacity.json").read_text())
    assert [count["stored"] for count in data["numbers"]["counts"]] == [2, 8]
    assert data["numbers"]["known"]["count"] == pytest.approx(16**2 / (2 * 3 * math.log(16)))
    assert "| 8 |" in (tmp_path / "capacity.md").read_text()


def test_seeds_make_it_repeatable():
    def run(**more):
        given = {"counts": [30], "tries": 16, "steps": 5} | more
        memory = AssociativeMemory("lse", beta=30.0, registry=REGISTRY)
        return capacity(memory, sphere(40, 6), "gaussian(0.3)", **given).counts

    assert run(seeds=2) == run(seeds=[0, 1])
    assert run(seeds=[0]) != run(seeds=[7])


def test_what_is_refused():
    for given, text in (
        ({"counts": [1]}, "counts must be a whole number from 2"),
        ({"counts": [2, 9]}, "must not exceed the 8 patterns given, got 9"),
        ({"counts": []}, "counts must list"),
        ({"counts": 5}, "counts must list"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seeds": "two"}, "seeds must be a number of draws"),
        ({"tries": 0}, "tries"),
        ({"within": 0.7}, "within"),
        ({"noise": "mask(0.1)"}, "did you mean 'masked'"),
    ):
        with pytest.raises(ValueError, match=text):
            capacity("lse", **({"patterns": sphere(8, 4), "noise": "gaussian(0)"} | given))
    with pytest.raises(ValueError, match="at least 2"):
        capacity("lse", sphere(1, 4), "gaussian(0)")
    with pytest.raises(TypeError, match="name of an energy"):
        capacity(3, sphere(8, 4), "gaussian(0)")


def test_patterns_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(ArgumentError, match="all patterns are the same"):
        capacity("lse", torch.ones(5, 4), "gaussian(0.1)", seeds=1, tries=4)
