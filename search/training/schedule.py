"""How the learning rate goes during a training: one function for each schedule of `SCHEDULES`.

`cosine`, as in the attention-as-a-hypernetwork experiments, ends with its number of steps, so a
longer training is another one from the first step on. Until the tail of `constant_tail` nothing
depends on the number of steps, so a longer training goes on from there, to the bit.
"""

from __future__ import annotations

import math
from typing import Protocol

from attenergy.registry import ArgumentError, TrainingSpec


def learning_rate(step: int, *, peak: float, warmup: int, total: int, tail: float = 0.0) -> float:
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
        tail: has no meaning here.

    Raises:
        ValueError: if the two ends of w updates leave no room for the cosine (N <= 2w).

    Source: Schug et al. 2025, arXiv:2406.05816, and its published code.
    """
    if total <= 2 * warmup:
        raise ArgumentError(
            f"a warm-up of {warmup} updates needs more than {2 * warmup} training steps, "
            f"got {total}",
            topic="option-value",
        )
    if step < warmup:
        return peak * step / warmup
    progress = min(1.0, (step - warmup) / (total - 2 * warmup))
    return peak * (0.1 + 0.45 * (1.0 + math.cos(math.pi * progress)))


def constant_tail(step: int, *, peak: float, warmup: int, total: int, tail: float = 0.2) -> float:
    r"""Return the learning rate of update `step` (from 0) out of `total`.

    $$ \eta_s = \begin{cases} \eta\, s/w & s < w \\ \eta & w \le s < t \\
       \eta\,\big(1 - \sqrt{(s-t)/(N-t)}\big) & s \ge t \end{cases},
       \qquad t = N - \max(1, \mathrm{round}(dN)) $$

    Args:
        step: s, from 0.
        peak: the highest rate.
        warmup: w, the updates of the linear warm-up.
        total: N, all updates.
        tail: d, the share of the updates in which the rate falls.

    Raises:
        ValueError: the warm-up is longer than what the tail leaves.

    Source: Hägele et al. 2024, arXiv:2405.18392 (cooldown "1-sqrt" of a fifth of the updates).
    """
    start = _tail_start(total, tail)
    if warmup > start:
        raise ArgumentError(
            f"a warm-up of {warmup} updates and a tail of {total - start} do not fit into {total} "
            "training steps",
            topic="option-value",
        )
    if step < warmup:
        return peak * step / warmup
    if step < start:
        return peak
    return peak * (1.0 - math.sqrt(min(1.0, (step - start) / (total - start))))


def tail_start(training: TrainingSpec) -> int | None:
    """The update until which a training does not depend on how long it is; None without a tail."""
    if training.schedule != "constant_tail" or not training.steps:
        return None
    return _tail_start(training.steps, training.tail)


def _tail_start(total: int, tail: float) -> int:
    return total - max(1, round(tail * total))


class Schedule(Protocol):
    """What a schedule is: a function."""

    def __call__(
        self, step: int, *, peak: float, warmup: int, total: int, tail: float = ...
    ) -> float:
        """Return the rate of update `step` out of `total`."""
        ...


#: By the names that `training.schedule` takes.
SCHEDULES: dict[str, Schedule] = {"cosine": learning_rate, "constant_tail": constant_tail}
