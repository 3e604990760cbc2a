"""What is known of one head of one attention layer."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

NAN = math.nan


def _unknown() -> Any:
    """The default nan, made anew: as a plain default it would not equal itself."""
    return field(default_factory=lambda: NAN)


@dataclass(frozen=True)
class HeadFacts:
    """The measures of one head; nan where there is none.

    Attributes:
        block: path of the layer.
        head: its number.
        energy: title of the energy; empty without one.
        reading: how the energy is to be understood (`AttentionCall.reading`).
        solver: of the layer; empty for softmax attention and mixers.
        moves: how often the state moves before it is read.
        step_size: gamma.
        largest_step_size: gamma below which theory guarantees descent; nan without a guarantee,
            infinite without a limit.
        no_guarantee: why theory does not guarantee that no step raises the energy, if so.
        beta: inverse temperature.
        beta_at_start: the same before training.
        beta_learned: whether training may change it.
        entropy: mean over rows of weights of their entropy over log S, S patterns visible.
        uniform: share of rows with more than .99 log S.
        one_hot: share of rows with less than .01 log S.
        descent: share of steps on which a state's energy did not rise.
        curl: |J - J'| / |J| of the update of states.
        factor: median over states of the spectral norm of the Jacobian of a step from the state
            that is read: below 1, near states come nearer.
        factor_high: 95th percentile of the same.
        signal: relative size of the gradient of what is read by the query states against that by
            the stored patterns.
        norm: mean length of the stored patterns.
        norm_spread: standard deviation of their lengths over the mean.
        rank: effective rank of the stored patterns about their mean, from 1 to D.
        overlap: mean cosine between two of them.
    """

    block: str
    head: int
    energy: str = ""
    reading: str = ""
    solver: str = ""
    moves: int = 0
    step_size: float = _unknown()
    largest_step_size: float = _unknown()
    no_guarantee: str = ""
    beta: float = _unknown()
    beta_at_start: float = _unknown()
    beta_learned: bool = False
    entropy: float = _unknown()
    uniform: float = _unknown()
    one_hot: float = _unknown()
    descent: float = _unknown()
    curl: float = _unknown()
    factor: float = _unknown()
    factor_high: float = _unknown()
    signal: float = _unknown()
    norm: float = _unknown()
    norm_spread: float = _unknown()
    rank: float = _unknown()
    overlap: float = _unknown()

    @property
    def beta_change(self) -> float:
        """Log beta minus its value before training."""
        if math.isnan(self.beta + self.beta_at_start):
            return NAN
        return math.log(self.beta / self.beta_at_start)

    def as_dict(self) -> dict[str, Any]:
        """All of it."""
        return {**asdict(self), "beta_change": self.beta_change}


@dataclass(frozen=True)
class Measure:
    """A number of a head, as tables and pictures show it.

    Attributes:
        key: attribute of `HeadFacts`.
        title: over its picture.
        header: over its column.
        table: title of the table that has it.
        low: lower end of the colours.
        high: upper end.
        log: whether colours follow the logarithm.
    """

    key: str
    title: str
    header: str
    table: str
    low: float
    high: float
    log: bool = False


_STEPS, _PATTERNS = "Weights and steps", "Beta and patterns"
#: What is shown of every head; a new measure is one row here and one field of `HeadFacts`.
MEASURES: tuple[Measure, ...] = (
    Measure("entropy", "entropy / log S", "entropy", _STEPS, 0, 1),
    Measure("one_hot", "one-hot rows", "one-hot", _STEPS, 0, 1),
    Measure("uniform", "uniform rows", "uniform", _STEPS, 0, 1),
    Measure("signal", "signal to query", "signal", _STEPS, 1e-4, 1, log=True),
    Measure("descent", "steps that descend", "descend", _STEPS, 0.5, 1),
    Measure("factor", "factor of a step", "factor", _STEPS, 0, 1),
    Measure("curl", "curl of the update", "curl", _STEPS, 1e-6, 1, log=True),
    Measure("beta", "beta", "beta", _PATTERNS, 1e-2, 1e1, log=True),
    Measure("beta_change", "log beta moved", "moved", _PATTERNS, -1, 1),
    Measure("norm", "pattern length", "length", _PATTERNS, 0.1, 100, log=True),
    Measure("norm_spread", "spread of lengths", "spread", _PATTERNS, 0, 1),
    Measure("rank", "rank of patterns", "rank", _PATTERNS, 1, 64, log=True),
    Measure("overlap", "overlap of patterns", "overlap", _PATTERNS, 0, 1),
)
