"""Learning-rate schedule, as in the attention-as-a-hypernetwork experiments."""

from __future__ import annotations

import math

from attenergy.registry import ArgumentError


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
