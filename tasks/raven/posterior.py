"""What can be known of one symbolic Raven matrix: its answers, its rules, its columns' orders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from attenergy.registry import ArgumentError
from attenergy.tasks.raven.enumerate import ROUNDING, check_size, explain
from attenergy.tasks.raven.prior import Prior
from attenergy.tasks.raven.rules import Rule

Panel = tuple[int, ...]
Names = tuple[str, ...]
Alignment = tuple[Panel, ...]
_Key = TypeVar("_Key", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Posterior:
    """Posterior probabilities given the context, each most probable first.

    `answers`: of last panels. `combinations`: of the rules' names, a multiset in the order of their
    ids. `alignments`: of the columns' orders; `alignment[c][f]` is the place in column c of the
    feature that the last column has at place f. With `permute` off there is but one.

    Example:
        >>> task = Raven(features=2, permute=False)
        >>> posterior = task.solve(task.sample("train", 0))
        >>> len(posterior.answers)
        1
    """

    answers: dict[Panel, float]
    combinations: dict[Names, float]
    alignments: dict[Alignment, float]

    @property
    def map_answer(self) -> Panel:
        """The most probable last panel; of equals, the one with the smallest numbers."""
        return next(iter(self.answers))

    @property
    def confidence(self) -> float:
        """Posterior probability of `map_answer`."""
        return self.answers[self.map_answer]

    @property
    def ambiguous(self) -> bool:
        """Whether two or more last panels are consistent with the context."""
        return len(self.answers) > 1

    def __str__(self) -> str:
        return "\n".join(
            [
                *_lines("last panel", self.answers),
                *_lines("rules", self.combinations),
                *_lines("places in each column", self.alignments),
            ]
        )


def _lines(title: str, shares: Mapping[_Key, float], most: int = 5) -> list[str]:
    shown = [f"  {p:6.1%}  {' '.join(map(str, key))}" for key, p in shares.items()]
    more = [f"  and {len(shown) - most} more"] if len(shown) > most else []
    return [f"{title}:", *shown[:most], *more]


def posterior(
    panels: Tensor, rules: Sequence[Rule], prior: Prior, values: int, *, permute: bool
) -> Posterior:
    """Exact posterior of one matrix (G, G, K), whose last panel is not read.

    See `attenergy.tasks.raven.ceiling.solve` for the sum and the arguments.

    Raises:
        ValueError: if the matrix has too many entries to enumerate, or if no combination of the
            prior explains it.

    """
    check_size(panels[None])
    hypotheses = explain(panels[None], rules, values, permute=permute)
    weight = hypotheses.likelihood * prior(hypotheses.rules)
    total = weight.sum()
    if not total > 0:
        raise ArgumentError("no combination of rules in the prior explains the matrix")
    weights = (weight / total).tolist()
    names = [rule.name for rule in rules]
    combinations = hypotheses.rules.sort(-1).values.tolist()
    return Posterior(
        _ranked(map(tuple, hypotheses.answers.tolist()), weights),
        _ranked((tuple(names[r] for r in ids) for ids in combinations), weights),
        _ranked(
            (tuple(map(tuple, e)) for e in hypotheses.entries.transpose(1, 2).tolist()), weights
        ),
    )


def _ranked(keys: Iterable[_Key], weights: Sequence[float]) -> dict[_Key, float]:
    mass: dict[_Key, float] = defaultdict(float)
    for key, weight in zip(keys, weights, strict=True):
        if weight:
            mass[key] += weight
    # Sums that are equal in truth differ by rounding, and how depends on the processor. A sum that
    # is hardly below the last level takes that level, so equals are equal and go by the key.
    level, ranked = 0.0, dict[_Key, float]()
    for key in sorted(mass, key=mass.__getitem__, reverse=True):
        if mass[key] < level * (1 - ROUNDING) or not ranked:
            level = mass[key]
        ranked[key] = level
    return {key: ranked[key] for key in sorted(ranked, key=lambda key: (-ranked[key], key))}
