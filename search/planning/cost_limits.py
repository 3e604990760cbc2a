"""The most that a configuration may cost: `params=100k`, `flops=5M`, `ms_per_step=40`.

Not to be confused with what one run may take of its machine, in `attenergy.search.runs.limits`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator

from attenergy.registry import ArgumentError, UnknownName
from attenergy.registry.errors import nearest
from attenergy.search.planning.amounts import UNITS

_COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_BYTES = {
    f"{letter}{tail}": 1024.0**power
    for power, letter in enumerate(("", "k", "m", "g", "t"))
    for tail in ("", "b", "ib")
}
_SECONDS = {"": 1.0, **{unit: each for unit, (kind, each) in UNITS.items() if kind == "seconds"}}
_SHAPE = re.compile(r"([0-9.]+(?:e[+-]?\d+)?)\s*([a-z]*)", re.IGNORECASE)


@dataclass(frozen=True)
class LimitedCost:
    """One cost that can be limited.

    Attributes:
        units: unit in lower case -> what one is; the empty unit is that of the record.
        before: whether it is known before a run is trained.
        example: of a value.
    """

    units: Mapping[str, float]
    before: bool
    example: str


#: Every cost that can be limited, by its name in a record (`RunRecord.cost`).
LIMITED = {
    "parameters": LimitedCost(_COUNTS, True, "100k"),
    "forward_flops": LimitedCost(_COUNTS, True, "5M"),
    "training_flops": LimitedCost(_COUNTS, True, "2T"),
    "state_bytes": LimitedCost(_BYTES, True, "64K"),
    "ms_per_step": LimitedCost({"": 1.0, "ms": 1.0, "s": 1e3}, False, "40"),
    "memory_bytes": LimitedCost(_BYTES, False, "500M"),
    "train_seconds": LimitedCost(_SECONDS, False, "90s"),
    "seconds": LimitedCost(_SECONDS, False, "2m"),
}
#: Short names of some.
SHORT = {"params": "parameters", "flops": "forward_flops"}


def read_cost_limits(value: Any) -> Any:
    """Numbers for what was written, by the names of records; what is no mapping as it is.

    Raises:
        UnknownName: there is no such cost.
        ValueError: a value that is no amount of it, or a cost that is limited twice.
    """
    if not isinstance(value, Mapping):
        return value
    limits: dict[str, float] = {}
    for written, amount in value.items():
        name = SHORT.get(str(written), str(written))
        if name not in LIMITED:
            raise UnknownName("cost to limit", str(written), (*SHORT, *LIMITED))
        if name in limits:
            raise ArgumentError(f"{name} is limited twice; one of them is enough", topic="limit")
        limits[name] = _amount(name, amount)
    return limits


def _amount(name: str, value: Any) -> float:
    units, example = LIMITED[name].units, LIMITED[name].example
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
    else:
        match = _SHAPE.fullmatch(value.strip()) if isinstance(value, str) else None
        try:
            number = float(match[1]) if match is not None else math.nan
        except ValueError:
            number = math.nan
        unit = match[2].lower() if match is not None else ""
        if unit not in units:
            hint = nearest(unit, units) or f"units: {', '.join(filter(None, units))}"
            raise ArgumentError(
                f"{name} has no unit {unit!r} ({hint}); it may be {example}", topic="limit"
            )
        number *= units[unit]
    if not 0 < number < math.inf:
        raise ArgumentError(
            f"{name} must be limited to a number above 0 such as {example}, got {value!r:.40}",
            topic="limit",
        )
    return number


#: The field of a plan: numbers, or texts such as "100k".
CostLimitFields = Annotated[dict[str, float], BeforeValidator(read_cost_limits)]


class CostLimits:
    """Compares costs with the limits of a plan.

    A cost that was not measured, as the memory on some systems, is taken to be within its limit.

    Args:
        most: cost -> the most that is allowed.
    """

    def __init__(self, most: Mapping[str, float]) -> None:
        self.most = dict(most)

    def __bool__(self) -> bool:
        return bool(self.most)

    @property
    def before(self) -> list[str]:
        """The limited costs that are known before a run is trained."""
        return [name for name in self.most if LIMITED[name].before]

    def beyond(self, cost: Mapping[str, float]) -> dict[str, float]:
        """The costs that are above their limit."""
        return {n: cost[n] for n, most in self.most.items() if n in cost and cost[n] > most}

    def constraints(self, cost: Mapping[str, float]) -> dict[str, float]:
        """c/limit - 1 for every limited cost c, 0 where it is not known; above 0 is beyond."""
        return {name: cost.get(name, most) / most - 1.0 for name, most in self.most.items()}

    def text(self, names: Collection[str] | None = None) -> str:
        """`parameters <= 100,000, ms_per_step <= 40`: all limits, or some."""
        return ", ".join(
            f"{n} <= {_number(most)}"
            for n, most in self.most.items()
            if names is None or n in names
        )

    def why(self, beyond: Mapping[str, float]) -> str:
        """`parameters 138,240 > 100,000`: what is beyond its limit, and by how much."""
        return ", ".join(f"{n} {_number(c)} > {_number(self.most[n])}" for n, c in beyond.items())

    def worst(self, cost: Mapping[str, float]) -> float:
        """The largest of c/limit; 0 if nothing is known."""
        return max((c / self.most[n] for n, c in cost.items() if n in self.most), default=0.0)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
