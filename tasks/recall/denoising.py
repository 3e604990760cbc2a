"""Estimation of a stored pattern from a noisy copy: its best estimate is one step of attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import Task, check_whole
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields

_INSTANCES = 1024  # of the ceiling: those on which the registry's task is evaluated
_MOST_SCORES = 1 << 27  # products of numbers that a ceiling takes


class Denoising(Task):
    """y = x + noise, x one of N stored patterns on the unit sphere of d dimensions: estimate x.

    Patterns X are uniform on |x_i| = 1, y = x_k + sigma n with n ~ N(0, I), and `noise` is the
    root of the mean of |y - x_k|^2, so that sigma = noise/sqrt(d). Inputs (B, N + 1, d) of kind
    `memory`: the stored patterns, then y. Targets (B, d, 1): x_k. The answer is the state itself, a
    number for each component; no sign is taken of it. Nothing is to be trained.

    Metric `explained`: the share of |x_k|^2 that is explained by the answers a, times the one
    number that suits best for all of them, since a layer that is trained may scale what it reads:

        explained = 1 - min_c mean |c a - x_k|^2 = (mean a'x_k)^2/mean |a|^2,

    means over all instances of a split. The mean of the stored patterns, the best answer that does
    not look at y, has 1/N, the `chance`; the copy has 1/(1 + noise^2). `mse` is the mean of
    |a - x_k|^2, without such a number.

    The best answer is known. Given y, every pattern is as likely as the noise that it needs, and
    all have one length: p(k | y) ~ exp(-|y - x_k|^2/(2 sigma^2)) ~ exp(x_k'y/sigma^2). The mean
    squared error is least at the mean of what is possible, sum_k p(k | y) x_k, hence

        estimate = X' softmax(beta* X y),   beta* = 1/sigma^2 = d/noise^2.

    That is one step of size 1 from y down 1/2 |xi|^2 - lse(beta* X xi)/beta*: log-sum-exp at beta*
    is provably optimal, and no function of the patterns and the copy explains more, as a function
    times a number is one too. `ceiling` is the score of this estimate over 1024 instances of the
    split, with its standard error; on the same instances log-sum-exp at beta* scores exactly as
    much.

    Splits are drawn from generators of their own, and no memory comes twice.

    Args:
        dim: d >= 1.
        patterns: N >= 2.
        noise: the root of the mean squared length of the noise, above 0; a pattern has length 1.
        name: name in reports.
        seed: decides the training stream, which nobody needs.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range.

    Source: Ramsauer et al. 2020, arXiv:2008.02217; the estimate is the posterior mean of a mixture,
    as in Vincent 2011, doi:10.1162/NECO_a_00142.

    Example:
        >>> task = Denoising(dim=3, patterns=4, noise=1.0)
        >>> print(task.sample("train", 0))
        stored: 4 patterns of 3 numbers, number 3 is meant
        copy:   +1.16 -0.66 -0.78
        answer: +0.57 -0.59 -0.57
        >>> task.beta
        3.0
    """

    splits = ("train", "valid", "test")
    metric = "explained"

    def __init__(
        self,
        *,
        dim: int = 16,
        patterns: int = 64,
        noise: float = 1.6,
        name: str = "denoising",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.dim = check_whole("dim", dim, 1)
        self.patterns = check_whole("patterns", patterns, 2)
        number = isinstance(noise, int | float) and not isinstance(noise, bool)
        if not number or not 0 < noise < math.inf:
            raise TaskOptionError(f"'noise' must be a finite number above 0, got {noise!r:.40}")
        self.noise = noise
        self.inputs = Inputs("memory", self.dim, self.patterns + 1)
        self.outputs = Outputs(1, kind="number")
        self.chance = {"explained": 1 / self.patterns}
        super().__init__()

    @property
    def beta(self) -> float:
        """beta* = d/noise^2, at which log-sum-exp is the best estimate."""
        return self.dim / self.noise**2

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `stored` (n, N, d), `index` (n,) and `noise` (n, d), float32."""
        scale = self.noise / math.sqrt(self.dim)
        stored, index, noise = _drawn(count, self.patterns, self.dim, generator.initial_seed())
        return {"stored": stored, "index": index, "noise": scale * noise}

    def encode(self, instances: Fields) -> Batch:
        """Patterns and copy (B, N + 1, d), and the wanted pattern (B, d, 1)."""
        stored, index, noise = (instances[name] for name in ("stored", "index", "noise"))
        wanted = stored[torch.arange(len(stored)), index]
        return Batch(torch.cat([stored, (wanted + noise)[:, None]], 1), wanted[..., None])

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`mse` (B,), |a - x|^2 for answers and targets (B, d, 1)."""
        return {"mse": (logits - targets).square().sum((-2, -1))}

    def tally(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Sums of a'x, |a|^2 and |x|^2 over instances."""
        products, squares = (sums.sum() for sums in _products(logits, targets))
        return {
            "products": products,
            "squares": squares,
            "wanted": targets.double().cpu().square().sum(),
        }

    def summary(self, tally: Mapping[str, Tensor]) -> dict[str, float]:
        """`explained`; 0 for answers that are all 0."""
        scale = (tally["squares"] * tally["wanted"]).item()
        return {"explained": tally["products"].item() ** 2 / scale if scale else 0.0}

    def best(self, batch: Batch) -> Tensor:
        """The best estimate (B, d, 1): X' softmax(beta* X y), the mean of the posterior."""
        rows = batch.inputs.double()
        stored, copy = rows[:, :-1], rows[:, -1, :, None]
        weights = (self.beta * stored @ copy).softmax(-2)
        return stored.mT @ weights

    def _ceiling(self, split: str) -> Estimate | None:
        if not self.affordable(_INSTANCES, self.numbers * _INSTANCES, _MOST_SCORES):
            return None
        batch = self.batch(split, 0, _INSTANCES)
        products, squares = _products(self.best(batch), batch.targets)
        ratio = products.sum() / squares.sum()
        # what an instance adds to (mean a'x)^2/mean |a|^2, to first order
        shares = Estimate.of(2 * ratio * products - ratio**2 * squares)
        return Estimate((ratio * products.mean()).item(), shares.error, _INSTANCES)

    def sample(self, split: str, index: int) -> DenoisingInstance:
        """Instance `index` of `split`, to look at."""
        batch, at = self.batch(split, index, 1), self.instances(split, index, 1)["index"]
        *stored, copy = (tuple(row) for row in batch.inputs[0].tolist())
        return DenoisingInstance(tuple(stored), copy, int(at))


def _products(answers: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """A'x and |a|^2 of every instance (B,)."""
    a, x = (each.double().cpu().flatten(1) for each in (answers, wanted))
    return (a * x).sum(-1), (a * a).sum(-1)


@lru_cache(maxsize=4)
def _drawn(count: int, patterns: int, dim: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Patterns on the sphere, the one that is meant, and standard normal noise.

    Remembered, since a model that is not trained is judged faster than the instances are drawn.
    """
    generator = Generator().manual_seed(seed)
    stored = F.normalize(torch.randn(count, patterns, dim, generator=generator), dim=-1)
    index = torch.randint(patterns, (count,), generator=generator)
    return stored, index, torch.randn(count, dim, generator=generator)


@dataclass(frozen=True)
class DenoisingInstance:
    """The stored patterns and the noisy copy; `index` says of which one.

    Example:
        >>> Denoising(dim=2, patterns=2, noise=0.5).sample("train", 0).index
        0
    """

    stored: tuple[tuple[float, ...], ...]
    copy: tuple[float, ...]
    index: int

    def __str__(self) -> str:
        sizes = f"{len(self.stored)} patterns of {len(self.copy)} numbers"
        return "\n".join(
            [
                f"stored: {sizes}, number {self.index} is meant",
                f"copy:   {_line(self.copy)}",
                f"answer: {_line(self.stored[self.index])}",
            ]
        )


def _line(numbers: tuple[float, ...]) -> str:
    return " ".join(f"{number:+.2f}" for number in numbers)
