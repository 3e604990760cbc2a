"""Symbolic Raven matrices: a grid of panels, each feature follows a rule, find the last panel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, Task, check_known, check_whole, scored_hits
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.latents import Latents, numbers_of
from attenergy.tasks.core.sampling import permutations
from attenergy.tasks.core.streams import Fields, draw_in_part
from attenergy.tasks.raven.ceiling import Solutions, solve
from attenergy.tasks.raven.instance import RavenInstance
from attenergy.tasks.raven.posterior import Posterior, posterior
from attenergy.tasks.raven.prior import Prior, all_combinations, split_combinations
from attenergy.tasks.raven.rules import choose_rules

CEILING_INSTANCES = 8192
_MOST_COMBINATIONS = 100_000
_MOST_LINES = 1 << 11  # candidates that the exact solver looks at in a matrix, times rules


class Raven(Task):
    """Symbolic Raven matrices of G x G panels with K features each, values 0..F-1.

    An instance draws a combination of K rules uniformly from those of its split, fills each
    feature's grid by its rule, and permutes the features of each column: one permutation per
    column, shared by all rows, new in every instance, shown[r, c, f] = grid[r, c, p_c[f]].
    Input: panels in row-major order, features innermost, as one-hot tokens of width F, then K zero
    tokens. Target: the last panel at those K positions.

    Splits `train`, `valid`, `test` share the combinations but no context (the first G*G - 1 panels
    as shown); `ood` has the held-out combinations, and no context of `train` or `valid` either.
    Metrics: `accuracy` (all K features right, chance F^-K), `accuracy_per_feature` (1/F), and from
    `evaluate` also `accuracy_<rule>` (1/F).
    `ceiling(split)` is the accuracy of the exact Bayes solver that knows the split's combinations.

    Args:
        features: K >= 1, few enough for at most 100,000 combinations.
        values: F >= 2; `distribute_three` needs 3.
        grid: G >= 2; progressions fit any, the other rules need 3.
        rules: how many of the ten, or their names (a list, or one text with commas). The first
            eight are the paper's; `maximum` and `minimum` come last.
        ood_fraction: share of the combinations that is held out, chosen by `split_seed`.
        permute: False leaves the features of every column in the order of the sorted rules. The
            held-out combinations are the same, and so are the parts that keep contexts apart.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the held-out combinations and the evaluation sets.

    Raises:
        ValueError: for options out of range, or that leave a side of the split empty.

    Source: Schug et al. 2025, arXiv:2406.05816. Theirs draws the test set with the training seed;
    here no test context is ever trained on.

    Example:
        >>> print(Raven(features=2, permute=False).sample("train", 0))
        as shown:
          [2 0]  [2 7]  [2 6]
          [1 3]  [1 2]  [1 1]
          [6 5]  [6 4]  [ ? ]
        answer: [6 3]
        features in the order of their rules:
          [2 0]  [2 7]  [2 6]
          [1 3]  [1 2]  [1 1]
          [6 5]  [6 4]  [6 3]
        feature 0: constant
        feature 1: progression_minus_1
        feature at each place of a panel:
        column 0: [0, 1]
        column 1: [0, 1]
        column 2: [0, 1]
    """

    splits = ("train", "valid", "test", "ood")
    metric = "accuracy"
    headline = "ood"

    def __init__(
        self,
        *,
        features: int = 4,
        values: int = 8,
        grid: int = 3,
        rules: int | str | Sequence[str] = 8,
        ood_fraction: float = 0.25,
        permute: bool = True,
        name: str = "raven",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.features = check_whole("features", features, 1)
        self.values = check_whole("values", values, 2)
        self.grid = check_whole("grid", grid, 2)
        self.rules = choose_rules(rules, self.values, self.grid)
        if not isinstance(permute, bool):
            raise TaskOptionError(f"'permute' must be true or false, got {permute!r}")
        self.permute = permute
        count = math.comb(len(self.rules) + self.features - 1, self.features)
        if count > _MOST_COMBINATIONS:
            raise TaskOptionError(
                f"'features' is {features}, with {count:,} combinations of {len(self.rules)} "
                f"rules; at most {_MOST_COMBINATIONS:,} are allowed, take fewer"
            )
        self.combinations = all_combinations(len(self.rules), self.features)
        self.in_distribution, self.held_out = split_combinations(
            self.combinations, ood_fraction, check_whole("split_seed", split_seed)
        )
        self.inputs = Inputs("vector", self.values, self.grid**2 * self.features)
        self.outputs = Outputs(self.values)
        self.scored_positions = slice(-self.features, None)
        per_feature = 1 / self.values
        self.chance = {
            "accuracy": per_feature**self.features,
            "accuracy_per_feature": per_feature,
        }
        self.options["rules"] = ",".join(rule.name for rule in self.rules)
        super().__init__()

    def split_of_combinations(self, split: str) -> Tensor:
        """Return the combinations (N, K) of rule ids that `split` draws; `all`: every one."""
        check_known("split", split, (*self.splits, "all"))
        if split == "all":
            return self.combinations
        return self.held_out if split == "ood" else self.in_distribution

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `rules` (N, K), `permutations` (N, G, K) and `panels` (N, G, G, K) as shown."""
        combinations = self.split_of_combinations(split)
        # Held-out combinations take the test set's part, which training never sees.
        part = "test" if split == "ood" else split
        return draw_in_part(
            lambda size: self._draw(combinations, size, generator), self._context, part, count
        )

    def _draw(self, combinations: Tensor, count: int, generator: Generator) -> Fields:
        rules = combinations[torch.randint(len(combinations), (count,), generator=generator)]
        grids = torch.empty(count * self.features, self.grid, self.grid, dtype=torch.int64)
        flat = rules.flatten()
        for number, rule in enumerate(self.rules):
            rows = (flat == number).nonzero().squeeze(1)
            grids[rows] = rule.draw(len(rows), self.values, self.grid, generator)
        panels = grids.view(count, self.features, self.grid, self.grid).movedim(1, -1)
        order = torch.arange(self.features).expand(count, self.grid, self.features)
        if self.permute:
            order = permutations(count * self.grid, self.features, generator).view_as(order)
        return {"rules": rules, "permutations": order, "panels": permute_columns(panels, order)}

    def _context(self, instances: Fields) -> Tensor:
        return instances["panels"].flatten(1)[:, : -self.features]

    def encode(self, instances: Fields) -> RavenBatch:
        """One-hot tokens (B, G*G*K, F), float32, the last K zero; targets on those K alone."""
        tokens = tokenise(instances["panels"], self.values)
        rules = instances["rules"].gather(1, instances["permutations"][:, -1])
        return RavenBatch(tokens.inputs, tokens.targets, rules=rules)

    def latents(self, split: str, start: int, size: int) -> Latents:
        """Instances with `rule` (B, L): behind each of the K answers, at its position."""
        drawn = self.instances(split, start, size)
        batch = self.encode(drawn)
        rule = torch.full_like(batch.targets, -1)
        rule[:, -self.features :] = batch.rules
        return Latents(
            batch,
            {"rule": rule},
            numbers_of(drawn["rules"], self.combinations),
            {"rule": tuple(each.name for each in self.rules)},
        )

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy`: all features right; `accuracy_per_feature`: share of right features."""
        hits, scored = scored_hits(logits, targets)
        right = hits.sum(-1).float() / scored.sum(-1)
        return {"accuracy": (right == 1).float(), "accuracy_per_feature": right}

    @torch.no_grad()
    def evaluate(
        self,
        predict: Callable[[Batch], Tensor],
        split: str,
        instances: int,
        *,
        batch_size: int = 256,
    ) -> dict[str, float]:
        """Average `loss` and every metric, and `accuracy_<rule>` of each rule that occurred.

        `accuracy_<rule>` is the share of the features with that rule that were answered right; a
        matrix in which several features follow it counts several times.
        """
        scored = torch.zeros(len(self.rules), dtype=torch.int64)
        right = torch.zeros_like(scored)

        def watched(batch: Batch) -> Tensor:
            logits = predict(batch)
            hits, _ = scored_hits(logits.cpu(), batch.targets)
            rules = cast(RavenBatch, batch).rules
            known = rules[hits[:, -self.features :]]
            scored.add_(torch.bincount(rules.flatten(), minlength=len(scored)))
            right.add_(torch.bincount(known, minlength=len(scored)))
            return logits

        scores = super().evaluate(watched, split, instances, batch_size=batch_size)
        for rule, hit, total in zip(self.rules, right.tolist(), scored.tolist(), strict=True):
            if total:
                scores[f"accuracy_{rule.name}"] = hit / total
        return scores

    def solve(self, instance: RavenInstance, *, prior: str = "all") -> Posterior:
        """Exact posterior of answers, rules and columns' orders, given the context of `instance`.

        `prior` names the split whose combinations are held possible, `all` for every one.

        Raises:
            ValueError: for an unknown prior, or one whose combinations cannot explain the matrix.

        """
        return posterior(
            instance.shown, self.rules, self._prior(prior), self.values, permute=self.permute
        )

    def solve_many(
        self, split: str, start: int, size: int, *, prior: str | None = None
    ) -> Solutions:
        """Exact Bayes solutions of instances `start .. start + size - 1` of `split`.

        `prior` is as for `solve`; the default is `split` itself, the best that can be known.
        """
        panels = self.instances(split, start, size)["panels"]
        known = self._prior(prior or split)
        return solve(panels, self.rules, known, self.values, permute=self.permute)

    def _prior(self, split: str) -> Prior:
        known = self.split_of_combinations(split)
        return Prior(known, len(self.rules), shuffled=self.permute)

    def _ceiling(self, split: str) -> Estimate | None:
        lines = self.features**self.grid * len(self.rules)  # every feature has K^(G-1) of them
        if not self.affordable(CEILING_INSTANCES, lines, _MOST_LINES):
            return None
        return Estimate.of(self.solve_many(split, 0, CEILING_INSTANCES).confidence)

    def sample(self, split: str, index: int) -> RavenInstance:
        """Instance `index` of `split`, to look at."""
        fields = self.instances(split, index, 1)
        panels, order = fields["panels"], fields["permutations"]
        return RavenInstance(
            rules=tuple(self.rules[number].name for number in fields["rules"][0].tolist()),
            grid=permute_columns(panels, order.argsort(-1))[0],
            shown=panels[0],
            permutations=order[0],
            tokens=self.encode(fields).inputs[0],
            answer=tuple(panels[0, -1, -1].tolist()),
        )


@dataclass(frozen=True)
class RavenBatch(Batch):
    """A batch that also tells `rules` (B, K), the id of the rule behind each target."""

    rules: Tensor = field(kw_only=True)


def permute_columns(panels: Tensor, order: Tensor) -> Tensor:
    """shown[n, r, c, f] = panels[n, r, c, order[n, c, f]]; (N, G, G, K) and (N, G, K)."""
    return panels.gather(-1, order[:, None].expand_as(panels))


def tokenise(panels: Tensor, values: int) -> Batch:
    """Turn panels (B, G, G, K) into one-hot context tokens and zero query tokens.

    Inputs (B, G*G*K, values), float32; targets (B, G*G*K), the last panel at the last K positions.
    """
    features = panels.shape[-1]
    numbers = panels.flatten(1)
    inputs = F.one_hot(numbers, values).float()
    inputs[:, -features:] = 0
    targets = torch.full_like(numbers, IGNORE)
    targets[:, -features:] = numbers[:, -features:]
    return Batch(inputs, targets)
