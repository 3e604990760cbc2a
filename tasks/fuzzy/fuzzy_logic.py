"""Fuzzy logic in context: from examples of a function, tell its value at one more point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attenergy.tasks.core.base import Task, check_known, check_whole
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.latents import Latents, numbers_of
from attenergy.tasks.core.streams import Fields, seed_of
from attenergy.tasks.fuzzy.functions import (
    MOST_VARIABLES,
    expected_r2,
    split_functions,
    term_bits,
    values_at,
)

FIXED = ("none", "context", "query")
CEILING_INSTANCES = 4096
_MOST_LABELS = 1 << 16  # that the exact solver compares in an instance


class FuzzyLogic(Task):
    """f(x) = max_k min_l (x_l or 1 - x_l): an OR of K terms, each an AND of all L variables.

    A term says of every variable whether it is plain or negated. An instance draws a function
    uniformly from those of its split and N points x ~ U[0, 1]^L. Input: N tokens [x, f(x)] of width
    L + 1, where the last token, the query, shows 0 for f(x). Answer: one number at the query.

    Splits: `train`, `valid`, `test` share the functions; `ood` has held-out combinations of terms
    that all occur in training; `unknown_terms` has functions of the terms that never do.
    The loss is the mean squared error at the query. Metric `r2`: 1 - (answer - f(x))^2 / v, with v
    the population variance of f over the N points, averaged over instances; guessing their mean
    gives 0 on average. `ceiling(split)` is the `r2` of the exact solver that knows the split's
    functions. Targets (B, N, 1) are f at all points, for v; only the last one is scored.

    Args:
        variables: L, from 1 to 9.
        terms: K >= 2, distinct terms in a function. (With one, what is held out is unknown.)
        examples: N >= 2, the query included.
        ood_fraction: share of the functions of known terms that is held out.
        unknown_fraction: share of the 2^L terms, the last ones, that never occur in training.
        fixed: `context`: the first N - 1 points are the same in all instances; `query`: the last
            one is; `none`: neither. For looking at a trained model, on the same functions.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the held-out functions, the evaluation sets and the fixed points.

    Raises:
        ValueError: for options out of range, or that leave a split empty, or if no split of the
            functions was found in which every known term occurs in training.

    Source: Schug et al. 2025, arXiv:2406.05816, section 3. There a held-out function may hold a
    term that no training function has (two of four published splits do); here the split is drawn
    again until it does not.

    Example:
        >>> print(FuzzyLogic(variables=3, examples=4).sample("train", 0))
          f(0.854, 0.462, 0.681) = 0.146
          f(0.649, 0.044, 0.603) = 0.351
          f(0.622, 0.333, 0.612) = 0.378
          f(0.207, 0.746, 0.853) = ?
        answer: 0.254
        f = (not x1 and not x2 and x3) or (not x1 and x2 and not x3)
    """

    splits = ("train", "valid", "test", "ood", "unknown_terms")
    metric = "r2"
    headline = "ood"

    def __init__(
        self,
        *,
        variables: int = 4,
        terms: int = 2,
        examples: int = 32,
        ood_fraction: float = 0.7,
        unknown_fraction: float = 0.25,
        fixed: str = "none",
        name: str = "fuzzy-logic",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.variables = check_whole("variables", variables, 1, MOST_VARIABLES)
        self.terms = check_whole("terms", terms, 2)
        self.examples = check_whole("examples", examples, 2)
        self.fixed = check_known("fixed part", fixed, FIXED)
        self.functions = split_functions(
            self.variables,
            self.terms,
            ood_fraction,
            unknown_fraction,
            check_whole("split_seed", split_seed),
        )
        key = seed_of("fixed points", split_seed, self.examples, self.variables)
        self._fixed_points = torch.rand(
            self.examples, self.variables, generator=Generator().manual_seed(key)
        )
        self.inputs = Inputs("vector", self.variables + 1, self.examples)
        self.outputs = Outputs(1, kind="number")
        self.chance = {"r2": 0.0}
        super().__init__()

    def functions_of(self, split: str) -> Tensor:
        """Return the functions (M, K) that `split` draws, each as ascending ids of its terms.

        The bits of a term's id, the first variable's the highest, say which variables are plain.
        """
        known = self.check_split(split) in ("train", "valid", "test")
        return self.functions["train" if known else split]

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `terms` (B, K) and `points` (B, N, L)."""
        functions = self.functions_of(split)
        chosen = functions[torch.randint(len(functions), (count,), generator=generator)]
        points = torch.rand(count, self.examples, self.variables, generator=generator)
        if self.fixed == "context":
            points[:, :-1] = self._fixed_points[:-1]
        elif self.fixed == "query":
            points[:, -1] = self._fixed_points[-1]
        return {"terms": chosen, "points": points}

    def encode(self, instances: Fields) -> Batch:
        """Tokens (B, N, L + 1), float32, the query's label 0; all labels as targets (B, N, 1)."""
        labels = values_at(instances["points"], instances["terms"])[..., None]
        shown = labels.clone()
        shown[:, -1] = 0
        return Batch(torch.cat([instances["points"], shown], -1), labels)

    def latents(self, split: str, start: int, size: int) -> Latents:
        """Instances with `term 1` to `term K` (B,), ascending ids, and `bits` (B, 1, K L).

        The points of the context are the same in all of them, and the query varies, unless the
        task fixes its query.
        """
        task = self if self.fixed != "none" else self._with_fixed_context()
        drawn = task.instances(split, start, size)
        terms = drawn["terms"]
        signs = term_bits(torch.arange(2**self.variables), self.variables).tolist()
        names = tuple("".join(map(str, each)) for each in signs)
        titles = [f"term {number}" for number in range(1, self.terms + 1)]
        labels = dict(zip(titles, terms.unbind(-1), strict=True))
        bits = term_bits(terms, self.variables).flatten(1)[:, None].float()
        return Latents(
            task.encode(drawn),
            {**labels, "bits": bits},
            numbers_of(terms, torch.cat(list(self.functions.values()))),
            dict.fromkeys(titles, names),
        )

    def _with_fixed_context(self) -> FuzzyLogic:
        options = {**self.options, "fixed": "context"}
        return type(self)(**options, seed=self.seed, split_seed=self.split_seed)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean of (answer - f(x))^2 at the query; both (B, N, 1)."""
        return super().loss(logits[:, -1:], targets[:, -1:])

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`r2`: 1 - (answer - f(x))^2 / v at the query, v the variance of the N targets."""
        error = (logits[:, -1, 0] - targets[:, -1, 0]) ** 2
        return {"r2": 1 - error / targets[..., 0].var(-1, correction=0)}

    def _ceiling(self, split: str) -> Estimate | None:
        labels = self.examples * (len(self.functions_of(split)) + 2**self.variables)
        if not self.affordable(CEILING_INSTANCES, labels, _MOST_LABELS):
            return None
        fields = self.instances(split, 0, CEILING_INSTANCES)
        return Estimate.of(expected_r2(fields["points"], fields["terms"], self.functions_of(split)))

    def sample(self, split: str, index: int) -> FuzzyInstance:
        """Instance `index` of `split`, to look at."""
        fields = self.instances(split, index, 1)
        bits = term_bits(fields["terms"][0], self.variables).bool().tolist()
        return FuzzyInstance(
            terms=tuple(map(tuple, bits)),
            points=fields["points"][0],
            labels=self.encode(fields).targets[0, :, 0],
        )


@dataclass(frozen=True, eq=False)
class FuzzyInstance:
    """One function and the points at which it is told.

    `terms`: per term and variable, whether it is plain. `points` (N, L), `labels` (N,); the last is
    asked for.

    Example:
        >>> instance = FuzzyLogic(variables=3, examples=4).sample("train", 0)
        >>> instance.points.shape, instance.labels.shape
        (torch.Size([4, 3]), torch.Size([4]))
    """

    terms: tuple[tuple[bool, ...], ...]
    points: Tensor
    labels: Tensor

    def __str__(self) -> str:
        def term(plain: tuple[bool, ...]) -> str:
            return " and ".join(f"{'' if p else 'not '}x{i}" for i, p in enumerate(plain, 1))

        def row(point: list[float]) -> str:
            return "f(" + ", ".join(f"{x:.3f}" for x in point) + ")"

        *context, query = map(row, self.points.tolist())
        *known, answer = self.labels.tolist()
        lines = [f"  {at} = {value:.3f}" for at, value in zip(context, known, strict=True)]
        function = " or ".join(f"({term(plain)})" for plain in self.terms)
        return "\n".join([*lines, f"  {query} = ?", f"answer: {answer:.3f}", f"f = {function}"])
