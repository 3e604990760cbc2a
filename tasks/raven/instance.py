"""One symbolic Raven matrix, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class RavenInstance:
    """One matrix: rules per feature, the grid (G, G, K) before and after the columns' permutation.

    `permutations` (G, K), one per column; `tokens` (G*G*K, F), what a model reads; `answer`, the
    last panel as shown.

    Example:
        >>> instance = Raven(features=2, permute=False).sample("train", 0)
        >>> instance.rules, instance.answer
        (('constant', 'progression_minus_1'), (6, 3))
    """

    rules: tuple[str, ...]
    grid: Tensor
    shown: Tensor
    permutations: Tensor
    tokens: Tensor
    answer: tuple[int, ...]

    def __str__(self) -> str:
        features = [f"feature {f}: {rule}" for f, rule in enumerate(self.rules)]
        orders = [f"column {c}: {order}" for c, order in enumerate(self.permutations.tolist())]
        return "\n".join(
            [
                "as shown:",
                *_rows(self.shown, hide_last=True),
                f"answer: {_panel(self.answer, 1)}",
                "features in the order of their rules:",
                *_rows(self.grid, hide_last=False),
                *features,
                "feature at each place of a panel:",
                *orders,
            ]
        )


def _panel(numbers: Sequence[int], width: int) -> str:
    return "[" + " ".join(f"{number:{width}}" for number in numbers) + "]"


def _rows(grid: Tensor, *, hide_last: bool) -> list[str]:
    width = len(str(int(grid.max())))
    rows = [[_panel(panel, width) for panel in row] for row in grid.tolist()]
    if hide_last:
        rows[-1][-1] = "[" + "?".center(len(rows[-1][-1]) - 2) + "]"
    return ["  " + "  ".join(row) for row in rows]
