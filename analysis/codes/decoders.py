"""Linear decoders of codes: logistic regression and ridge regression, many labellings at once.

`N` instances, `F` numbers of a code, `J` labellings, `C` classes, `M` numbers to be told.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

#: Of the L-BFGS that fits a logistic regression.
_ROUNDS, _TOLERANCE = 200, 1e-7


@dataclass(frozen=True, eq=False)
class Scaling:
    """z -> (z - mean) / deviation, of what a decoder was fitted on; what is constant stays 0."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, codes: Tensor) -> Scaling:
        """Of codes (N, F)."""
        mean, deviation = codes.mean(0), codes.std(0, correction=0)
        constant = deviation <= 1e-9 * (1 + mean.abs())
        return cls(mean, torch.where(constant, torch.inf, deviation))

    def __call__(self, codes: Tensor) -> Tensor:
        """Scaled codes and a last column of ones, (N, F + 1)."""
        return F.pad((codes - self.mean) / self.deviation, (0, 1), value=1.0)


@dataclass(frozen=True, eq=False)
class Logistic:
    """argmax_c (z W)_c over the classes that occurred; J decoders.

    Attributes:
        W: (J, F + 1, C).
        absent: (J, 1, C), the classes that did not occur, which are never answered.
    """

    W: Tensor
    absent: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """Answers (J, N) to scaled codes (N, F + 1)."""
        return (z @ self.W).masked_fill(self.absent, -torch.inf).argmax(-1)


def fit_logistic(z: Tensor, labels: Tensor, classes: int, strength: float = 1.0) -> Logistic:
    """argmin_W  sum_n w_n CE(W z_n, y_n) + |W|^2 / (2 strength), for each labelling.

    w_n = N / (C' N_y) weighs the C' classes that occur alike; the weights of the last column of z,
    which is 1, are not penalised. As scikit-learn's `LogisticRegression(class_weight="balanced")`.

    Args:
        z: (N, F + 1), scaled.
        labels: (J, N), int64.
        classes: C.
        strength: inverse of the penalty.
    """
    counts = F.one_hot(labels, classes).sum(1)  # (J, C)
    per_class = labels.shape[1] / (counts.clamp(min=1) * (counts > 0).sum(-1, keepdim=True))
    weights = per_class.gather(1, labels)
    absent = (counts == 0)[:, None]
    W = torch.zeros(len(labels), z.shape[1], classes, dtype=z.dtype, requires_grad=True)
    solver = torch.optim.LBFGS(
        [W], max_iter=_ROUNDS, tolerance_grad=_TOLERANCE * len(z), line_search_fn="strong_wolfe"
    )

    def loss() -> float:
        solver.zero_grad()
        logits = (z @ W).masked_fill(absent, -torch.inf).movedim(-1, 1)
        error = (weights * F.cross_entropy(logits, labels, reduction="none")).sum()
        value = error + W[:, :-1].square().sum() / (2 * strength)
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()

    with torch.enable_grad():
        solver.step(loss)  # type: ignore[no-untyped-call]
    return Logistic(W.detach(), absent)


def fit_ridge(z: Tensor, values: Tensor, penalty: float = 1.0) -> Tensor:
    """W = (z'z + penalty I)^-1 z' y for each labelling, the last column of z penalised as the rest.

    Args:
        z: (N, F + 1).
        values: (J, N, M).
        penalty: l2.

    Returns:
        (J, F + 1, M).
    """
    gram = z.mT @ z + penalty * torch.eye(z.shape[1], dtype=z.dtype)
    W: Tensor = torch.linalg.solve(gram, z.mT @ values)
    return W


def tabulate(answers: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Confusions (J, C, C) of answers (J, N) where labels (N,) or (J, N) are true."""
    lines = torch.arange(len(answers))[:, None] * classes**2
    places = lines + labels * classes + answers
    counts = torch.bincount(places.flatten(), minlength=len(answers) * classes**2)
    return counts.view(-1, classes, classes).double()


def balanced_accuracy(confusion: Tensor) -> Tensor:
    """Mean over the classes that occur of the share that was answered right: (..., C, C) -> (...).

    NaN if none occurs.
    """
    counts = confusion.sum(-1)
    recall = confusion.diagonal(dim1=-2, dim2=-1) / counts
    return recall.nanmean(-1)


def macro_f1(confusion: Tensor) -> Tensor:
    """Mean over the classes that occur of 2 TP / (2 TP + FP + FN): (..., C, C) -> (...)."""
    right = confusion.diagonal(dim1=-2, dim2=-1)
    both = confusion.sum(-1) + confusion.sum(-2)
    f1 = torch.where(confusion.sum(-1) > 0, 2 * right / both, torch.nan)
    return f1.nanmean(-1)


def sums_of(values: Tensor, guesses: Tensor, groups: Tensor, count: int) -> Tensor:
    """Of each group: n, sum of y, of y^2, and of squared errors; (count, 4, M).

    Args:
        values: y, (N, M).
        guesses: (N, M).
        groups: (N,), below `count`.
        count: how many groups.
    """
    terms = [torch.ones_like(values), values, values.square(), (values - guesses).square()]
    sums = values.new_zeros(count, 4, values.shape[-1])
    return sums.index_add_(0, groups, torch.stack(terms, 1))


def r2_of_sums(sums: Tensor) -> Tensor:
    """1 - sum (y - guess)^2 / sum (y - mean)^2, averaged over the M that vary.

    From (..., 4, M) to (...); NaN if none varies.
    """
    number, total, square, error = sums.unbind(-2)
    spread = square - total.square() / number
    varies = spread > 1e-9 * square
    return torch.where(varies, 1 - error / spread, torch.nan).nanmean(-1)
