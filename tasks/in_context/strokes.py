"""Few-shot episodes over characters of random strokes, in place of Omniglot."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import check_whole
from attenergy.tasks.core.sampling import distinct
from attenergy.tasks.core.streams import Fields, seed_of
from attenergy.tasks.in_context.episodes import Episodes
from attenergy.tasks.in_context.sampling import check_number

_DOTS = 8  # along a stroke
_PEN = 0.045  # radius of a dot; the picture has side 1
_MARGIN = 0.1  # around the control points
_HELD_OUT = 1000  # classes of each split but train
_MOST_CLASSES = 100_000


class FewShotStrokes(Episodes):
    """Episodes over characters: a few strokes on a grid, drawn anew and unsteadily every time.

    A class is S strokes, each a quadratic Bezier curve with three control points; a stroke begins
    where the one before it ended, or anywhere, each with probability 1/2. A drawing moves every
    control point by N(0, jitter^2) and the whole by N(0, jitter^2), in sides of the picture. Its
    pixels, g x g from 0 to 1, are 1 - exp(-sum of Gaussian dots along the curves).

    Tokens, answers and metric: see `Episodes`. The classes are drawn from `split_seed`, others for
    each split: `train_classes` for `train`, 1000 each for `valid`, `test` and `ood`, whose
    characters have one stroke more. No ceiling is known.

    Args:
        grid: g >= 4.
        strokes: S >= 1.
        jitter: standard deviation >= 0.
        ways: N >= 2.
        shots: K >= 1.
        queries: m >= 1.
        train_classes: from N to 100,000.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the classes and the evaluation sets.

    Raises:
        ValueError: for options out of range.

    Source: this project, after Omniglot (Lake et al. 2015, doi:10.1126/science.aab3050); episodes
    after Vinyals et al. 2016, arXiv:1606.04080.

    Example:
        >>> FewShotStrokes(ways=2, queries=1).batch("train", 0, 4).inputs.shape
        torch.Size([4, 3, 102])
    """

    splits = ("train", "valid", "test", "ood")

    def __init__(
        self,
        *,
        grid: int = 10,
        strokes: int = 3,
        jitter: float = 0.05,
        ways: int = 5,
        shots: int = 1,
        queries: int = 5,
        train_classes: int = 1000,
        name: str = "few-shot-strokes",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.side = check_whole("grid", grid, 4)
        self.strokes = check_whole("strokes", strokes, 1, 16)
        self.jitter = check_number("jitter", jitter, least=0)
        self.declare(ways, shots, queries, self.side**2)
        sizes = dict.fromkeys(self.splits, _HELD_OUT)
        sizes["train"] = check_whole("train_classes", train_classes, 1, _MOST_CLASSES)
        if self.ways > min(sizes.values()):
            raise TaskOptionError(
                f"'ways' must be at most {min(sizes.values())}, the classes of a split "
                f"('train_classes' is {train_classes}); got {ways}"
            )
        check_whole("split_seed", split_seed)
        self.characters = {split: self._characters(split, sizes[split]) for split in self.splits}
        super().__init__()

    def _characters(self, split: str, count: int) -> Tensor:
        """Control points (count, S, 3, 2) of the classes of a split."""
        strokes = self.strokes + (split == "ood")
        key = seed_of("characters", self.split_seed, split, strokes)
        generator = Generator().manual_seed(key)
        points = torch.rand(count, strokes, 3, 2, generator=generator)
        joined = torch.rand(count, strokes, 1, generator=generator) < 0.5
        points[:, 1:, 0] = torch.where(joined[:, 1:], points[:, :-1, 2], points[:, 1:, 0])
        return _MARGIN + (1 - 2 * _MARGIN) * points

    def draw_episodes(self, split: str, query_labels: Tensor, generator: Generator) -> Fields:
        """Draw `classes` (n, N) and the control points of drawings, `curves` (n, L, S, 3, 2)."""
        pool = self.characters[split]
        classes = distinct(len(query_labels), self.ways, len(pool), generator)
        drawn = classes.gather(1, self.labels_of(query_labels))
        bends = torch.randn(*drawn.shape, *pool.shape[1:], generator=generator)
        moves = torch.randn(*drawn.shape, 1, 1, 2, generator=generator)
        return {"classes": classes, "curves": pool[drawn] + self.jitter * (bends + moves)}

    def features_of(self, instances: Fields) -> Tensor:
        """Pixels (n, L, g^2) of the drawings."""
        return render(instances["curves"], self.side)


def render(curves: Tensor, grid: int) -> Tensor:
    """Pixels (..., grid^2), from 0 to 1, of quadratic Bezier curves (..., S, 3, 2).

    A curve with control points a, b, c is (1-t)^2 a + 2t(1-t) b + t^2 c, 0 <= t <= 1. Every dot on
    it adds exp(-r^2 / 2 pen^2) to the ink, and a pixel is 1 - exp(-ink).
    """
    t = torch.linspace(0, 1, _DOTS, dtype=curves.dtype)
    basis = torch.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], -1)
    dots = (basis @ curves).flatten(-3, -2)  # (..., S * dots, 2)
    centres = (torch.arange(grid, dtype=curves.dtype) + 0.5) / grid
    spread = (-((dots[..., None] - centres) / _PEN).square() / 2).exp()  # (..., dots, 2, grid)
    ink = spread[..., 1, :].mT @ spread[..., 0, :]
    return 1 - (-ink.flatten(-2)).exp()
