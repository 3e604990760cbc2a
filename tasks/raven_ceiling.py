"""The exact Bayes solver of symbolic Raven matrices.

It knows the generator and its prior, and sums over everything hidden: which rule each feature
follows and which entries of the columns belong to one feature. Its mean confidence is the highest
accuracy that any model can reach; it is below 1, for some matrices have several answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from attenergy.tasks.raven_combinations import Prior
from attenergy.tasks.raven_rules import Rule

_CELLS = 1 << 17  # numbers in the candidate lines of a chunk, times rules


@dataclass(frozen=True)
class Posterior:
    """What the solver knows of N matrices.

    `answer` (N, K): the most probable last panel. `confidence` (N,): its posterior probability.
    `truth` (N,): posterior probability of the panel that was drawn. `answers` (N,): how many
    different panels are possible.
    """

    answer: Tensor
    confidence: Tensor
    truth: Tensor
    answers: Tensor


class _Lines(NamedTuple):
    """Candidates of one feature: one entry of each column, the last column's being `position`.

    `used` (C,): bit c*K + i is set where column c gives its entry i, last column left out.
    `probability`, `answer` (N, C, R): the line in matrix n completed by rule r.
    """

    used: Tensor
    probability: Tensor
    answer: Tensor


class _Hypotheses(NamedTuple):
    """Partial explanations that agree with what is seen, M of them over all matrices.

    `instance` (M,): the matrix explained. `used` (M,): bits of the entries explained.
    `weight` (M,): probability of those entries. `rules`, `answers` (M, positions explained).
    """

    instance: Tensor
    used: Tensor
    weight: Tensor
    rules: Tensor
    answers: Tensor


def solve(
    panels: Tensor, rules: Sequence[Rule], prior: Prior, values: int, *, permute: bool
) -> Posterior:
    """Posterior over the last panel given the others: P(answer | context), exact.

    P is proportional to the sum, over rules r_1..r_K of the last column's entries and over
    one-to-one assignments of the other columns' entries to them, of prior(r) prod_f P(line_f | r_f)
    for the lines whose completions are that answer. Assignments are uniform a priori, and naming
    features by the last column loses nothing: the generator permutes each column independently.

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
    grid, features = panels.shape[1], panels.shape[3]
    if (grid - 1) * features > 62:
        raise ValueError(f"{features} features on a grid of {grid} are too many to enumerate")
    candidates = features ** (grid - 1) if permute else 1
    chunk = max(1, _CELLS // (candidates * len(rules) * grid * grid))
    starts = range(0, len(panels), chunk)
    parts = [_solve_chunk(panels[i : i + chunk], rules, prior, values, permute) for i in starts]
    return Posterior(
        torch.cat([part.answer for part in parts]),
        torch.cat([part.confidence for part in parts]),
        torch.cat([part.truth for part in parts]),
        torch.cat([part.answers for part in parts]),
    )


def _solve_chunk(
    panels: Tensor, rules: Sequence[Rule], prior: Prior, values: int, permute: bool
) -> Posterior:
    count = len(panels)
    found = _Hypotheses(
        torch.arange(count),
        torch.zeros(count, dtype=torch.int64),
        torch.ones(count, dtype=torch.float64),
        torch.empty(count, 0, dtype=torch.int64),
        torch.empty(count, 0, dtype=torch.int64),
    )
    for position in range(panels.shape[3]):
        found = _extend(found, _lines(panels, position, rules, values, permute))
    weight = found.weight * prior(found.rules)
    possible = weight > 0
    return _posterior(
        found.instance[possible], found.answers[possible], weight[possible], panels[:, -1, -1]
    )


def _lines(
    panels: Tensor, position: int, rules: Sequence[Rule], values: int, permute: bool
) -> _Lines:
    grid, features = panels.shape[1], panels.shape[3]
    others = range(features) if permute else (position,)
    entries = torch.tensor([(*e, position) for e in product(others, repeat=grid - 1)])  # (C, G)
    columns = [panels[:, :, c, entries[:, c]] for c in range(grid)]  # G of (N, G, C)
    grids = torch.stack(columns, -1).transpose(1, 2)  # (N, C, G, G)
    done = [rule.complete(grids, values) for rule in rules]
    bit = torch.arange(grid - 1) * features + entries[:, :-1]
    return _Lines(
        (1 << bit).sum(-1),
        torch.stack([completion.probability for completion in done], -1),
        torch.stack([completion.answer for completion in done], -1),
    )


def _extend(found: _Hypotheses, lines: _Lines) -> _Hypotheses:
    """Explain one more entry of the last column in every way that is still open."""
    free = (found.used[:, None] & lines.used) == 0
    probability = lines.probability[found.instance] * free[..., None]
    row, line, rule = probability.nonzero(as_tuple=True)
    instance = found.instance[row]
    answer = lines.answer[instance, line, rule]
    return _Hypotheses(
        instance,
        found.used[row] | lines.used[line],
        found.weight[row] * probability[row, line, rule],
        torch.cat([found.rules[row], rule[:, None]], 1),
        torch.cat([found.answers[row], answer[:, None]], 1),
    )


def _posterior(instance: Tensor, answers: Tensor, weight: Tensor, truth: Tensor) -> Posterior:
    """Add up hypotheses with one answer, and normalise per instance."""
    count = len(truth)
    keys = torch.cat([instance[:, None], answers], 1)
    rows, group = torch.unique(keys, dim=0, return_inverse=True)
    mass = torch.zeros(len(rows), dtype=torch.float64).index_add(0, group, weight)
    owner, panel = rows[:, 0], rows[:, 1:]
    zeros = torch.zeros(count, dtype=torch.float64)
    total = zeros.index_add(0, owner, mass)
    best = zeros.scatter_reduce(0, owner, mass, "amax")
    is_best = (mass == best[owner]).nonzero().squeeze(1)
    first = torch.full((count,), len(rows)).scatter_reduce(0, owner[is_best], is_best, "amin")
    right = (panel == truth[owner]).all(-1)
    return Posterior(
        panel[first],
        best / total,
        zeros.index_add(0, owner[right], mass[right]) / total,
        torch.bincount(owner, minlength=count),
    )
