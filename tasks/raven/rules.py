"""The rules of symbolic Raven matrices: each fills a G x G grid of numbers below F.

A rule determines the last entry of a grid from all the others. That makes an exact solver
possible: `complete` gives the last entry and the probability of what was seen.
Source: Schug et al. 2025, arXiv:2406.05816, section 4, for the first eight. `maximum` and
`minimum` are not in the paper; a later generator by its first author has them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import check_known, check_whole
from attenergy.tasks.core.sampling import distinct, permutations


class Completion(NamedTuple):
    """What a rule says of grids whose last entry is hidden.

    `probability` (...): of the seen entries under the rule, float64, 0 where they break it.
    `answer` (...): the last entry, int64; meaningless where the probability is 0.
    """

    probability: Tensor
    answer: Tensor


@dataclass(frozen=True)
class Rule(ABC):
    """One rule: `grid` is the only grid size it is defined for (None: any), `least` the least F."""

    name: str
    grid: int | None = None
    least: int = 2

    @abstractmethod
    def draw(self, count: int, values: int, grid: int, generator: Generator) -> Tensor:
        """Draw `count` grids of numbers below `values`: (count, grid, grid), int64."""

    @abstractmethod
    def complete(self, grids: Tensor, values: int) -> Completion:
        """Solve grids (..., G, G), whose last entry is not read."""

    def holds(self, grids: Tensor, values: int) -> Tensor:
        """Whether whole grids (..., G, G) obey the rule: bool (...)."""
        seen, answer = self.complete(grids, values)
        return (seen > 0) & (answer == grids[..., -1, -1])


class RowRule(Rule):
    """A rule whose rows are independent: the first `free` entries, uniform, give the others."""

    free: ClassVar[int]

    @abstractmethod
    def fill(self, start: Tensor, grid: int) -> Tensor:
        """Rows (..., grid), before the modulus, from their free entries (..., free)."""

    def draw(self, count: int, values: int, grid: int, generator: Generator) -> Tensor:
        """Draw the free entries of every row, then fill the rows."""
        start = torch.randint(values, (count, grid, self.free), generator=generator)
        return self.fill(start, grid) % values

    def complete(self, grids: Tensor, values: int) -> Completion:
        """Fill every row from its free entries and compare."""
        size = grids.shape[-1]
        rows = self.fill(grids[..., : self.free], size) % values
        agree = (rows == grids).flatten(-2)[..., :-1].all(-1)
        return Completion(agree.double() * float(values) ** -(self.free * size), rows[..., -1, -1])


@dataclass(frozen=True)
class Progression(RowRule):
    """(s, s + step, s + 2 step, ...) mod F, s ~ U{0..F-1} for each row; step 0 is a constant."""

    step: int = 0
    free: ClassVar[int] = 1

    def fill(self, start: Tensor, grid: int) -> Tensor:
        """Count up from the first entry."""
        return start + self.step * torch.arange(grid)


@dataclass(frozen=True)
class Arithmetic(RowRule):
    """(a, b, (a + sign b) mod F), a and b ~ U{0..F-1} for each row."""

    grid: int | None = 3
    sign: int = 1
    free: ClassVar[int] = 2

    def fill(self, start: Tensor, grid: int) -> Tensor:
        """Append the sum or the difference."""
        return torch.cat([start, start[..., :1] + self.sign * start[..., 1:]], -1)


@dataclass(frozen=True)
class Extreme(RowRule):
    """(a, b, max(a, b)) or (a, b, min(a, b)), a and b ~ U{0..F-1} for each row."""

    grid: int | None = 3
    largest: bool = True
    free: ClassVar[int] = 2

    def fill(self, start: Tensor, grid: int) -> Tensor:
        """Append the larger or the smaller number."""
        last = start.amax(-1, keepdim=True) if self.largest else start.amin(-1, keepdim=True)
        return torch.cat([start, last], -1)


@dataclass(frozen=True)
class DistributeThree(Rule):
    """Three distinct values, drawn once; every row is an independent uniform order of them."""

    grid: int | None = 3
    least: int = 3

    def draw(self, count: int, values: int, grid: int, generator: Generator) -> Tensor:
        """Draw the three values, then their order in each row."""
        three = distinct(count, 3, values, generator)
        order = permutations(count * 3, 3, generator).view(count, 9)
        return three.gather(1, order).view(count, 3, 3)

    def complete(self, grids: Tensor, values: int) -> Completion:
        """Compare the rows as sets; the missing value is the one not yet in the last row."""
        three = grids[..., :2, :].sort(-1).values
        first = three[..., 0, :]
        distinct_values = (first[..., 1:] > first[..., :-1]).all(-1)
        left, right = grids[..., 2, 0], grids[..., 2, 1]
        known = (left[..., None] == first).any(-1) & (right[..., None] == first).any(-1)
        agree = distinct_values & (three[..., 1, :] == first).all(-1) & known & (left != right)
        orders = math.comb(values, 3) * math.factorial(3) ** 3
        return Completion(agree.double() / orders, first.sum(-1) - left - right)


_BUILT_IN: tuple[Rule, ...] = (
    Progression("constant", step=0),
    Progression("progression_plus_1", step=1),
    Progression("progression_plus_2", step=2),
    Progression("progression_minus_1", step=-1),
    Progression("progression_minus_2", step=-2),
    Arithmetic("addition", sign=1),
    Arithmetic("subtraction", sign=-1),
    DistributeThree("distribute_three"),
    Extreme("maximum", largest=True),
    Extreme("minimum", largest=False),
)
RULES: dict[str, Rule] = {rule.name: rule for rule in _BUILT_IN}  # the order is the rules' id


def choose_rules(rules: int | str | Sequence[str], values: int, grid: int) -> tuple[Rule, ...]:
    """Return the first `rules` rules, or the named ones (a list, or one text with commas).

    Named rules are put in the order of `RULES`.

    Raises:
        ValueError: for an unknown or repeated name, no rule, or a rule that is not defined for
            this many values or this grid size.

    """
    if isinstance(rules, (int, float)):
        chosen = _BUILT_IN[: check_whole("rules", rules, 1)]
        if len(chosen) < rules:
            raise TaskOptionError(f"'rules' is {rules}, but there are only {len(RULES)} rules")
    else:
        names = rules.split(",") if isinstance(rules, str) else list(rules)
        names = [check_known("rule", str(name).strip(), tuple(RULES)) for name in names]
        if not names or len(set(names)) < len(names):
            raise TaskOptionError(
                f"'rules' must name each rule once, got {', '.join(names) or 'none'}"
            )
        chosen = tuple(rule for rule in _BUILT_IN if rule.name in names)
    for rule in chosen:
        if values < rule.least:
            raise TaskOptionError(f"rule '{rule.name}' needs values >= {rule.least}, got {values}")
        if rule.grid not in (None, grid):
            raise TaskOptionError(f"rule '{rule.name}' needs grid {rule.grid}, got {grid}")
    return chosen
