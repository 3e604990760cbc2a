"""Helpers of the task tests, written in plain Python on purpose: they check the tensor code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

Grid = Sequence[Sequence[int]]


def _obeys(rule: str, grid: Grid, values: int) -> bool:
    if rule == "distribute_three":
        first = set(grid[0])
        return len(first) == 3 and all(set(row) == first and len(row) == 3 for row in grid)
    steps = {
        "constant": 0,
        "progression_plus_1": 1,
        "progression_plus_2": 2,
        "progression_minus_1": -1,
        "progression_minus_2": -2,
    }
    if rule in steps:
        return all(
            (right - left - steps[rule]) % values == 0
            for row in grid
            for left, right in pairwise(row)
        )
    if rule in {"maximum", "minimum"}:
        pick = {"maximum": max, "minimum": min}[rule]
        return all(pick(a, b) == c for a, b, c in grid)
    sign = {"addition": 1, "subtraction": -1}[rule]
    return all((a + sign * b - c) % values == 0 for a, b, c in grid)


@pytest.fixture(scope="session")
def obeys() -> Callable[[str, Grid, int], bool]:
    """Whether a grid (rows of numbers below F) obeys a rule."""
    return _obeys


@pytest.fixture(scope="session")
def obeying() -> Callable[[str, int], list[tuple[tuple[int, ...], ...]]]:
    """All 3 x 3 grids of numbers below F that obey a rule, found row by row."""

    @cache
    def grids(rule: str, values: int) -> list[tuple[tuple[int, ...], ...]]:
        if rule != "distribute_three":
            rows = [row for row in product(range(values), repeat=3) if _obeys(rule, [row], values)]
            return list(product(rows, repeat=3))
        rows = [row for row in product(range(values), repeat=3) if len(set(row)) == 3]
        return [g for g in product(rows, repeat=3) if _obeys(rule, g, values)]

    return grids


@pytest.fixture(scope="session")
def looks_uniform() -> Callable[[Tensor, int], bool]:
    """Pearson's chi-square of class ids (N,) against `classes` equal shares, within 5 sigma."""

    def check(ids: Tensor, classes: int) -> bool:
        expected = len(ids) / classes
        counts = torch.bincount(ids, minlength=classes).double()
        statistic = ((counts - expected) ** 2 / expected).sum().item()
        freedom = classes - 1
        return len(counts) == classes and abs(statistic - freedom) < 5 * (2 * freedom) ** 0.5

    return check
