"""What a search optimises: a metric of the task, perhaps against costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from attenergy.registry import ArgumentError, UnknownName
from attenergy.search.runs.config import RunRecord

if TYPE_CHECKING:
    from attenergy.tasks import Task

#: Costs by the names of the command line, and their names in a record.
COSTS = {
    "flops": "forward_flops",
    "seconds": "train_seconds",
    "parameters": "parameters",
    "state_bytes": "state_bytes",
    "memory_bytes": "memory_bytes",
    "ms_per_step": "ms_per_step",
}


Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Objective:
    """One number of a finished run, from its validation scores or its costs."""

    name: str
    direction: Direction
    costs: bool

    def value(self, record: RunRecord) -> float:
        """The number; infinitely bad if the run could not measure it."""
        if not self.costs:
            return record.metrics["valid"][self.name]
        return record.cost.get(COSTS[self.name], float("inf"))


def find_objectives(task: Task, names: Sequence[str]) -> tuple[Objective, ...]:
    """Look up the objectives of a plan; without names it is the task's metric.

    Raises:
        UnknownName: neither a metric of the task nor a cost.
        ValueError: the first is a cost, which the cheapest model would win.
    """
    known = [*dict.fromkeys((task.metric, *task.chance)), "loss", *COSTS]
    for name in names:
        if name not in known:
            raise UnknownName(f"objective of {task.name}", name, known)
    objectives = tuple(
        Objective(n, "minimize" if n == "loss" or n in COSTS else "maximize", n in COSTS)
        for n in names or (task.metric,)
    )
    if objectives[0].costs:
        metrics = ", ".join(name for name in known if name not in COSTS)
        raise ArgumentError(
            f"the first objective must be a metric of the task ({metrics}), not the cost "
            f"{objectives[0].name!r}",
            topic="option-value",
        )
    return objectives


def order(scores: Mapping[str, Sequence[float]], objectives: Sequence[Objective]) -> list[str]:
    """Names from best to worst: those that no other beats in all objectives, then of the rest.

    Within such a front the first objective decides. With one objective this is sorting.
    """
    left = dict(scores)
    ordered: list[str] = []
    while left:
        best = front(left, objectives)
        ordered += best
        left = {name: values for name, values in left.items() if name not in best}
    return ordered


def front(scores: Mapping[str, Sequence[float]], objectives: Sequence[Objective]) -> list[str]:
    """Names that no other beats in all objectives, the best by the first objective first."""
    signs = [1.0 if o.direction == "maximize" else -1.0 for o in objectives]
    signed = {n: tuple(s * v for s, v in zip(signs, vs, strict=True)) for n, vs in scores.items()}
    best = [n for n in signed if not any(_beats(other, signed[n]) for other in signed.values())]
    return sorted(best, key=lambda name: -signed[name][0])


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
