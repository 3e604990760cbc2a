"""How many numbers a step computes, against softmax attention: counted, not timed.

What torch is called for, forward and backward, is counted at a usual size: one for each number that
comes out of a call, and two for each product inside a contraction. So the figure is the same on
every machine and under every load.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from attenergy.energies.language import Expr, stable_form
from attenergy.search.discovery.filters.evaluate import update_of
from attenergy.search.discovery.filters.families import parameters_of
from attenergy.search.discovery.filters.subject import Subject
from attenergy.search.discovery.formulas import Candidate

#: A step that computes more than this many times what softmax does is refused.
MOST_TIMES = 8.0
_STATES, _PATTERNS, _DIM = 32, 32, 16
_SOFTMAX = "0.5*|xi|^2 - lse(beta*X @ xi)/beta"
_CONTRACTIONS = ("mm", "bmm", "addmm", "baddbmm")


def is_cheap(subject: Subject) -> str:
    """The reason why a step is too dear, or nothing."""
    ratio = cost_ratio(subject.tree)
    if ratio > MOST_TIMES:
        return f"a step computes {ratio:.1f} times what softmax does, at most {MOST_TIMES:g}"
    return ""


def cost_ratio(tree: Expr) -> float:
    """Numbers that a step on a tree computes, as a multiple of softmax's.

    Example:
        >>> from attenergy.search.discovery.filters.cost import cost_ratio
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> cost_ratio(Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta").normal_form)
        1.0
    """
    return _count(tree) / softmax_count()


@cache
def softmax_count() -> float:
    """Numbers that a step of softmax computes; the first call in a process takes a second."""
    return _count(stable_form(Candidate.from_formula(_SOFTMAX).tree))


def _count(tree: Expr) -> float:
    generator = torch.Generator("cpu").manual_seed(33)
    numbers = torch.randn(_STATES + _PATTERNS, _DIM, generator=generator, device="cpu")
    one = torch.ones(1, 1, device="cpu")
    values: dict[str, Tensor | float] = dict.fromkeys(parameters_of(tree), one)
    values |= {"xi": numbers[:_STATES], "X": numbers[_STATES:]}
    values["h"] = torch.zeros(1, _PATTERNS, device="cpu")
    counter = _Counter()
    with counter:
        update_of(tree, values)
    return counter.total


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what every call computes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: float = 0.0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.__name__.split(".")[0]
        if name in _CONTRACTIONS:
            self.total += 2.0 * args[-2].shape[-1] * result.numel()
        elif isinstance(result, Tensor) and not _is_view(result, args):
            self.total += math.prod(result.shape)
        return result


def _is_view(result: Tensor, args: tuple[Any, ...]) -> bool:
    """Whether nothing was computed."""
    first = args[0] if args else None
    return isinstance(first, Tensor) and first.data_ptr() == result.data_ptr()
