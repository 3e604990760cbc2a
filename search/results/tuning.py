"""What a comparison tuned for every variant, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attenergy.search.results import formats
from attenergy.search.runs.config import RunConfig, RunRecord


def tuning_notes(records: Sequence[RunRecord]) -> list[str]:
    """What was tuned, equally or not, what each variant chose, and whether a list was too short.

    Empty where the records are those of no comparison, or of a task that is not trained.
    """
    finals = {r.config.variant: r.config for r in records if r.purpose == "compare"}
    if not any(config.training.steps for config in finals.values()):
        return []
    tried = {
        variant: [r.config for r in records if r.purpose == "trial" and _alike(r.config, config)]
        for variant, config in finals.items()
    }
    grids = {variant: _grid(configs) for variant, configs in tried.items()}
    if not any(grids.values()):
        return [
            "Tuning: none; all variants have the same rates and decay, which may suit some better "
            "than others (--tune)."
        ]
    first = next(iter(grids.values()))
    if any(grid != first for grid in grids.values()):
        each = ", ".join(f"{variant} {len(configs)}" for variant, configs in tried.items())
        notes = [f"Tuning: not the same for all; runs of each: {each}."]
    else:
        number = formats.counted(len(next(iter(tried.values()))), "run")
        values = " x ".join(f"{name} {_listed(values)}" for name, values in first.items())
        notes = [f"Tuning, the same for every variant: {values} ({number} each, by `valid`)."]
    chosen = (
        f"{variant} {formats.settings(_values(finals[variant], grids[variant]))}"
        for variant in finals
        if grids[variant]
    )
    notes.append(f"Chosen: {'; '.join(chosen)}.")
    notes += [
        f"{text[0].upper()}{text[1:]}."
        for variant in finals
        for text in at_an_edge(finals[variant], tried[variant])
    ]
    return notes


def at_an_edge(best: RunConfig, tried: Sequence[RunConfig]) -> list[str]:
    """A warning for each number whose best value is the smallest or largest that was tried."""
    texts = []
    for name, values in _grid(tried).items():
        value = getattr(best.training, name)
        if isinstance(value, str) or value not in (min(values), max(values)):
            continue
        end = "smallest" if value == min(values) else "largest"
        texts.append(
            f"the best {name} of {best.variant}, {value:g}, is the {end} of the list; "
            "a wider list may do better"
        )
    return texts


def _alike(trial: RunConfig, final: RunConfig) -> bool:
    """Whether a run of the tuning is one of the final's variant, with its budget."""
    return trial.variant == final.variant and (trial.seconds is None) == (final.seconds is None)


def _grid(configs: Sequence[RunConfig]) -> dict[str, list[Any]]:
    """Quantities of the training that differ between runs, and their values in order."""
    values: dict[str, set[Any]] = {}
    for config in configs:
        for name, value in config.training.model_dump().items():
            values.setdefault(name, set()).add(value)
    return {name: sorted(seen) for name, seen in values.items() if len(seen) > 1}


def _values(config: RunConfig, names: Sequence[str] | dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(config.training, name) for name in names}


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(f"{v:g}" if isinstance(v, float) else f"{v}" for v in values)
