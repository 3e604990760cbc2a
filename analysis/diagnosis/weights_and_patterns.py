"""What is seen of a head without derivatives: its weights, its patterns, whether it descends.

`B` batch, `H` heads, `L` states, `S` stored patterns, `D` width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.analysis.calls import AttentionCall
from attenergy.attention.solvers.problem import Problem
from attenergy.attention.solvers.relax import take_steps
from attenergy.attention.solvers.step_sizes import StepSize

#: Rows of weights with more, or less, of log S are uniform, or one-hot.
UNIFORM, ONE_HOT = 0.99, 0.01


def of_weights(weights: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """Entropy over log S, and shares of uniform and one-hot rows, (H,) each.

    Rows that see one pattern or none do not count. Weights that are no distribution are taken as
    shares of the sum of their sizes.
    """
    seen = _per_row(mask, weights)
    shares = weights.abs() / weights.abs().sum(-1, keepdim=True).clamp_min(1e-30)
    entropy = torch.special.entr(shares).sum(-1) / seen.clamp_min(2).log()
    counts = (seen > 1) & (weights != 0).any(-1)
    return {
        "entropy": _mean(entropy, counts),
        "uniform": _mean((entropy > UNIFORM).to(entropy), counts),
        "one_hot": _mean((entropy < ONE_HOT).to(entropy), counts),
    }


def of_patterns(problem: Problem) -> dict[str, Tensor]:
    """Lengths, spread of lengths, rank and overlap of the patterns that some state sees, (H,) each.

    The effective rank is exp(entropy of the eigenvalues of the covariance, over their sum); the
    overlap is the mean cosine of two different patterns. Both are means over the batch.
    """
    X = problem.X
    present = torch.ones(X.shape[:-1], dtype=torch.bool, device=X.device)
    if problem.mask is not None:
        seen = problem.mask.any(-2)
        present = seen.expand(torch.broadcast_shapes(seen.shape, X.shape[:-1]))  # type: ignore[no-untyped-call]
        X = X.expand(*present.shape, X.shape[-1])
    X, present = _four(X), _four(present[..., None])[..., 0]
    lengths = torch.linalg.vector_norm(X, dim=-1)
    mean = _mean(lengths, present)
    variance = _mean((lengths - mean[:, None]).square(), present)
    count = present.sum(-1, keepdim=True).clamp_min(1)
    centre = (X * present[..., None]).sum(-2, keepdim=True) / count[..., None]
    centred = torch.where(present[..., None], X - centre, 0.0)
    spectrum = torch.linalg.eigvalsh((centred.mT @ centred).double()).clamp_min(0)
    shares = spectrum / spectrum.sum(-1, keepdim=True).clamp_min(1e-300)
    unit = torch.where(present, 1 / lengths.clamp_min(1e-30), 0.0)[..., None] * X
    total = unit.sum(-2).square().sum(-1)  # of the cosines of all pairs, a pattern's with itself 1
    pairs = count.squeeze(-1) * (count.squeeze(-1) - 1)
    overlap = (total - count.squeeze(-1)) / pairs.clamp_min(1)
    return {
        "norm": mean,
        "norm_spread": variance.sqrt() / mean.clamp_min(1e-30),
        "rank": torch.special.entr(shares).sum(-1).exp().mean(0),
        "overlap": overlap.mean(0),
    }


@torch.no_grad()
def descent(call: AttentionCall, gamma: StepSize, solver: str) -> Tensor:
    """(H,), the share of steps on which a state's energy did not rise, the reading being one."""
    problem, relaxation = call.problem, call.relaxation
    assert problem is not None
    assert relaxation is not None
    states, energies = relaxation.states, relaxation.energies
    assert states is not None
    if energies is None or len(energies) < 2:
        before = problem.value(states[0])
        after = problem.value(
            take_steps(problem, states[0], 1, gamma, solver=solver, trace=False).state
        )
        energies = torch.stack([before, after])
    rise = energies[1:] - energies[:-1]
    rounding = 64 * torch.finfo(rise.dtype).eps * energies.abs().amax(0)
    falls = (rise <= rounding).double()
    axes = [i for i in range(falls.ndim) if i != 2]  # all but heads
    return falls.mean(axes)


def _per_row(mask: Tensor | None, weights: Tensor) -> Tensor:
    """(..., L): how many patterns each row sees."""
    if mask is None:
        return torch.full(weights.shape[:-1], weights.shape[-1], device=weights.device)
    return mask.expand(weights.shape).sum(-1)


def _four(values: Tensor) -> Tensor:
    """A batch axis, where patterns are the same for all samples."""
    return values if values.ndim == 4 else values.reshape(-1, *values.shape[-3:])


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """(H,): mean of values (B, H, L) where they count; nan where none does."""
    total = torch.where(counts, values, 0.0).double().sum((0, 2))
    number = counts.double().sum((0, 2))
    return torch.where(number > 0, total / number.clamp_min(1), torch.nan)
