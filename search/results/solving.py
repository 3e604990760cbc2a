"""Runs that either solve a task or do not: whether a study is of that kind, and how many did.

A mean of .6 that stands for three runs at 1 and two at chance says little of any run, and Student's
interval around it less. Such studies are shown by counts, and by every seed.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Of the way from chance to ceiling: from the upper one on a run has solved the task, below the
#: lower one it has not; between them, a study of this kind has at most the given share of its runs.
_SOLVED, _UNSOLVED, _BETWEEN = 0.9, 0.5, 0.1
_FEWEST = 3  # runs


def solved_from(
    scores: Iterable[float], chance: float | None, ceiling: float | None
) -> float | None:
    """The score from which on a run has solved the task; None where runs are not of that kind.

    Args:
        scores: of all runs over seeds, in one column.
        chance: score of guessing; 0 if unknown.
        ceiling: the best possible score; 1 if unknown.
    """
    low, high = (0.0 if chance is None else chance), (1.0 if ceiling is None else ceiling)
    if high <= low:
        return None
    places = [(score - low) / (high - low) for score in scores]
    solved = sum(place >= _SOLVED for place in places)
    between = sum(_UNSOLVED <= place < _SOLVED for place in places)
    of_that_kind = 0 < solved < len(places) - between and between <= _BETWEEN * len(places)
    return low + _SOLVED * (high - low) if of_that_kind and len(places) >= _FEWEST else None


def count_solved(scores: Iterable[float], least: float) -> int:
    """How many scores are a solved task, by `solved_from`."""
    return sum(score >= least for score in scores)
