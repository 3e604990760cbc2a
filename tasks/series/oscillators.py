"""Forecasting of coupled oscillators whose couplings must be learned from the series itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import Task, check_whole
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.series.normal_modes import laplacian, normal, oscillate

_SOFT, _STIFF = 0.25, 1.0  # range of an oscillator's own spring


class Oscillators(Task):
    """x'' = -K x seen at t = 0, 1, 2, ...: from x_0 .. x_t, tell x_(t+1), at every t.

    K = diag(s) + Laplacian(w) is drawn anew for every series: s_i ~ U(1/4, 1), w_ij ~ U(0, c). The
    starts are drawn such that every x_t is standard normal. Input (B, L, n), x_0 to x_(L-1);
    targets (B, L, n), NaN before t = n + 1.

    From there on the answer is known: x_(t+1) + x_(t-1) = C x_t with C = 2 cos(sqrt K), and the n
    earlier equations determine C. So the best `r2` is 1, by linear regression within the series.
    Metric `r2` of a series: 1 - (mean squared error) / 1, as the variance is 1 by construction;
    answering 0 has 0 on average, and so has `chance`.

    Args:
        channels: n >= 1.
        length: L >= n + 2.
        coupling: c >= 0, with 1 + n c < pi^2, so that no frequency is above pi a step.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range.

    Source: linear dynamics learned in context, after von Oswald et al. 2023, arXiv:2309.05858.

    Example:
        >>> print(Oscillators(channels=1, length=6).sample("train", 0))
        channel 0: +2.04 +1.81 +0.95 -0.25 -1.37 -1.99
        answer: -1.92
    """

    splits = ("train", "valid", "test")
    metric = "r2"

    def __init__(
        self,
        *,
        channels: int = 3,
        length: int = 32,
        coupling: float = 1.0,
        name: str = "oscillators",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.channels = check_whole("channels", channels, 1)
        self.length = check_whole("length", length, self.channels + 2)
        most = (math.pi**2 - _STIFF) / self.channels
        if not 0 <= coupling < most:
            raise TaskOptionError(
                f"'coupling' must be from 0 and below (pi^2 - 1) / channels = {most:.3g}, so that "
                f"the steps follow the fastest oscillation; got {coupling!r}"
            )
        self.coupling = coupling
        self.inputs = Inputs("vector", self.channels, self.length)
        self.outputs = Outputs(self.channels, kind="number")
        self.chance = {"r2": 0.0}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `stiffness` (N, n, n) and `series` (N, L + 1, n), float64."""
        n = self.channels

        def draw(number: int) -> Fields:
            def uniform(*size: int) -> Tensor:
                return torch.rand(number, *size, generator=generator, dtype=torch.float64)

            weights = self.coupling * uniform(n, n).triu(1)
            own = torch.diag_embed(_SOFT + (_STIFF - _SOFT) * uniform(n))
            start = normal(number, 2, n, generator=generator)
            return {"stiffness": own + laplacian(weights + weights.mT), "start": start}

        def exactly(fields: Fields) -> Tensor:
            return fields["start"].flatten(1).view(torch.int64)

        fields = draw_in_part(draw, exactly, split, count)
        times = torch.arange(self.length + 1, dtype=torch.float64)
        return {
            "stiffness": fields["stiffness"],
            "series": oscillate(fields["stiffness"], fields["start"], times),
        }

    def encode(self, instances: Fields) -> Batch:
        """The series and what comes next, float32."""
        series = instances["series"].float()
        targets = series[:, 1:].clone()
        targets[:, : self.channels + 1] = torch.nan
        return Batch(series[:, :-1], targets)

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`r2` (B,) from answers and targets (B, L, n)."""
        error = (logits - targets)[:, self.channels + 1 :] ** 2
        return {"r2": 1 - error.mean((-2, -1))}

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # what is scored follows from what was seen

    def sample(self, split: str, index: int) -> SeriesInstance:
        """Instance `index` of `split`, to look at."""
        fields = self.instances(split, index, 1)
        answer = " ".join(f"{x:+.2f}" for x in fields["series"][0, -1].tolist())
        return SeriesInstance(fields["series"][0, :-1], answer)


@dataclass(frozen=True, eq=False)
class SeriesInstance:
    """A series (L, n) and what is to be answered at its end.

    Example:
        >>> Oscillators(channels=1, length=6).sample("train", 0).series.shape
        torch.Size([6, 1])
    """

    series: Tensor
    answer: str

    def __str__(self) -> str:
        rows = [
            f"channel {number}: " + " ".join(f"{x:+.2f}" for x in channel)
            for number, channel in enumerate(self.series.T.tolist())
        ]
        return "\n".join([*rows, f"answer: {self.answer}"])
