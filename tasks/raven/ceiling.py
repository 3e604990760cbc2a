"""The exact Bayes solver of symbolic Raven matrices, for many at once.

It knows the generator and its prior, and sums over everything hidden: which rule each feature
follows and which entries of the columns belong to one feature. Its mean confidence is the highest
accuracy that any model can reach; it is below 1, for some matrices have several answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.tasks.raven.enumerate import ROUNDING, check_size, chunks, explain
from attenergy.tasks.raven.prior import Prior
from attenergy.tasks.raven.rules import Rule


@dataclass(frozen=True)
class Solutions:
    """What the solver knows of N matrices.

    `answer` (N, K): the most probable last panel; of equals, the one with the smallest numbers.
    `confidence` (N,): its posterior probability. `truth` (N,): posterior probability of the panel
    that was drawn. `answers` (N,): how many different panels are possible; a matrix with two or
    more is ambiguous.
    """

    answer: Tensor
    confidence: Tensor
    truth: Tensor
    answers: Tensor


def solve(
    panels: Tensor, rules: Sequence[Rule], prior: Prior, values: int, *, permute: bool
) -> Solutions:
    """Posterior over the last panel given the others: P(answer | context), exact.

    P is proportional to the sum, over rules r_1..r_K of the last column's entries and over
    one-to-one assignments of the other columns' entries to them, of prior(r) prod_f P(line_f | r_f)
    for the lines whose completions are that answer. Assignments are uniform a priori.

    Args:
        panels: (N, G, G, K) numbers below `values` as shown; the last panel is the true answer,
            read only to fill `truth`.
        rules: the rules that the ids of `prior` mean.
        prior: probability of the rules of the last column's entries.
        values: F.
        permute: whether columns were permuted; if not, entry f of each column is feature f.

    Raises:
        ValueError: if the entries of G - 1 columns do not fit in a 64-bit set.

    """
    check_size(panels)
    parts = []
    for chunk in chunks(panels, len(rules), permute=permute):
        hypotheses = explain(chunk, rules, values, permute=permute)
        weight = hypotheses.likelihood * prior(hypotheses.rules)
        possible = weight > 0
        truth = chunk[:, -1, -1]
        parts.append(
            _solutions(
                hypotheses.instance[possible], hypotheses.answers[possible], weight[possible], truth
            )
        )
    return Solutions(
        torch.cat([part.answer for part in parts]),
        torch.cat([part.confidence for part in parts]),
        torch.cat([part.truth for part in parts]),
        torch.cat([part.answers for part in parts]),
    )


def wholly_ambiguous(
    panels: Tensor, rules: Sequence[Rule], values: int, *, permute: bool
) -> Tensor:
    """Whether a matrix can be explained with every feature of the last panel wrong: bool (N,).

    This is the check whose counts the paper reports (its Table A2). It overlooks the far more
    frequent matrices in which only some features have a second answer: see `Solutions.answers`.

    Args:
        panels: (N, G, G, K) as shown, the true last panel included.
        rules: rules that a feature can follow, in any combination.
        values: F.
        permute: whether columns were permuted.

    Raises:
        ValueError: if the entries of G - 1 columns do not fit in a 64-bit set.

    """
    check_size(panels)
    ambiguous = []
    for chunk in chunks(panels, len(rules), permute=permute):
        truth = chunk[:, -1, -1]
        other = explain(chunk, rules, values, permute=permute, against=truth)
        ambiguous.append(torch.bincount(other.instance, minlength=len(chunk)) > 0)
    return torch.cat(ambiguous)


def _solutions(instance: Tensor, answers: Tensor, weight: Tensor, truth: Tensor) -> Solutions:
    """Add up hypotheses with one answer, and normalise per instance."""
    count = len(truth)
    keys = torch.cat([instance[:, None], answers], 1)
    rows, group = torch.unique(keys, dim=0, return_inverse=True)
    mass = torch.zeros(len(rows), dtype=torch.float64).index_add(0, group, weight)
    owner, panel = rows[:, 0], rows[:, 1:]
    zeros = torch.zeros(count, dtype=torch.float64)
    total = zeros.index_add(0, owner, mass)
    best = zeros.scatter_reduce(0, owner, mass, "amax")
    is_best = (mass >= best[owner] * (1 - ROUNDING)).nonzero().squeeze(1)
    first = torch.full((count,), len(rows)).scatter_reduce(0, owner[is_best], is_best, "amin")
    right = (panel == truth[owner]).all(-1)
    return Solutions(
        panel[first],
        best / total,
        zeros.index_add(0, owner[right], mass[right]) / total,
        torch.bincount(owner, minlength=count),
    )
