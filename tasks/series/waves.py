"""Classification of noisy series: which graph couples the oscillators that are seen?"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, Task, check_whole, scored_hits
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.series.normal_modes import laplacian, normal, normal_modes, oscillate
from attenergy.tasks.series.oscillators import SeriesInstance

GRAPHS = ("none", "chain", "ring", "star", "complete")
_CEILING_INSTANCES = 4096
_MOST_NUMBERS = 1 << 22  # in the covariances of all graphs
_MOST_CHANNELS = 5  # all numberings of the oscillators are told apart


class Waves(Task):
    """n equal oscillators x'' = -(1 + c Laplacian(A)) x, seen at t = 0 .. L-1 with noise.

    The class is the graph A: none, chain, ring, star or complete, each as likely; its nodes are
    numbered at random. The starts are drawn such that every x_t is standard normal whatever the
    graph: only the course in time tells. Noise N(0, noise^2) is added to every number seen.
    Input (B, L, n); the class is answered at the last token.

    Metric `accuracy`. `ceiling` is that of the exact posterior, over 4096 instances: for a known
    graph the series is a Gaussian process with covariance cos(sqrt(K) (t - s)).

    Args:
        channels: n, 4 or 5. (With fewer, some of the graphs are the same.)
        length: L >= 2.
        coupling: c > 0, with 1 + n c < pi^2, so that no frequency is above pi a step.
        noise: standard deviation of the noise, > 0.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range.

    Source: this project; the process is that of thermal oscillators with unit variance.

    Example:
        >>> print(Waves(channels=4, length=4).sample("train", 0))
        channel 0: +1.07 -0.32 -0.28 +0.51
        channel 1: -0.20 +0.35 +0.59 +0.13
        channel 2: -0.41 +1.28 -0.34 -1.98
        channel 3: -1.42 -0.90 +1.24 +0.30
        answer: complete
    """

    splits = ("train", "valid", "test")
    metric = "accuracy"

    def __init__(
        self,
        *,
        channels: int = 4,
        length: int = 32,
        coupling: float = 0.5,
        noise: float = 0.5,
        name: str = "waves",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.channels = check_whole("channels", channels, 4)
        if self.channels > _MOST_CHANNELS:
            raise TaskOptionError(f"'channels' must be 4 or {_MOST_CHANNELS}, got {channels}")
        self.length = check_whole("length", length, 2)
        most = (math.pi**2 - 1) / self.channels
        if not 0 < coupling < most:
            raise TaskOptionError(
                f"'coupling' must be above 0 and below (pi^2 - 1) / channels = {most:.3g}, so that "
                f"the steps follow the fastest oscillation; got {coupling!r}"
            )
        if not 0 < noise < math.inf:
            raise TaskOptionError(f"'noise' must be a finite number above 0, got {noise!r}")
        self.coupling, self.noise = coupling, noise
        graphs = [numberings(graph, self.channels) for graph in GRAPHS]
        self.class_of = torch.repeat_interleave(torch.tensor([len(g) for g in graphs]))
        self.stiffness = torch.eye(self.channels, dtype=torch.float64) + coupling * laplacian(
            torch.cat(graphs)
        )
        self.inputs = Inputs("vector", self.channels, self.length)
        self.scored_positions = slice(-1, None)
        self.outputs = Outputs(len(GRAPHS))
        self.chance = {"accuracy": 1 / len(GRAPHS)}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `graphs` (N,), numbers of rows of `stiffness`, and `series` (N, L, n), float64."""
        n = self.channels
        share = 1 / torch.bincount(self.class_of)[self.class_of]

        def draw(number: int) -> Fields:
            return {
                "graphs": share.multinomial(number, replacement=True, generator=generator),
                "start": normal(number, 2, n, generator=generator),
            }

        def exactly(fields: Fields) -> Tensor:
            return fields["start"].flatten(1).view(torch.int64)

        fields = draw_in_part(draw, exactly, split, count)
        times = torch.arange(self.length, dtype=torch.float64)
        clean = oscillate(self.stiffness[fields["graphs"]], fields["start"], times)
        noise = self.noise * normal(*clean.shape, generator=generator)
        return {"graphs": fields["graphs"], "series": clean + noise}

    def encode(self, instances: Fields) -> Batch:
        """The series, float32; the class at the last token."""
        targets = torch.full((len(instances["graphs"]), self.length), IGNORE)
        targets[:, -1] = self.class_of[instances["graphs"]]
        return Batch(instances["series"].float(), targets)

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy`: 1 where the last token's largest logit is that of the class."""
        return {"accuracy": scored_hits(logits, targets)[0].any(-1).to(logits.dtype)}

    def posterior(self, series: Tensor) -> Tensor:
        """Probability (N, 5), float64, of every class, given the series (N, L, n)."""
        frequencies, modes = normal_modes(self.stiffness)
        times = torch.arange(self.length, dtype=torch.float64)
        waves = torch.cos((times[:, None] - times)[..., None] * frequencies[:, None, None])
        size = self.length * self.channels
        # (graph, time, time, mode) -> (graph, time and channel, time and channel)
        covariance = torch.einsum("gtsk,gik,gjk->gtisj", waves, modes, modes)
        covariance = covariance.reshape(-1, size, size) + self.noise**2 * torch.eye(
            size, dtype=torch.float64
        )
        factor = torch.linalg.cholesky(covariance)
        seen = series.double().flatten(1).T.expand(len(factor), -1, -1)
        white = torch.linalg.solve_triangular(factor, seen, upper=False)
        volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        evidence = -0.5 * (white**2).sum(1) - volume[:, None]  # (graph, N)
        groups = evidence.split(torch.bincount(self.class_of).tolist())
        each = [group.logsumexp(0) - math.log(len(group)) for group in groups]
        return torch.stack(each, -1).softmax(-1)

    def _ceiling(self, split: str) -> Estimate | None:
        size = len(self.stiffness) * self.numbers**2
        if not self.affordable(_CEILING_INSTANCES, size, _MOST_NUMBERS):
            return None
        series = self.instances(split, 0, _CEILING_INSTANCES)["series"]
        return Estimate.of(self.posterior(series).amax(-1))

    def sample(self, split: str, index: int) -> SeriesInstance:
        """Instance `index` of `split`, to look at."""
        fields = self.instances(split, index, 1)
        return SeriesInstance(fields["series"][0], GRAPHS[self.class_of[fields["graphs"][0]]])


def numberings(graph: str, n: int) -> Tensor:
    """All adjacency matrices (M, n, n), float64, of a graph of n nodes, however numbered."""
    edges = {
        "none": [],
        "chain": [(i, i + 1) for i in range(n - 1)],
        "ring": [(i, (i + 1) % n) for i in range(n)],
        "star": [(0, i) for i in range(1, n)],
        "complete": list(itertools.combinations(range(n), 2)),
    }[graph]
    renamed = {
        tuple(sorted(tuple(sorted((order[i], order[j]))) for i, j in edges))
        for order in itertools.permutations(range(n))
    }
    matrices = torch.zeros(len(renamed), n, n, dtype=torch.float64)
    for matrix, pairs in zip(matrices, sorted(renamed), strict=True):
        for i, j in pairs:
            matrix[i, j] = matrix[j, i] = 1.0
    return matrices
