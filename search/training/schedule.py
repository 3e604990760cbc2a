"""Learning-rate schedule and optimiser, as in the attention-as-a-hypernetwork experiments."""

from __future__ import annotations

import math

import torch
from torch import nn

from attenergy.energies import Energy
from attenergy.registry import ArgumentError, TrainingSpec


def learning_rate(step: int, *, peak: float, warmup: int, total: int) -> float:
    r"""Return the learning rate of update `step` (from 0) out of `total`.

    $$ \eta_s = \begin{cases} \eta\, s/w & s < w \\
       \eta\,(0.1 + 0.45\,(1 + \cos \pi c)), \; c = \min(1, \frac{s-w}{N-2w}) & s \ge w
       \end{cases} $$

    The first update has rate 0 if there is a warm-up; the cosine ends at step N - w, and the last
    w updates stay at a tenth of the peak.

    Args:
        step: s, from 0.
        peak: the highest rate.
        warmup: w, the updates of the linear warm-up.
        total: N, all updates.

    Raises:
        ValueError: if the two ends of w updates leave no room for the cosine (N <= 2w).

    Source: Schug et al. 2025, arXiv:2406.05816, and its published code.
    """
    if total <= 2 * warmup:
        raise ArgumentError(
            f"a warm-up of {warmup} updates needs more than {2 * warmup} training steps, "
            f"got {total}"
        )
    if step < warmup:
        return peak * step / warmup
    progress = min(1.0, (step - warmup) / (total - 2 * warmup))
    return peak * (0.1 + 0.45 * (1.0 + math.cos(math.pi * progress)))


def make_optimizer(model: nn.Module, training: TrainingSpec) -> torch.optim.AdamW:
    """Make AdamW (0.9, 0.999, 1e-8) with decoupled decay and without clipping of gradients.

    Parameters with one axis (biases, gains) are not decayed; matrices and relative-position
    tables are. An energy's own parameters never are: an inverse temperature is stored as its
    logarithm, and pulling that to zero would choose the temperature.

    Source: Schug et al. 2025, arXiv:2406.05816, and its published code, but for the energies.
    """
    energies = [module for module in model.modules() if isinstance(module, Energy)]
    own = {id(parameter) for energy in energies for parameter in energy.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim != 1 and id(p) not in own]
    free = [p for p in trained if p.ndim == 1 or id(p) in own]
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=training.learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=True
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the learning rate `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate
