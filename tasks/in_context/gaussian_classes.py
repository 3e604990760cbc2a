"""Few-shot episodes over Gaussian classes, where the Bayes posterior is exact."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from attenergy.tasks.core.base import check_whole
from attenergy.tasks.core.batches import Batch, Estimate
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.in_context.episodes import Episodes, nearest_mean
from attenergy.tasks.in_context.sampling import check_number, fine_numbers, standard_normal

_INSTANCES = 4096  # of a ceiling
_MOST_DISTANCES = 1 << 20  # numbers of an episode's distances


class FewShotGaussians(Episodes):
    """Episodes over classes N(mu_c, sigma^2 I) with mu_c ~ N(0, s^2 I), new ones in every episode.

    Tokens, answers and metric: see `Episodes`. Splits: `train`, `valid` and `test` share no class;
    `ood_noise` has f times the sigma, `ood_spread` f times the s.

    `ceiling(split)` is the accuracy of the exact posterior, which knows the split's sigma and s:
    after K examples with the mean x_c a new one of class c is N(a x_c, v I),

        a = K s^2 / (K s^2 + sigma^2),    v = sigma^2 + s^2 sigma^2 / (K s^2 + sigma^2),

    so the posterior of a query x is softmax_c(-|x - a x_c|^2 / 2v). For one example of each class
    that is one log-sum-exp step over the examples, each with the field -|a x_c|^2 / 2v.

    Args:
        dim: D >= 1, the features.
        ways: N >= 2.
        shots: K >= 1.
        queries: m >= 1.
        noise: sigma > 0.
        spread: s > 0.
        ood_factor: f > 1.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range.

    Source: this project; episodes after Vinyals et al. 2016, arXiv:1606.04080.

    Example:
        >>> print(FewShotGaussians(dim=2, ways=2, queries=2).sample("train", 0))
             1: -2.10 +0.12
             0: +2.03 +0.35
             0: +1.00 +1.37
             1: -0.99 +0.25
         ? (0): +0.91 +0.02
         ? (1): -0.08 +0.32
    """

    splits = ("train", "valid", "test", "ood_noise", "ood_spread")

    def __init__(
        self,
        *,
        dim: int = 8,
        ways: int = 5,
        shots: int = 2,
        queries: int = 8,
        noise: float = 0.8,
        spread: float = 1.0,
        ood_factor: float = 1.5,
        name: str = "few-shot-gaussians",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.dim = check_whole("dim", dim, 1)
        self.noise = check_number("noise", noise, above=0)
        self.spread = check_number("spread", spread, above=0)
        self.ood_factor = check_number("ood_factor", ood_factor, above=1)
        self.declare(ways, shots, queries, self.dim)
        super().__init__()

    def noise_of(self, split: str) -> float:
        """Standard deviation sigma within the classes of a split."""
        return self.noise * (self.ood_factor if split == "ood_noise" else 1)

    def spread_of(self, split: str) -> float:
        """Standard deviation s of the means of the classes of a split."""
        return self.spread * (self.ood_factor if split == "ood_spread" else 1)

    def draw_episodes(self, split: str, query_labels: Tensor, generator: Generator) -> Fields:
        """Draw `means` (n, N, D) and `features` (n, N K + m, D), float64."""
        count = len(query_labels)
        numbers = draw_in_part(
            lambda size: {"means": fine_numbers(size, self.ways, self.dim, generator=generator)},
            lambda fields: fields["means"].flatten(1),
            split if split in ("train", "valid", "test") else "test",
            count,
            at_once=4096,
        )["means"]
        means = self.spread_of(split) * standard_normal(numbers)
        size = (count, self.inputs.length, self.dim)
        noise = torch.randn(size, generator=generator, dtype=torch.float64)
        own = self.labels_of(query_labels)[..., None].expand(size)
        return {"means": means, "features": means.gather(1, own) + self.noise_of(split) * noise}

    def features_of(self, instances: Fields) -> Tensor:
        """Features (n, N K + m, D) as they were drawn."""
        return instances["features"]

    def log_posterior(self, batch: Batch, split: str) -> Tensor:
        """Log of the exact posterior (B, L, N) of every token's class, given the examples.

        Args:
            batch: of this task; its mask is not read.
            split: whose sigma and s are known.
        """
        noise, spread = self.noise_of(split) ** 2, self.spread_of(split) ** 2
        known = self.shots * spread + noise
        features, shown = batch.inputs[..., : self.dim], batch.inputs[..., self.dim :]
        centres = self.shots * spread / known * (shown.mT @ features / self.shots)
        variance = noise + spread * noise / known
        return (-torch.cdist(features, centres).square() / (2 * variance)).log_softmax(-1)

    def references(self, split: str) -> dict[str, Estimate]:
        """Accuracy on a split of rules that learn nothing; `bayes` is the ceiling.

        `trained_bayes` is the posterior for the sigma and s of training, `nearest_mean` the class
        with the nearest mean of examples, `guess` any class.

        Raises:
            ValueError: for an unknown split.
        """
        batch = self._evaluated(self.check_split(split))
        posterior = self.log_posterior(batch, split).exp()

        def expected(answers: Tensor) -> Estimate:
            best = answers.argmax(-1, keepdim=True)
            return Estimate.of(posterior.gather(-1, best)[:, self.support :, 0].mean(-1))

        return {
            "bayes": expected(posterior),
            "trained_bayes": expected(self.log_posterior(batch, "train")),
            "nearest_mean": expected(nearest_mean(batch, self.ways)),
            "guess": Estimate(1 / self.ways, 0.0, 0),
        }

    def _evaluated(self, split: str) -> Batch:
        batch = self.batch(split, 0, _INSTANCES)
        return Batch(batch.inputs.double(), batch.targets)

    def _ceiling(self, split: str) -> Estimate | None:
        distances = self.inputs.length * self.ways
        if not self.affordable(_INSTANCES, distances, _MOST_DISTANCES):
            return None
        best = self.log_posterior(self._evaluated(split), split).amax(-1).exp()
        return Estimate.of(best[:, self.support :].mean(-1))
