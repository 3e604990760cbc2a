"""Every explanation of a symbolic Raven matrix: which entries belong together, by which rule.

Features are named by their place in the last column. That loses nothing, for the generator permutes
each column independently, and it leaves one choice per feature: its entry in each other column and
its rule. An explanation picks every entry once and breaks no rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.raven.rules import Rule

ROUNDING = 1e-9  # two probabilities that differ by less, relatively, are equal in truth
_CELLS = 1 << 17  # numbers in the candidate lines of a chunk, times rules


@dataclass(frozen=True)
class Hypotheses:
    """M explanations of some matrices with K features.

    `instance` (M,): the matrix. `likelihood` (M,), float64: prod_f P(line_f | rule_f). `rules`
    (M, K): ids. `answers` (M, K): the completed last panel. `entries` (M, K, G): the entry of each
    column that belongs to the feature. `used` (M,): entries of the first G - 1 columns, as bits.
    """

    instance: Tensor
    likelihood: Tensor
    rules: Tensor
    answers: Tensor
    entries: Tensor
    used: Tensor


class _Lines(NamedTuple):
    """Candidates of one feature: an entry of each column, and what each rule says of them.

    `entries` (C, G). `used` (C,): bit c*K + i where column c gives its entry i, the last column
    left out. `probability`, `answer` (N, C, R): the line in matrix n completed by rule r.
    """

    entries: Tensor
    used: Tensor
    probability: Tensor
    answer: Tensor


def check_size(panels: Tensor) -> None:
    """Raise ValueError if the entries of G - 1 columns do not fit in a 64-bit set."""
    grid, features = panels.shape[1], panels.shape[3]
    if (grid - 1) * features > 62:
        raise TaskOptionError(f"{features} features on a grid of {grid} are too many to enumerate")


def chunks(panels: Tensor, rules: int, *, permute: bool) -> Iterator[Tensor]:
    """Cut panels (N, G, G, K) into pieces whose explanations fit in memory."""
    grid, features = panels.shape[1], panels.shape[3]
    candidates = features ** (grid - 1) if permute else 1
    size = max(1, _CELLS // (candidates * rules * grid * grid))
    yield from torch.split(panels, size)


def explain(
    panels: Tensor,
    rules: Sequence[Rule],
    values: int,
    *,
    permute: bool,
    against: Tensor | None = None,
) -> Hypotheses:
    """Every explanation of panels (N, G, G, K), whose last panel is not read.

    Args:
        panels: numbers below `values` as shown.
        rules: the rules that a feature can follow.
        values: F.
        permute: whether columns were permuted; if not, entry f of each column is feature f.
        against: last panels (N, K); an explanation may agree with them in no feature.

    """
    count, grid, _, features = panels.shape
    hypotheses = Hypotheses(
        torch.arange(count),
        torch.ones(count, dtype=torch.float64),
        torch.empty(count, 0, dtype=torch.int64),
        torch.empty(count, 0, dtype=torch.int64),
        torch.empty(count, 0, grid, dtype=torch.int64),
        torch.zeros(count, dtype=torch.int64),
    )
    for place in range(features):
        lines = _lines(panels, place, rules, values, permute)
        if against is not None:
            other = lines.answer != against[:, place, None, None]
            lines = lines._replace(probability=lines.probability * other)
        hypotheses = _extend(hypotheses, lines)
    return hypotheses


def _lines(panels: Tensor, place: int, rules: Sequence[Rule], values: int, permute: bool) -> _Lines:
    grid, features = panels.shape[1], panels.shape[3]
    others = range(features) if permute else (place,)
    entries = torch.tensor([(*e, place) for e in product(others, repeat=grid - 1)])  # (C, G)
    columns = [panels[:, :, c, entries[:, c]] for c in range(grid)]  # G of (N, G, C)
    grids = torch.stack(columns, -1).transpose(1, 2)  # (N, C, G, G)
    done = [rule.complete(grids, values) for rule in rules]
    bit = torch.arange(grid - 1) * features + entries[:, :-1]
    return _Lines(
        entries,
        (1 << bit).sum(-1),
        torch.stack([completion.probability for completion in done], -1),
        torch.stack([completion.answer for completion in done], -1),
    )


def _extend(hypotheses: Hypotheses, lines: _Lines) -> Hypotheses:
    """Explain one more feature in every way that is still open."""
    free = (hypotheses.used[:, None] & lines.used) == 0
    probability = lines.probability[hypotheses.instance] * free[..., None]
    row, line, rule = probability.nonzero(as_tuple=True)
    instance = hypotheses.instance[row]
    answer = lines.answer[instance, line, rule]
    return Hypotheses(
        instance,
        hypotheses.likelihood[row] * probability[row, line, rule],
        torch.cat([hypotheses.rules[row], rule[:, None]], 1),
        torch.cat([hypotheses.answers[row], answer[:, None]], 1),
        torch.cat([hypotheses.entries[row], lines.entries[line][:, None]], 1),
        hypotheses.used[row] | lines.used[line],
    )
