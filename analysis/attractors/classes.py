"""How many patterns a state rests on, and what that is called."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor


class RestClass(NamedTuple):
    """One class of fixed points: its name, its sign in tables, and what it is in words."""

    name: str
    sign: str
    about: str


#: From the widest to the narrowest; the first four are (I) to (IV) of the study of BERT's heads.
CLASSES: Final = (
    RestClass("global average", "I", "more than half of the patterns in sight"),
    RestClass("large subset", "II", "more than an eighth of them"),
    RestClass("medium subset", "III", "more than a thirty-second of them"),
    RestClass("small subset", "IV", "fewer, but more than one"),
    RestClass("single pattern", "1", "one pattern alone"),
)
GLOBAL, LARGE, MEDIUM, SMALL, SINGLE = range(len(CLASSES))
#: The share of the weight that is counted.
MASS: Final = 0.9
#: A state that sees fewer patterns than this is of no class: one alone is all and single at once.
LEAST_PATTERNS: Final = 2


def patterns_for_mass(weights: Tensor, mass: float = MASS) -> Tensor:
    """The smallest number k of patterns that hold `mass` of a state's weight, (...,).

    Weights that are no distribution count by their shares |w|/sum |w|; k is 0 where all are 0.

    Args:
        weights: (..., S).
        mass: in (0, 1].
    """
    sizes = weights.abs().float()
    total = sizes.sum(-1, keepdim=True)
    falling = (sizes / torch.where(total > 0, total, 1.0)).sort(-1, descending=True).values
    # What is left of the mass in rounding needs no further pattern.
    before = falling.cumsum(-1) - falling
    needed = (before < mass - 1e-6) & (falling > 0)
    return needed.sum(-1)


def classify(k: Tensor, seen: Tensor) -> Tensor:
    """The place in `CLASSES` of states that rest on k of `seen` patterns; -1 for no class.

    With N patterns in sight (I) is k > N/2, (II) N/8 < k <= N/2, (III) N/32 < k <= N/8 and (IV)
    k <= N/32, of which k = 1 is set apart as a single pattern; and k = 1 is that at any N, where
    N/32 is below 1 too. The bounds are those of Ramsauer et al. 2020, arXiv:2008.02217, where N is
    512 (256, 64 and 16 patterns).

    Args:
        k: whole numbers, as `patterns_for_mass` gives them.
        seen: N of each state, the same shape.
    """
    kind = torch.full_like(k, SMALL)
    kind[32 * k > seen] = MEDIUM
    kind[8 * k > seen] = LARGE
    kind[2 * k > seen] = GLOBAL
    kind[k == 1] = SINGLE
    kind[(k < 1) | (seen < LEAST_PATTERNS)] = -1
    return kind
