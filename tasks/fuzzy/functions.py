"""Functions of fuzzy logic in disjunctive normal form: their values, their splits, their solver.

Zadeh's operators: x AND y = min(x, y), x OR y = max(x, y), NOT x = 1 - x.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.streams import seed_of

MOST_VARIABLES = 9  # 512 terms: with more, known or unknown ones make too many functions
_MOST_FUNCTIONS = 100_000
_MOST_DRAWS = 1000
_CELLS = 1 << 22  # values of candidate functions at a time


def term_bits(terms: Tensor, variables: int) -> Tensor:
    """Sign patterns (..., variables) of term ids (...): 1 plain, 0 negated, highest bit first."""
    return (terms[..., None] >> torch.arange(variables - 1, -1, -1)) & 1


def values_at(points: Tensor, terms: Tensor) -> Tensor:
    """f(x) = max_k min_l (x_l if plain else 1 - x_l): (B, N), from (B, N, L) and ids (B, K)."""
    plain = term_bits(terms, points.shape[-1])[:, None].bool()  # (B, 1, K, L)
    x = points[:, :, None]
    return torch.where(plain, x, 1 - x).amin(-1).amax(-1)


def split_functions(
    variables: int, terms: int, ood_fraction: float, unknown_fraction: float, split_seed: int
) -> dict[str, Tensor]:
    """Split the functions of `terms` distinct terms: `train`, `ood`, `unknown_terms`, each (M, K).

    The last int(2^L unknown_fraction) terms are unknown; the functions of them alone are
    `unknown_terms`. The functions of the others are permuted by `split_seed`; the first int(share
    of `ood_fraction`) are `ood`. The permutation is drawn again until every known term occurs in
    `train`. Functions that mix known and unknown terms belong to no split.

    Raises:
        ValueError: if a split would be empty, if there are more than 100,000 functions, or if no
            permutation was found.

    """
    for name, value in (("ood_fraction", ood_fraction), ("unknown_fraction", unknown_fraction)):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and 0 <= value <= 1):
            raise TaskOptionError(f"'{name}' must be a number between 0 and 1, got {value!r}")
    count = 2**variables
    known = count - int(count * unknown_fraction)
    _check_counts(terms, known, count - known)
    functions = torch.tensor(list(combinations(range(known), terms)))
    held_out = int(len(functions) * ood_fraction)
    if not 0 < held_out < len(functions):
        raise TaskOptionError(
            f"'ood_fraction' is {ood_fraction}: it holds out {held_out} of {len(functions)} "
            "functions, but both sides need at least one"
        )
    unknown = torch.tensor(list(combinations(range(known, count), terms)))
    for draw in range(_MOST_DRAWS):
        generator = Generator().manual_seed(seed_of("functions", split_seed, known, terms, draw))
        order = torch.randperm(len(functions), generator=generator)
        train = functions[order[held_out:]]
        if covers(train, known):
            return {"train": train, "ood": functions[order[:held_out]], "unknown_terms": unknown}
    raise TaskOptionError(
        f"'ood_fraction' is {ood_fraction}: no choice of {len(functions) - held_out} training "
        f"functions was found in which all {known} terms occur; make it smaller"
    )


def covers(functions: Tensor, terms: int) -> bool:
    """Whether every term id below `terms` occurs in the functions (M, K)."""
    return bool((torch.bincount(functions.flatten(), minlength=terms) > 0).all())


def _check_counts(terms: int, known: int, unknown: int) -> None:
    for word, number in (("known", known), ("unknown", unknown)):
        if not 0 < terms <= number:
            raise TaskOptionError(
                f"a function needs {terms} distinct terms, but there are only {number} {word} "
                "ones; change 'unknown_fraction', 'terms' or 'variables'"
            )
        if math.comb(number, terms) > _MOST_FUNCTIONS:
            raise TaskOptionError(
                f"{math.comb(number, terms)} functions of {terms} out of {number} terms are too "
                f"many, at most {_MOST_FUNCTIONS}"
            )


def expected_r2(points: Tensor, terms: Tensor, functions: Tensor) -> Tensor:
    """Highest expected r2 at the last point given the others' labels, exact: (B,), float64.

    All functions that agree with the labels are equally likely. With y_p the value of one of them
    at the query and v_p the variance of all N labels if it is right, the best answer to the mean of
    1 - (answer - y_p)^2 / v_p is sum_p y_p / v_p / sum_p 1 / v_p.

    Args:
        points: (B, N, L).
        terms: (B, K), the true functions.
        functions: (M, K), the functions held possible, the true ones among them.

    """
    size = max(1, _CELLS // (len(functions) * points.shape[1]))
    pieces = zip(torch.split(points, size), torch.split(terms, size), strict=True)
    return torch.cat([_expected_r2(x, true, functions) for x, true in pieces])


def _expected_r2(points: Tensor, terms: Tensor, functions: Tensor) -> Tensor:
    every = torch.arange(2 ** points.shape[-1])[:, None]
    of_terms = torch.stack([values_at(points, t.expand(len(points), 1)) for t in every])
    labels = of_terms[functions].amax(1).movedim(0, -1)  # (B, N, M)
    seen = values_at(points, terms)[:, :-1, None]
    possible = (labels[:, :-1] == seen).all(1)
    y = labels[:, -1].double()
    weight = torch.where(possible, 1 / labels.double().var(1, correction=0), 0.0)
    answer = (weight * y).sum(-1) / weight.sum(-1)
    loss = (weight * (answer[:, None] - y) ** 2).sum(-1) / possible.sum(-1)
    return 1 - loss
