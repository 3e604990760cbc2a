"""What the trial of a candidate says of it, as user attributes, and how that is read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, Field, FiniteFloat

from attenergy.registry import Scalar
from attenergy.search.discovery.filters.fingerprint import Fingerprint
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.population.individual import Arm, Individual

FORMULA, ARM, OPERATION, PARENTS = "formula", "arm", "operation", "parents"
FINGERPRINT = "fingerprint"
#: Filter -> how many candidates it rejected since the last trial, and the milliseconds for them.
REJECTED = "rejected"
#: Milliseconds that the filters took for the candidate itself.
SCREENED = "screened"
#: Score of its rivals when it was proposed, by which the search for its settings is given up.
BAR = "bar"
#: Scores, settings, cost, seconds and keys of the runs, once the candidate climbs no further.
RESULT = "result"


_Number = Annotated[FiniteFloat, Field(strict=True)]
_Whole = Annotated[int, Field(strict=True)]


class _Mark(BaseModel):
    """A fingerprint as a trial says it."""

    values: tuple[_Number, ...]
    niche: tuple[_Whole, ...]


class _Result(BaseModel):
    """What came of a candidate, as a trial says it."""

    scores: dict[str, _Number | None]
    settings: dict[str, Scalar]
    cost: _Number | None
    seconds: _Number
    runs: tuple[str, ...]


class _Attributes(BaseModel):
    """All that a trial says: a database may be somebody else's, or of another version."""

    formula: str
    arm: Arm
    operation: str
    parents: tuple[_Whole, ...]
    fingerprint: _Mark
    rejected: dict[str, tuple[_Whole, _Number]]
    screened: _Number
    bar: _Number | None
    result: _Result | None = None


@dataclass
class Rejections:
    """Candidates that filters have rejected.

    Attributes:
        counts: filter -> how many.
        milliseconds: filter -> what they took, all filters until that one together.
    """

    counts: dict[str, int] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, milliseconds: float, count: int = 1) -> None:
        """Count what a filter has rejected."""
        self.counts[name] = self.counts.get(name, 0) + count
        self.milliseconds[name] = self.milliseconds.get(name, 0.0) + milliseconds

    def extend(self, other: Rejections) -> None:
        """Count others, too."""
        for name, count in other.counts.items():
            self.add(name, other.milliseconds.get(name, 0.0), count)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    def plain(self) -> dict[str, list[float]]:
        """As a trial says it."""
        return {n: [count, round(self.milliseconds[n], 2)] for n, count in self.counts.items()}

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Rejections:
        """What a trial says of those before it."""
        rejections = cls()
        for name, (count, milliseconds) in attributes.get(REJECTED, {}).items():
            rejections.add(name, milliseconds, int(count))
        return rejections


@dataclass
class Proposed:
    """A candidate that has passed the filters, and what was rejected before it.

    Attributes:
        individual: with the number that its trial is to have.
        rejections: since the last trial.
        screened: milliseconds that the filters took for it.
        bar: score of its rivals on the first rung; None without any.
    """

    individual: Individual
    rejections: Rejections = field(default_factory=Rejections)
    screened: float = 0.0
    bar: float | None = None


def attributes_of(proposed: Proposed) -> dict[str, Any]:
    """The user attributes of a new trial."""
    one = proposed.individual
    return {
        FORMULA: one.candidate.formula,
        ARM: one.arm,
        OPERATION: one.operation,
        PARENTS: list(one.parents),
        FINGERPRINT: {
            "values": [round(value, 4) for value in one.fingerprint.values],
            "niche": list(one.fingerprint.niche),
        },
        REJECTED: proposed.rejections.plain(),
        SCREENED: round(proposed.screened, 2),
        BAR: proposed.bar,
    }


def result_of(one: Individual, runs: tuple[str, ...]) -> dict[str, Any]:
    """What the trial of an individual says at its end.

    Args:
        one: with everything that came of it.
        runs: keys of its runs.
    """
    return {
        "scores": {name: s if math.isfinite(s) else None for name, s in one.scores.items()},
        "settings": dict(one.settings),
        "cost": one.cost if math.isfinite(one.cost) else None,
        "seconds": round(one.seconds, 3),
        "runs": list(runs),
    }


def individual_of(trial: FrozenTrial) -> Individual | None:
    """The individual of a trial; None if it was given none, or not to the end.

    Raises:
        ValidationError: it says something that no discovery says.
        FormulaError: the language cannot read its formula, of another version or a plug-in.
    """
    about = trial.user_attrs
    if FORMULA not in about:
        return None
    _Attributes.model_validate(about)
    mark = about[FINGERPRINT]
    result = about.get(RESULT, {})
    cost = result.get("cost")
    return Individual(
        number=trial.number,
        arm=about[ARM],
        candidate=Candidate.from_formula(about[FORMULA]),
        fingerprint=Fingerprint(tuple(mark["values"]), tuple(mark["niche"])),
        operation=about[OPERATION],
        parents=tuple(about[PARENTS]),
        scores={n: -math.inf if s is None else s for n, s in result.get("scores", {}).items()},
        settings=result.get("settings", {}),
        cost=math.inf if cost is None else cost,
        seconds=result.get("seconds", 0.0),
        ended=trial.state in (TrialState.COMPLETE, TrialState.FAIL),
    )


def values_of(one: Individual, rungs: tuple[str, ...]) -> list[float] | None:
    """The objectives of a trial: progress, cost, length; None if no run gave a score.

    Progress is the number of the highest rung that gave a score, plus the score, cut to [0, 1].

    Args:
        one: that has ended.
        rungs: names, the cheapest first.
    """
    if not one.rung:
        return None
    score = min(1.0, max(0.0, one.scores[one.rung]))
    return [rungs.index(one.rung) + score, one.cost, float(one.candidate.length)]
