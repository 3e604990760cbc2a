"""What the Raven study has recorded of an energy or a mixer, in one line."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from attenergy.registry import VariantSpec, load_registry
from attenergy.search.results import formats
from attenergy.search.results.statistics import Interval

#: Written by `make study-figures` from the records of the study.
MEASURED = Path(__file__).parent / "in_the_study.json"
_REFERENCE = "softmax"


def in_the_study(name: str, spec: VariantSpec) -> str:
    """The accuracy of an entry in the study, as the registry has it; empty if it has none.

    An entry of the same name that is not the registry's own has no line.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> text = in_the_study("linear_attention", registry.energies["linear_attention"])
        >>> text.startswith("raven-small, unseen pairs of rules: 0.4")
        True
    """
    measured = _measured()
    row = measured["entries"].get(name)
    own = load_registry(plugins=False)
    if row is None or {**own.energies, **own.mixers}.get(name) != spec:
        return ""
    low, high = row["interval"]
    score = formats.score(Interval(row["mean"], low, high, row["seeds"]))
    text = f"{measured['task']}, unseen pairs of rules: {score}"
    text += f" over {formats.counted(row['seeds'], 'seed')}"
    reference = measured["entries"].get(_REFERENCE)
    if reference is not None and name != _REFERENCE:
        text += f"; {_REFERENCE} {reference['mean']:.3f}"
    text += f"; chance {measured['chance']:.3f}, ceiling {measured['ceiling']:.3f}"
    if (race := row.get("race")) is not None:
        words = {"beats": "it beats", "loses": "it loses to"}.get(race["call"])
        seeds = formats.counted(race["seeds"], "fresh seed")
        call = f"{words} {_REFERENCE}" if words else f"it is undecided against {_REFERENCE}"
        gap = f"{abs(race['difference']):.3f}" if words else f"{race['difference']:+.3f}"
        text += f"; over {seeds} {call} by {gap} on {race['column']}"
    return text


@lru_cache(1)
def _measured() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return data
