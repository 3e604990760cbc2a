"""Comparison of named variants: a learning-rate sweep for each, then repeats over seeds."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import ValidationError

from attenergy.registry import (
    ArgumentError,
    AttenergyError,
    ModelSpec,
    Registry,
    TrainingSpec,
    UnknownName,
    needed,
)
from attenergy.search.engines.base import Executor, run_all
from attenergy.search.engines.factory import make_executor
from attenergy.search.planning.budget import Budget, measure
from attenergy.search.planning.option_names import refused_values
from attenergy.search.planning.plan import COMPARE_PLAN, ComparePlan
from attenergy.search.planning.ranges import layer_defaults
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.failure_watch import FailureWatch
from attenergy.search.runs.plugin_needs import (
    check_needs,
    check_reaches_workers,
    upgrades,
    write_needs,
)
from attenergy.search.runs.provenance import Purpose
from attenergy.search.runs.records import RunStore, write_atomically
from attenergy.search.training.model import build_model, uses
from attenergy.tasks import Task, make_task

__all__ = ["PLAN", "ComparePlan", "ComparisonMismatch", "configure", "run_compare"]

PLAN = COMPARE_PLAN
_CHOOSING_SEED = 0  # learning rates are chosen with it; results come from the seeds after it


class ComparisonMismatch(AttenergyError, ValueError):
    """The folder holds a comparison whose runs are not comparable with the one asked for."""


def run_compare(plan: ComparePlan, registry: Registry, listener: Listener) -> list[RunRecord]:
    """Run what the plan asks for and is not recorded yet; return all records that belong to it.

    Records go to `records.jsonl` in the plan's folder as they come, so a comparison that was
    stopped goes on when it is run again, and one with more seeds or variants adds only those.

    Raises:
        UnknownName: if the registry lacks the task or a variant, or nothing takes a name in `fix`.
        ComparisonMismatch: if the folder holds a comparison with another task, length or `fix`.
        ValueError: for values in `fix` or options that do not fit.
        SameFailure: every run fails, and in the same way.
    """
    check_needs(Path(plan.folder))
    plain = {variant: configure(plan, registry, variant) for variant in plan.variants}
    task = make_task(plain[plan.variants[0]].task_spec, split_seed=plan.split_seed)
    for config in plain.values():  # a mistake must show before anything is trained
        build_model(config, task)
    budget = Budget(plan.fairness, plain[plan.variants[0]], plan.seconds)
    folder = Path(plan.folder)
    needs = needed(use for config in plain.values() for use in uses(config))
    if plan.workers or plan.engine != "local":
        check_reaches_workers(needs)
    _keep_plan(plan, folder)
    for text in upgrades(folder, needs):
        listener.message(text)
    write_needs(folder, needs)
    store = RunStore(folder)
    listener = FailureWatch(listener, len(plan.variants), store.all())
    with make_executor(plan, folder) as executor:
        measure(budget, executor, store, listener)
        sweep = {variant: _sweep(plan, registry, variant, budget) for variant in plan.variants}
        tried = [config for configs in sweep.values() for config in configs]
        if len(plan.learning_rates) > 1:
            _run("learning rates", tried, "trial", executor, store, listener)
        chosen = {v: _best(configs, store, task, listener) for v, configs in sweep.items()}
        finals = [
            config.model_copy(update={"seed": _CHOOSING_SEED + 1 + seed})
            for seed in range(plan.seeds)
            for config in chosen.values()
        ]
        _run("seeds", finals, "compare", executor, store, listener)
    first = [budget.reference] if plan.fairness == "seconds" else []
    known = (store.get(config.run_key()) for config in [*first, *tried, *finals])
    return [record for record in known if record is not None]


def configure(
    plan: ComparePlan, registry: Registry, variant: str, learning_rate: float | None = None
) -> RunConfig:
    """The run of a variant with the choosing seed: the task's values, then `fix`, then the rate."""
    layer = registry.layer(variant)
    task = registry.task(plan.task)
    task = task.model_copy(update={"options": {**task.options, **plan.task_options}})
    model, training, settings = task.model.model_dump(), task.training.model_dump(), {}
    own = [f"{v}.{name}" for v in plan.variants for name in layer_defaults(registry.layer(v))]
    for name, value in plan.fix.items():
        if name in model:
            model[name] = value
        elif name in training:
            training[name] = value
        elif name not in own:
            raise UnknownName("quantity to fix", name, [*model, *training, *own])
        elif name.startswith(f"{variant}."):
            settings[name.removeprefix(f"{variant}.")] = value
    if learning_rate is not None:
        training["learning_rate"] = learning_rate
    try:
        shape, schedule = ModelSpec.model_validate(model), TrainingSpec.model_validate(training)
    except ValidationError as error:
        raise ArgumentError(refused_values(error)) from None
    config = RunConfig(
        variant=variant,
        layer=layer,
        settings=settings,
        task=plan.task,
        task_spec=task,
        model=shape,
        training=schedule,
        seed=_CHOOSING_SEED,
        split_seed=plan.split_seed,
    )
    return config.with_steps(plan.steps)


def _sweep(plan: ComparePlan, registry: Registry, variant: str, budget: Budget) -> list[RunConfig]:
    rates = plan.learning_rates or (None,)
    return [budget.fit(configure(plan, registry, variant, rate)) for rate in rates]


def _run(
    phase: str,
    configs: list[RunConfig],
    purpose: Purpose,
    executor: Executor,
    store: RunStore,
    listener: Listener,
) -> None:
    done = sum(store.get(config.run_key()) is not None for config in configs)
    listener.phase(phase, done, len(configs))
    run_all(configs, purpose, executor, store, listener)


def _best(configs: list[RunConfig], store: RunStore, task: Task, listener: Listener) -> RunConfig:
    if len(configs) == 1:
        return configs[0]
    scores = []
    for config in configs:
        record = store.get(config.run_key())
        scored = record is not None and record.status == "complete"
        valid = record.metrics.get("valid", {}) if record is not None and scored else {}
        scores.append(valid.get(task.metric, -math.inf))
    best = max(range(len(configs)), key=scores.__getitem__)
    rates = [config.training.learning_rate for config in configs]
    rate = rates[best]
    if math.isinf(scores[best]):
        listener.message(
            f"{configs[best].variant}: no learning rate gave a score; going on with {rate:g}"
        )
    elif rate in (min(rates), max(rates)):
        listener.message(
            f"{configs[best].variant}: the best learning rate, {rate:g}, is the smallest or "
            "largest of the list; a wider list may do better"
        )
    return configs[best]


def _keep_plan(plan: ComparePlan, folder: Path) -> None:
    path = folder / PLAN
    if path.exists():
        try:
            old = ComparePlan.model_validate_json(path.read_text(encoding="utf-8"))
        except (ValidationError, UnicodeDecodeError) as error:
            raise ComparisonMismatch(f"{path}: not the plan of a comparison") from error
        for name in ("task", "task_options", "steps", "split_seed", "fix", "fairness", "seconds"):
            before, now = getattr(old, name), getattr(plan, name)
            if before != now:
                raise ComparisonMismatch(
                    f"{folder} holds a comparison with {name}={before!r}, not {now!r}; "
                    "give this one another name"
                )
    elif folder.is_dir() and any(folder.iterdir()):
        raise ComparisonMismatch(f"{folder}: holds something else; give this one another name")
    write_atomically(path, plan.model_dump_json(indent=2) + "\n")
