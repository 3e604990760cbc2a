"""Linear regression in context: a new weight vector in every sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor

from attenergy.tasks.core.base import Task, check_known, check_whole
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.in_context.predictors import (
    Predictor,
    best_rate,
    expected_error,
    gradient_weights,
    least_squares_weights,
    ridge_weights,
)
from attenergy.tasks.in_context.sampling import check_number, fine_numbers, standard_normal

SCORED = ("query", "every")
_INSTANCES = 4096  # of a ceiling or reference
_MOST_SOLVED = 1 << 20  # numbers of the linear systems of one instance


class InContextRegression(Task):
    """y = w'x + noise: from n pairs (x_i, y_i) of a sequence, tell w'x at further points.

    Every sequence has a w of its own, w ~ N(0, s^2/d I), so that w'x has variance s^2; x ~ N(0, I),
    noise ~ N(0, sigma^2). Tokens are [x, y, 1] for a pair and [x, 0, 0] for a query, d + 2 numbers.
    Answer: one number, w'x, at the queries. `scored` says which they are:

        query   n pairs, then m queries, of which each sees all pairs.
        every   n pairs, then n + m queries: the x of every pair, before its y is known, then m
                others. Query t sees the pairs before t and itself, and a pair sees those up to
                itself: `Batch.mask` says so, and no model can look ahead.

    Splits: `train`, `valid` and `test` share no w. `ood_noise` has f times the noise (where there
    is noise), `ood_scale` f times the s, and in `ood_dimension` only d/f of the coordinates of x,
    drawn for each sequence, are not 0.

    The loss is the mean squared error. Metric `r2` = 1 - sum of squared errors / sum of squared
    targets, over all queries of a split: answering 0 has exactly 0, and so has `chance`. `mse`
    stands beside it. With `scored=every` there is `r2_after_k` for the queries that see k = 0, 1,
    2, 4, ... and n pairs. `ceiling(split)` is the `r2` of the Bayes predictor, ridge regression
    with penalty d sigma^2/s^2, which knows the split's own sigma and s; `references` has others.

    Args:
        dim: d >= 1.
        pairs: n >= 1.
        queries: m >= 1.
        scored: `query` or `every`.
        noise: sigma >= 0, a standard deviation.
        scale: s > 0.
        ood_factor: f > 1.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range.

    Source: Garg et al. 2022, arXiv:2208.01066; pairs in one token after von Oswald et al. 2023,
    arXiv:2212.07677.

    Example:
        >>> print(InContextRegression(dim=1, pairs=3, queries=1).sample("train", 0))
          f(-0.27) = +0.94
          f(+1.44) = -0.52
          f(-0.82) = +0.66
          f(+1.35) = ?  answer: -0.98
        w = -0.72
    """

    metric = "r2"

    def __init__(
        self,
        *,
        dim: int = 8,
        pairs: int = 16,
        queries: int = 8,
        scored: str = "query",
        noise: float = 0.25,
        scale: float = 1.0,
        ood_factor: float = 2.0,
        name: str = "in-context-regression",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.dim = check_whole("dim", dim, 1)
        self.pairs = check_whole("pairs", pairs, 1)
        self.queries = check_whole("queries", queries, 1)
        self.every = check_known("kind of scoring", scored, SCORED) == "every"
        self.noise = check_number("noise", noise, least=0)
        self.scale = check_number("scale", scale, above=0)
        self.ood_factor = check_number("ood_factor", ood_factor, above=1)
        ood_noise = ("ood_noise",) if self.noise else ()
        self.splits = ("train", "valid", "test", *ood_noise, "ood_dimension", "ood_scale")
        answers = self.queries + (self.pairs if self.every else 0)
        self.inputs = Inputs("vector", self.dim + 2, self.pairs + answers)
        self.outputs = Outputs(1, kind="number")
        self.scored_positions = slice(-answers, None)
        self.masks_pairs = self.every
        self.chance = {"r2": 0.0}
        super().__init__()

    def noise_of(self, split: str) -> float:
        """Standard deviation of the noise of a split."""
        return self.noise * (self.ood_factor if split == "ood_noise" else 1)

    def scale_of(self, split: str) -> float:
        """Standard deviation s of w'x where all coordinates of x are drawn."""
        return self.scale * (self.ood_factor if split == "ood_scale" else 1)

    def active_of(self, split: str) -> int:
        """How many coordinates of x are not 0."""
        return max(1, int(self.dim / self.ood_factor)) if split == "ood_dimension" else self.dim

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `weights` (N, d), `points` (N, n + m, d) and `noise` (N, n), float64."""
        part = split if split in ("train", "valid", "test") else "test"
        numbers = draw_in_part(
            lambda size: {"w": fine_numbers(size, self.dim, generator=generator)},
            lambda fields: fields["w"],
            part,
            count,
        )["w"]
        scale = self.scale_of(split) / math.sqrt(self.dim)
        size = (count, self.pairs + self.queries, self.dim)
        points = torch.randn(size, generator=generator, dtype=torch.float64)
        if (active := self.active_of(split)) < self.dim:
            place = torch.rand(count, self.dim, generator=generator).argsort(-1)
            points *= (place < active)[:, None]
        noise = torch.randn(count, self.pairs, generator=generator, dtype=torch.float64)
        return {
            "weights": scale * standard_normal(numbers),
            "points": points,
            "noise": self.noise_of(split) * noise,
        }

    def encode(self, instances: Fields) -> Batch:
        """Tokens (B, L, d + 2), float32; w'x at the queries as targets (B, L, 1), NaN elsewhere."""
        points, n = instances["points"], self.pairs
        values = (points @ instances["weights"][..., None])[..., 0]
        shown = torch.stack([values[:, :n] + instances["noise"], torch.ones_like(values[:, :n])], 2)
        rows = slice(None) if self.every else slice(n, None)
        queries = torch.nn.functional.pad(points[:, rows], (0, 2))
        tokens = torch.cat([torch.cat([points[:, :n], shown], -1), queries], 1)
        targets = torch.full((*tokens.shape[:2], 1), torch.nan)
        targets[:, n:, 0] = values[:, rows].float()
        mask = self._visible().expand(len(tokens), -1, -1) if self.every else None
        return Batch(tokens.float(), targets, mask)

    def _visible(self) -> Tensor:
        """Whether a token may see another (L, L): a pair those up to it, a query those before."""
        n, length = self.pairs, self.inputs.length
        seen = torch.eye(length, dtype=torch.bool)
        seen[:n, :n] = torch.ones(n, n, dtype=torch.bool).tril()
        seen[n:, :n] = torch.ones(length - n, n, dtype=torch.bool).tril(-1)
        return seen

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`mse` (B,), the mean squared error of the queries."""
        return {"mse": (logits - targets)[:, self.pairs :].square().mean((-2, -1))}

    def tally(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Squared errors and squared targets at every query, summed over instances, (queries,)."""
        answers, wanted = (x[:, self.pairs :, 0].double().cpu() for x in (logits, targets))
        return {"errors": (answers - wanted).square().sum(0), "squares": wanted.square().sum(0)}

    def summary(self, tally: Mapping[str, Tensor]) -> dict[str, float]:
        """`r2`, and with `scored=every` the `r2_after_k` of queries that see k pairs."""
        errors, squares = tally["errors"], tally["squares"]
        scores = {"r2": 1 - (errors.sum() / squares.sum()).item()}
        for k in self.counts:
            at = slice(k, None if k == self.pairs else k + 1)
            scores[f"r2_after_{k}"] = 1 - (errors[at].sum() / squares[at].sum()).item()
        return scores

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers k of pairs for which `r2_after_k` is reported: 0, powers of 2 and n."""
        if not self.every:
            return ()
        powers = (2**j for j in range(self.pairs.bit_length()))
        return tuple(sorted({0, *powers, self.pairs}))

    def bayes(self, split: str) -> Predictor:
        """Ridge regression that knows the noise and the scale of a split."""
        return partial(ridge_weights, penalty=self._penalty(split))

    def _penalty(self, split: str) -> float:
        return self.dim * (self.noise_of(split) / self.scale_of(split)) ** 2

    def references(self, split: str) -> dict[str, Estimate]:
        """Expected `r2` on a split of predictors that are known in closed form.

        `bayes` is the ceiling; `trained_bayes` ridge regression as it is best in training;
        `least_squares` the shortest least-squares solution, whose error near as many pairs as
        coordinates is large; `gradient_step` the one step of gradient descent that is best in
        training, which is what a layer of linear attention can do; `zero` answers 0.

        Raises:
            ValueError: for an unknown split.
        """
        self.check_split(split)
        counts = range(self.pairs + 1) if self.every else (self.pairs,)
        rate = best_rate(self.dim, counts, self.noise, self.scale)
        predictors: dict[str, Predictor] = {
            "bayes": self.bayes(split),
            "trained_bayes": self.bayes("train"),
            "least_squares": least_squares_weights,
            "gradient_step": partial(gradient_weights, rate=rate),
            "zero": partial(gradient_weights, rate=0.0),
        }
        return {name: self.expected_r2(p, split) for name, p in predictors.items()}

    def expected_r2(self, predictor: Predictor, split: str) -> Estimate:
        """Mean `r2` of a predictor over w and the noise, for the points of 4096 instances."""
        points = self.instances(split, 0, _INSTANCES)["points"]
        noise, scale = self.noise_of(split), self.scale_of(split)
        errors, squares = [], []
        for seen in range(0 if self.every else self.pairs, self.pairs + 1):
            rows = slice(seen, None if seen == self.pairs else seen + 1)
            context, queries = points[:, :seen], points[:, rows]
            weights = predictor(context, queries)
            errors.append(expected_error(weights, context, queries, noise, scale))
            squares.append(expected_error(0 * weights, context, queries, noise, scale))
        return _ratio(torch.cat(errors, -1).mean(-1), torch.cat(squares, -1).mean(-1))

    def _ceiling(self, split: str) -> Estimate | None:
        systems = self.inputs.length * min(self.dim, self.pairs) * (self.pairs if self.every else 1)
        if not self.affordable(_INSTANCES, systems, _MOST_SOLVED):
            return None
        return self.expected_r2(self.bayes(split), split)

    def sample(self, split: str, index: int) -> RegressionInstance:
        """Instance `index` of `split`, to look at."""
        fields = self.instances(split, index, 1)
        values = (fields["points"][0] @ fields["weights"][0]).clone()
        values[: self.pairs] += fields["noise"][0]
        return RegressionInstance(fields["weights"][0], fields["points"][0], values, self.pairs)


@dataclass(frozen=True, eq=False)
class RegressionInstance:
    """Weights (d,), points (n + m, d), their values (n + m,); the last m are to be answered.

    Example:
        >>> instance = InContextRegression(dim=1, pairs=3, queries=1).sample("train", 0)
        >>> instance.points.shape, instance.values.shape
        (torch.Size([4, 1]), torch.Size([4]))
    """

    weights: Tensor
    points: Tensor
    values: Tensor
    pairs: int

    def __str__(self) -> str:
        rows = []
        for number, (point, value) in enumerate(
            zip(self.points.tolist(), self.values.tolist(), strict=True)
        ):
            at = "f(" + " ".join(f"{x:+.2f}" for x in point) + ")"
            known = number < self.pairs
            rows.append(f"  {at} = {value:+.2f}" if known else f"  {at} = ?  answer: {value:+.2f}")
        return "\n".join([*rows, "w = " + " ".join(f"{x:+.2f}" for x in self.weights.tolist())])


def _ratio(errors: Tensor, squares: Tensor) -> Estimate:
    """1 - sum(errors) / sum(squares) over instances (N,), with the error of that ratio."""
    share = errors.mean() / squares.mean()
    return Estimate.of(1 - share - (errors - share * squares) / squares.mean())
