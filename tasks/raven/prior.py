"""Which combinations of rules exist, which are held out, and how likely each is."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.streams import seed_of


def all_combinations(rules: int, features: int) -> Tensor:
    """Multisets of `features` rule ids below `rules`, each ascending, in lexicographic order.

    Shape (C(rules + features - 1, features), features), int64.
    """
    return torch.tensor(list(combinations_with_replacement(range(rules), features)))


def split_combinations(
    combinations: Tensor, ood_fraction: float, split_seed: int
) -> tuple[Tensor, Tensor]:
    """Split combinations (N, K) into (in-distribution, held out) by a seeded permutation.

    Held out are the first int(N * ood_fraction) of the permutation.

    Raises:
        ValueError: if either side would be empty.

    """
    number = isinstance(ood_fraction, (int, float)) and not isinstance(ood_fraction, bool)
    if not number or not math.isfinite(ood_fraction):
        raise TaskOptionError(
            f"'ood_fraction' must be a number between 0 and 1, got {ood_fraction!r}"
        )
    count = len(combinations)
    held_out = int(count * ood_fraction)
    if not 0 < held_out < count:
        raise TaskOptionError(
            f"'ood_fraction' is {ood_fraction}: it holds out {held_out} of {count} combinations "
            "of rules, but both sides need at least one"
        )
    generator = Generator().manual_seed(seed_of("combinations", split_seed, *combinations.shape))
    order = torch.randperm(count, generator=generator)
    return combinations[order[held_out:]], combinations[order[:held_out]]


class Prior:
    """Probability of the rules (r_1, ..., r_K) of K features, for a uniform combination.

    With `shuffled` the entries of the combination are dealt to the features by a uniform
    permutation, p = prod_r m_r! / (K! N) with m_r the multiplicities; else feature f has the f-th
    entry, p = 1/N. Rules outside the N combinations have p = 0.

    Raises:
        ValueError: if there are more rule tuples than 64-bit numbers.

    """

    def __init__(self, combinations: Tensor, rules: int, *, shuffled: bool) -> None:
        features = combinations.shape[1]
        if rules**features >= 1 << 63:
            raise TaskOptionError(f"{rules} rules on {features} features are too many to enumerate")
        self._digits = rules ** torch.arange(features)
        self._shuffled = shuffled
        codes = (combinations * self._digits).sum(-1)
        self._codes, order = codes.sort()
        ways = torch.ones(len(combinations), dtype=torch.float64)
        if shuffled:
            counts = torch.nn.functional.one_hot(combinations, rules).sum(1)
            ways = (torch.lgamma(counts.double() + 1).sum(-1) - math.lgamma(features + 1)).exp()
        self._probability = ways[order] / len(combinations)

    def __call__(self, rules: Tensor) -> Tensor:
        """Probability (M,), float64, of ordered rule ids (M, K)."""
        ascending = rules.sort(-1).values
        codes = (ascending * self._digits).sum(-1)
        place = torch.searchsorted(self._codes, codes).clamp(max=len(self._codes) - 1)
        known = self._codes[place] == codes
        if not self._shuffled:
            known &= (ascending == rules).all(-1)
        return self._probability[place] * known
