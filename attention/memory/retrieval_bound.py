r"""When softmax retrieval cannot fail: a bound from the separation of the patterns.

For weights p = softmax(l) with logits l = beta X xi + bias and the update xi <- X'p, the update
lands near pattern i by

    |X'p - x_i| <= sum_{j != i} |x_i - x_j| exp(l_j - l_i)  =: f_i(xi),

as p_j <= exp(l_j - l_i). In a ball of radius r around x_i, l_j - l_i grows by at most
beta r |x_i - x_j|; so

    F_i(r) = sum_{j != i} |x_i - x_j| exp(l_j(x_i) - l_i(x_i) + beta r |x_i - x_j|)

bounds f_i there. If f_i(xi) <= r and F_i(r) <= r, the first update from xi enters the ball and no
later one leaves it: the pattern is recalled to within r, after any number of steps.

Source: theorems 4 and 5 of Ramsauer et al. 2020, arXiv:2008.02217, whose bound
2 (N - 1) M exp(-beta Delta) replaces every term of the sum by the largest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.attention.memory.trials import Trials, distances_between
from attenergy.energies import Energy

#: Radii that are tried, as shares of the largest that counts as recalled.
RADII = tuple(2.0**-k for k in range(0, 12, 2))


def has_bound(energy: Energy, step_size: float) -> bool:
    """Whether one step is xi <- X' softmax(beta X xi + bias), of the stored patterns."""
    return (
        energy.is_attention
        and not energy.states_interact
        and not energy.patterns_interact
        and not energy.domain.constrained
        and step_size == 1.0
        and bool(energy.quadratic() == 1.0)
    )


def guaranteed(energy: Energy, patterns: Tensor, trials: Trials) -> Tensor:
    """(n,), the copies that are recalled for certain, by an energy that `has_bound`."""
    return torch.cat(
        [_certain(energy, patterns, trials, part) for part in _parts(len(trials), patterns)]
    )


def outscored(energy: Energy, patterns: Tensor, trials: Trials, states: Tensor) -> Tensor:
    """(n,), for which of the states (n, D) a pattern that differs scores higher than the own."""
    lost = []
    for part in _parts(len(trials), patterns):
        logits, _ = _logits(energy, states[part], patterns)
        best = patterns[logits.argmax(-1)]
        away = torch.linalg.vector_norm(best - trials.targets[part], dim=-1)
        lost.append(away > trials.gaps[part] / 2)
    return torch.cat(lost)


def _parts(count: int, patterns: Tensor) -> tuple[Tensor, ...]:
    rows = torch.arange(count, device=patterns.device)
    return torch.split(rows, max(1, 2**22 // len(patterns)))


def _logits(energy: Energy, states: Tensor, patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, N) and the scale (1, 1) of their scores."""
    form = energy.attention(patterns, None, None)
    assert form is not None
    scale = torch.as_tensor(form[0]).to(patterns)
    logits = scale * (states @ patterns.mT)
    return (logits if form[1] is None else logits + form[1]), scale


def _certain(energy: Energy, patterns: Tensor, trials: Trials, part: Tensor) -> Tensor:
    targets, radii = trials.targets[part], trials.radii[part, None]
    apart = distances_between(targets, patterns)
    other = apart > trials.gaps[part, None] / 2  # the pattern itself and its twins count as one
    own = trials.rows[part, None]

    def bound(states: Tensor, radius: Tensor | float) -> Tensor:
        logits, scale = _logits(energy, states, patterns)
        above = logits - logits.gather(-1, own) + scale * radius * apart
        return (torch.where(other, above, -torch.inf).exp() * apart).sum(-1, keepdim=True)

    entry = bound(trials.states[part], 0.0)
    certain = torch.zeros_like(entry, dtype=torch.bool)
    for share in RADII:
        radius = share * radii
        certain |= (entry <= radius) & (bound(targets, radius) <= radius)
    return certain.squeeze(-1)
