"""How well kernels fit a task: centred kernel alignment, with a null and a standard error.

    a = <H K H, H T H> / (|H K H| |H T H|),   H = 1 - 11'/N,   <A, B> = sum_ij A_ij B_ij

of a kernel K of the points and the target kernel T = Y Y'. It is 1 where they agree up to scale,
and never negative. By chance it is above 0, the more so the fewer points there are and the more
directions K has: so the same is computed for targets that are shuffled among the points.

`N` points, `P` kernels, `R` shuffles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attenergy.analysis.result import Progress

#: Parts of which one at a time is left out for the standard error.
_PARTS = 10
#: Shuffled target kernels that are held at once.
_AT_ONCE = 20
#: What is within the null, of the alignments of shuffled targets.
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Alignment:
    """Alignments of several kernels with one target kernel; every tensor is (P,).

    Attributes:
        value: the alignment, from 0 to 1.
        error: its standard error over the points (jackknife).
        null: the mean alignment with shuffled targets.
        high: what 95 % of those are below, for each kernel alone.
        p: the share of shuffles in which any kernel stands out as much as this one (largest
            standardised alignment, so it holds for all kernels together).
    """

    value: Tensor
    error: Tensor
    null: Tensor
    high: Tensor
    p: Tensor

    @property
    def stands_out(self) -> Tensor:
        """Which kernels are above the null, all looked at together."""
        return self.p <= LEVEL

    def best(self) -> list[int]:
        """Places of the kernels above the null, the best aligned first."""
        order = self.value.argsort(descending=True, stable=True)
        return [int(i) for i in order if bool(self.stands_out[i])]

    def row(self, i: int) -> dict[str, float]:
        """The numbers of one kernel by name."""
        names = ("value", "error", "null", "high", "p")
        return {name: float(getattr(self, name)[i]) for name in names}


def kernels_of(features: Tensor) -> Tensor:
    """Centred kernels of norm 1, (P, N, N), of features (N, P, E); 0 where all points agree."""
    rounding = max(1e-10, 10 * torch.finfo(features.dtype).eps)
    features = features.double().transpose(0, 1)
    centred = features - features.mean(1, keepdim=True)
    scale = features.square().sum((1, 2), keepdim=True).amax()
    # What is left of equal features after centring is rounding, not a kernel; so is what is that
    # small beside the features of other paths.
    flat = centred.square().sum((1, 2), keepdim=True) <= rounding**2 * scale
    return unit(torch.where(flat, 0.0, centred @ centred.mT))


def unit(kernels: Tensor) -> Tensor:
    """Kernels (..., N, N) centred and divided by their norm; those of norm 0 stay."""
    rows = kernels.mean(-1, keepdim=True)
    columns = kernels.mean(-2, keepdim=True)
    centred = kernels - rows - columns + rows.mean(-2, keepdim=True)
    norms = torch.linalg.matrix_norm(centred)[..., None, None]
    return centred / torch.where(norms == 0, 1.0, norms)


def target_kernel(targets: Tensor) -> Tensor:
    """The centred target kernel of norm 1: Y Y' of one-hot classes (N,), or of numbers (N, C)."""
    if not targets.is_floating_point():
        targets = torch.nn.functional.one_hot(torch.unique(targets, return_inverse=True)[1])
    y = targets.double().view(len(targets), -1)
    return unit(y @ y.mT)


def align(
    kernels: Tensor,
    target: Tensor,
    *,
    shuffles: int,
    generator: Generator,
    progress: Progress | None = None,
    what: str = "shuffled targets",
) -> Alignment:
    """Alignments of kernels (P, N, N) with a target kernel (N, N), all of norm 1 and centred."""
    flat = kernels.flatten(1)
    value = flat @ target.flatten()
    chance = []
    for start in range(0, shuffles, _AT_ONCE):
        count = min(_AT_ONCE, shuffles - start)
        orders = [torch.randperm(len(target), generator=generator) for _ in range(count)]
        chance.append(flat @ torch.stack([target[o][:, o].flatten() for o in orders], 1))
        if progress is not None:
            progress(what, start + count, shuffles)
    null = torch.cat(chance, 1)  # (P, R)
    # The truth is one of the orders, also where they are standardised: else the fewer the shuffles
    # and the more the kernels, the more often some kernel would stand out by chance.
    every = torch.cat([value[:, None], null], 1)
    every = (every - every.mean(1, keepdim=True)) / every.std(1, keepdim=True).clamp_min(1e-12)
    beyond = (every[:, 1:].amax(0) >= every[:, :1]).sum(1)
    return Alignment(
        value,
        _jackknife(kernels, target),
        null.mean(1),
        null.quantile(1 - LEVEL, dim=1),
        (1 + beyond) / (1 + shuffles),
    )


def overlaps(kernels: Tensor) -> Tensor:
    """The alignment of every kernel with every other, (P, P)."""
    flat = kernels.flatten(1)
    return flat @ flat.mT


def _jackknife(kernels: Tensor, target: Tensor) -> Tensor:
    """Standard errors from leaving out a part of the points at a time."""
    count = len(target)
    parts = min(_PARTS, count)
    left: list[Tensor] = []
    for part in range(parts):
        rest = torch.arange(count) % parts != part
        of_rest = unit(kernels[:, rest][:, :, rest]).flatten(1)
        left.append(of_rest @ unit(target[rest][:, rest]).flatten())
    values = torch.stack(left)
    return ((parts - 1) / parts * (values - values.mean(0)).square().sum(0)).sqrt()
