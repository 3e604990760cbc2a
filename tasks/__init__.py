"""Self-generated tasks: generators, splits, losses, metrics, chance levels and exact ceilings."""

from __future__ import annotations

import inspect
from typing import Any

from attenergy.registry import Registry, TaskSpec, load_registry
from attenergy.tasks.base import IGNORE, Batch, Estimate, Inputs, Outputs, Task, check_known
from attenergy.tasks.raven import Raven, RavenInstance
from attenergy.tasks.stacked_recall import RecallInstance, StackedRecall

__all__ = [
    "CLASSES",
    "IGNORE",
    "Batch",
    "Estimate",
    "Inputs",
    "Outputs",
    "Raven",
    "RavenInstance",
    "RecallInstance",
    "StackedRecall",
    "Task",
    "make_task",
]

CLASSES: dict[str, type[Task]] = {"Raven": Raven, "StackedRecall": StackedRecall}


def make_task(
    name_or_spec: str | TaskSpec,
    *,
    registry: Registry | None = None,
    seed: int = 0,
    split_seed: int = 0,
    **options: Any,
) -> Task:
    """Build a task from its registry name or its specification.

    Args:
        name_or_spec: a name in `registry`, or a `TaskSpec`, which is then called by its class.
        registry: where to look names up; by default the built-in registry and plug-ins.
        seed: decides the training stream.
        split_seed: decides what is held out and the evaluation sets.
        options: override the entry's own options.

    Raises:
        ValueError: for an unknown name, class or option (with the nearest one), or an option's
            value out of range.

    """
    if isinstance(name_or_spec, str):
        registry = load_registry() if registry is None else registry
        name, spec = name_or_spec, registry.task(name_or_spec)
    else:
        name, spec = name_or_spec.class_, name_or_spec
    build = CLASSES[check_known("task class", spec.class_, tuple(CLASSES))]
    common = ("name", "seed", "split_seed")
    known = tuple(key for key in inspect.signature(build).parameters if key not in common)
    merged = {**spec.options, **options}
    for key in merged:
        check_known(f"option of {spec.class_}", key, known)
    return build(name=name, seed=seed, split_seed=split_seed, **merged)
